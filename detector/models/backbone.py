"""The network that all streams share: a recurrent cell that weighs the bank of naive forecasts.

In units of the stream's error s, with the experts' offsets d = (expert - x) / s from the last value x:

    w = softmax(V h + v - a * log(error / s))     weights over the experts; a > 0 favours those with small errors
    r = q h                                       the network's correction
    b = u h + u0                                  log scale (heteroscedastic head)
    forecast = x + s * (sum_k w_k d_k + r),  scale = s * exp(b)

Weights start as softmax(-a log error) with a = 3 and r = 0: before any training the forecast is a sane blend.

Shape legend: T steps, B rows, F features, K experts, L layers, H hidden size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from detector.models.cells import CELLS, Cell
from detector.models.features import ERROR_LOGS, FEATURES
from detector.models.naive import EXPERTS

FAVOUR = 3.0
LOG_SCALE_RANGE = 8.0


@dataclass(frozen=True, slots=True)
class Shape:
    """The network's dimensions; recorded in the card next to its weights."""

    cell: str = "lstm"
    hidden_size: int = 32
    num_layers: int = 1

    @property
    def state_size(self) -> int:
        """Numbers in a stream's hidden state, and in its cell state."""
        return self.hidden_size * self.num_layers

    def as_dict(self) -> dict[str, str | int]:
        """Its form in the card."""
        return asdict(self)


class Backbone(nn.Module):
    """Recurrent layers and the gate on top of them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        cell = CELLS[shape.cell]
        widths = [FEATURES] + [shape.hidden_size] * shape.num_layers
        self.cells = nn.ModuleList(cell(a, b) for a, b in pairwise(widths))
        self.head = nn.Linear(shape.hidden_size, EXPERTS + 2)
        self.favour = nn.Parameter(torch.tensor(FAVOUR))
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    @property
    def layers(self) -> list[Cell]:
        """The cells, with their type."""
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    def initial(self, rows: int) -> tuple[Tensor, Tensor]:
        """Zero (hidden, cell), each [B, L*H]."""
        zero = torch.zeros(rows, self.shape.state_size)
        return zero, zero.clone()

    def step(self, input_BF: Tensor, hidden_BLH: Tensor, cell_BLH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step: (outputs [B, K+2]: weights, correction, log scale; hidden; cell)."""
        size = self.shape.hidden_size
        below = input_BF
        hidden, cell = [], []
        for layer, (h, c) in enumerate(
            zip(torch.split(hidden_BLH, size, 1), torch.split(cell_BLH, size, 1), strict=True)
        ):
            below, kept = self.layers[layer](below, (h, c))
            hidden.append(below)
            cell.append(kept)
        return self.read(input_BF, below), torch.cat(hidden, 1), torch.cat(cell, 1)

    def unroll(self, input_TBF: Tensor, hidden_BLH: Tensor, cell_BLH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """T steps of `step`, for training: (outputs [T, B, K+2], hidden, cell)."""
        size = self.shape.hidden_size
        below = input_TBF
        hidden, cell = [], []
        for layer, state in enumerate(
            zip(torch.split(hidden_BLH, size, 1), torch.split(cell_BLH, size, 1), strict=True)
        ):
            below, last = self.layers[layer].unroll(below, state)
            hidden.append(last[0])
            cell.append(last[1])
        return self.read(input_TBF, below), torch.cat(hidden, 1), torch.cat(cell, 1)

    def read(self, input_BF: Tensor, top_BH: Tensor) -> Tensor:
        """[..., K+2] weights, correction and log scale from the top layer's hidden state."""
        raw = self.head(top_BH)
        logits = raw[..., :EXPERTS] - self.favour * input_BF[..., ERROR_LOGS]
        scale = LOG_SCALE_RANGE * torch.tanh(raw[..., EXPERTS + 1 :] / LOG_SCALE_RANGE)
        return torch.cat((torch.softmax(logits, -1), raw[..., EXPERTS : EXPERTS + 1], scale), -1)
