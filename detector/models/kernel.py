"""The network's step at one fixed shape, as the daemon runs it.

Blocks of 256 rows, the last one padded with zeros: matrix products may differ in their last bits between batch sizes,
but not with a row's position or neighbours inside one shape. The number of threads is pinned for the same reason.

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


class FusedLstm:
    """`Lstm` with its two matrix products in one and its gates activated in place; inference only.

    Half the time of the plain equations at 256 rows; equal to them but for rounding.
    """

    def __init__(self, cell: Lstm) -> None:
        self._hidden = cell.hidden
        self._weight = torch.cat((cell.weight_x, cell.weight_h), 1).detach().t().contiguous()
        self._bias = cell.bias.detach()

    def __call__(self, input_BI: Tensor, state: State) -> State:
        """One step."""
        hidden, cell = state
        sums = torch.addmm(self._bias, torch.cat((input_BI, hidden), 1), self._weight)
        candidate = torch.tanh(sums[:, 2 * self._hidden : 3 * self._hidden])
        i, f, _, o = torch.sigmoid_(sums).chunk(4, dim=1)
        cell = torch.addcmul(f * cell, i, candidate)
        return o * torch.tanh(cell), cell


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
        self._head_weight = backbone.head.weight.detach().t().contiguous()
        self._head_bias = backbone.head.bias.detach()
        self.outputs = backbone.head.out_features
        state_size = backbone.shape.state_size
        self._inputs = np.zeros((BLOCK_ROWS, FEATURES), np.float32)
        self.stored = torch.float16 if halved else torch.float32
        kept = np.dtype(np.float16 if halved else np.float32)
        self._hidden: Floats = np.zeros((BLOCK_ROWS, state_size), kept)
        self._cell: Floats = np.zeros((BLOCK_ROWS, state_size), kept)

    def __call__(self, state: Columns, rows: Rows, inputs_FB: Float32) -> Float32:
        """One step for `rows`, whose hidden and cell state move on; [O, B] raw outputs of the head."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        raw = np.empty((len(rows), self.outputs), np.float32)
        inputs_BF = np.ascontiguousarray(inputs_FB.T)
        with torch.inference_mode():
            for part in parts(len(rows), BLOCK_ROWS):
                self._block(state, rows[part], inputs_BF[part], raw[part])
        return np.ascontiguousarray(raw.T)

    def _block(self, state: Columns, rows: Rows, inputs_BF: Float32, raw_BO: Float32) -> None:
        count = len(rows)
        _fill(self._inputs, inputs_BF)
        _fill(self._hidden, state["hidden"].take(rows, axis=0))
        if self.keeps_cell:
            _fill(self._cell, state["cell"].take(rows, axis=0))
        out, hidden, cell = self._run(self._tensor(self._inputs), self._tensor(self._hidden), self._tensor(self._cell))
        raw_BO[:] = out[:count].cpu().numpy()
        state["hidden"][rows] = hidden[:count].to(self.stored).cpu().numpy()
        if self.keeps_cell:
            state["cell"][rows] = cell[:count].to(self.stored).cpu().numpy()

    def _run(self, below: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if len(self._steps) == 1:
            hidden, cell = self._steps[0](below, (hidden, cell))
            return torch.addmm(self._head_bias, hidden, self._head_weight), hidden, cell
        states = []
        for step, state in zip(self._steps, zip(*self._layers(hidden, cell), strict=True), strict=True):
            states.append(step(below, state))
            below = states[-1][0]
        hidden, cell = (torch.cat(layers, 1) for layers in zip(*states, strict=True))
        return torch.addmm(self._head_bias, below, self._head_weight), hidden, cell

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
