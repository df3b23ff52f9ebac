"""The network's step at one fixed shape, as the daemon runs it.

Blocks of 256 rows, the last one padded with zeros: matrix products may differ in their last bits between batch sizes,
but not with a row's position or neighbours inside one shape. The number of threads is pinned for the same reason. A
stream is a row here, as its state is stored, and a column in the rest of the forecaster.

Shape legend: B rows, F features, L layers, H hidden size, O outputs of the head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detector.columns import BLOCK_ROWS, Columns, Rows
from detector.errors import ModelError
from detector.models.backbone import Backbone
from detector.models.cells import Cell, Lstm, State
from detector.models.features import FEATURES

Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating[Any]]
Step = Callable[[Tensor, State], State]
"""([B, F] inputs, states [B, H]) -> states [B, H]."""


class FusedLstm:
    """`Lstm` with its two matrix products in one and its gates activated in place; inference only.

    Half the time of the plain equations at 256 rows; equal to them but for rounding.
    """

    def __init__(self, cell: Lstm) -> None:
        self._weight = torch.cat((cell.weight_x, cell.weight_h), 1).detach().T.contiguous()
        self._bias = cell.bias.detach()

    def __call__(self, input_BF: Tensor, state: State) -> State:
        """One step."""
        hidden, cell = state
        sums = torch.addmm(self._bias, torch.cat((input_BF, hidden), 1), self._weight)
        i, f, candidate, o = sums.chunk(4, 1)
        # Three times as fast where it lies in one piece.
        candidate = candidate.contiguous().tanh_()
        cell = torch.addcmul(f.sigmoid_() * cell, i.sigmoid_(), candidate)
        return o.sigmoid_() * torch.tanh(cell), cell


class Kernel:
    """Advances hidden and cell state of rows, block by block, and returns the head's raw outputs."""

    def __init__(self, backbone: Backbone, device: torch.device, threads: int, *, halved: bool = False) -> None:
        """With `halved` hidden and cell state are stored in half precision; the arithmetic is the same."""
        self.keeps_cell = any(layer.keeps_cell for layer in backbone.layers)
        self._device = device
        self._threads = threads
        self._size = backbone.shape.hidden_size
        backbone = backbone.to(device)
        self._steps = [_fast(layer) for layer in backbone.layers]
        self._head_weight = backbone.head.weight.detach()
        self._head_bias = backbone.head.bias.detach()[:, None]
        self.outputs = backbone.head.out_features
        state_size = backbone.shape.state_size
        self._inputs = np.zeros((BLOCK_ROWS, FEATURES), np.float32)
        self.stored = torch.float16 if halved else torch.float32
        kept = np.dtype(np.float16 if halved else np.float32)
        self._hidden: Floats = np.zeros((BLOCK_ROWS, state_size), kept)
        self._cell: Floats = np.zeros((BLOCK_ROWS, state_size), kept)

    def __call__(self, state: Columns, rows: Rows, inputs_FB: Float32) -> tuple[Float32, Float32]:
        """One step for `rows`, whose states move on: [O, B] outputs of the head, [B, H] hidden state of the top."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        raw_OB = np.empty((self.outputs, len(rows)), np.float32)
        top_BH = np.empty((len(rows), self._size), np.float32)
        with torch.inference_mode():
            for part in parts(len(rows), BLOCK_ROWS):
                self._block(state, rows[part], inputs_FB[:, part], raw_OB[:, part], top_BH[part])
        return raw_OB, top_BH

    def _block(self, state: Columns, rows: Rows, inputs_FB: Float32, raw_OB: Float32, top_BH: Float32) -> None:
        count = len(rows)
        _fill(self._inputs, inputs_FB.T)
        _fill(self._hidden, state["hidden"].take(rows, axis=0))
        if self.keeps_cell:
            _fill(self._cell, state["cell"].take(rows, axis=0))
        out, hidden, cell = self._run(self._tensor(self._inputs), self._tensor(self._hidden), self._tensor(self._cell))
        raw_OB[:] = out.cpu().numpy()[:, :count]
        top_BH[:] = hidden.cpu().numpy()[:count, -self._size :]
        state["hidden"][rows] = hidden.to(self.stored).cpu().numpy()[:count]
        if self.keeps_cell:
            state["cell"][rows] = cell.to(self.stored).cpu().numpy()[:count]

    def _run(self, below: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """([O, B] outputs of the head, [B, L*H] hidden state, [B, L*H] cell state)."""
        if len(self._steps) == 1:
            hidden, cell = self._steps[0](below, (hidden, cell))
            return torch.addmm(self._head_bias, self._head_weight, hidden.T), hidden, cell
        states = []
        for step, state in zip(self._steps, zip(*self._layers(hidden, cell), strict=True), strict=True):
            states.append(step(below, state))
            below = states[-1][0]
        hidden, cell = (torch.cat(layers, 1) for layers in zip(*states, strict=True))
        return torch.addmm(self._head_bias, self._head_weight, below.T), hidden, cell

    def _layers(self, hidden: Tensor, cell: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        return torch.split(hidden, self._size, 1), torch.split(cell, self._size, 1)

    def _tensor(self, buffer: Floats) -> Tensor:
        return torch.from_numpy(buffer).to(self._device).float()


def _fast(layer: Cell) -> Step:
    return FusedLstm(layer) if isinstance(layer, Lstm) else layer


def _fill(buffer: Floats, block: Floats) -> None:
    buffer[: len(block)] = block
    buffer[len(block) :] = 0


def parts(count: int, size: int) -> Iterator[slice]:
    """[0, count) in slices of `size`, the last one shorter."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def device(name: str) -> torch.device:
    """`model.device`: cpu, cuda (or cuda:N), or auto. Raises ModelError where there is no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError("model.device is cuda, but torch sees no CUDA device; use cpu or auto")
    return torch.device(name)
