"""The network's step, as the daemon runs it.

Matrix products go in blocks of 256 rows, the last one padded with zeros: they may differ in their last bits between
batch sizes, but not with a row's position or neighbours inside one shape. The number of threads is pinned for the same
reason. All else is elementwise, and goes over two blocks at once: fewer calls, and they stay in the second-level cache.
A stream is a row here, as its state is stored, and a column in the rest of the forecaster.

Shape legend: B rows, whole blocks of them inside; F features, L layers, H hidden size, O outputs of the head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
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
Step = Callable[[Tensor, Tensor], State]
"""([B, I + H] inputs beside hidden state, [B, H] cell state) -> states [B, H], which the next call overwrites."""

AT_ONCE = 2 * BLOCK_ROWS
"""Rows whose gates stay in the second-level cache, and are enough for a call to be worth its cost."""


class FusedLstm:
    """`Lstm` with its two matrix products in one and its gates activated in place; inference only.

    Two thirds of the time of the plain equations; equal to them but for rounding. Gates stand in the order i, f, o,
    candidate: the first three are activated together. Results stay in memory that is used again.
    """

    def __init__(self, cell: Lstm) -> None:
        order = torch.cat([torch.arange(4 * cell.hidden).chunk(4)[gate] for gate in (0, 1, 3, 2)])
        self._weight = torch.cat((cell.weight_x, cell.weight_h), 1).detach()[order].T.contiguous()
        self._bias = cell.bias.detach()[order]
        sums = self._bias.new_zeros(AT_ONCE, 4 * cell.hidden)
        others = sums.new_zeros(3, AT_ONCE, cell.hidden)
        sizes = range(BLOCK_ROWS, AT_ONCE + 1, BLOCK_ROWS)
        self._buffers = {rows: (sums[:rows], *sums[:rows].chunk(4, 1), *others[:, :rows]) for rows in sizes}

    def __call__(self, joined_BX: Tensor, cell: Tensor) -> State:
        """One step of whole blocks."""
        sums, i, f, o, last, candidate, kept, shown = self._buffers[len(joined_BX)]
        for block, part in zip(joined_BX.split(BLOCK_ROWS), sums.split(BLOCK_ROWS), strict=True):
            torch.addmm(self._bias, block, self._weight, out=part)
        # Three times as fast where it lies in one piece.
        candidate.copy_(last).tanh_()
        sums[:, : -last.shape[1]].sigmoid_()
        torch.mul(f, cell, out=kept).addcmul_(i, candidate)
        return torch.tanh(kept, out=shown).mul_(o), kept


class Kernel:
    """Advances hidden and cell state of rows, and returns the head's raw outputs."""

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
        self._stored = torch.float16 if halved else torch.float32
        self._joined = torch.zeros(AT_ONCE, FEATURES + backbone.shape.state_size)
        self._cell = torch.zeros(AT_ONCE, backbone.shape.state_size)

    def __call__(self, state: Columns, rows: Rows, inputs_FB: Float32) -> tuple[Float32, Float32]:
        """One step for `rows`, whose states move on: [O, B] outputs of the head, [B, H] hidden state of the top."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        raw_OB = np.empty((self.outputs, len(rows)), np.float32)
        with torch.inference_mode():
            hidden_BS = _single(state["hidden"].take(rows, axis=0))
            cell_BS = _single(state["cell"].take(rows, axis=0)) if self.keeps_cell else np.zeros_like(hidden_BS)
            for part in parts(len(rows), AT_ONCE):
                self._part(inputs_FB[:, part], hidden_BS[part], cell_BS[part], raw_OB[:, part])
            state["hidden"][rows] = torch.from_numpy(hidden_BS).to(self._stored).numpy()
            if self.keeps_cell:
                state["cell"][rows] = torch.from_numpy(cell_BS).to(self._stored).numpy()
        return raw_OB, hidden_BS[:, -self._size :]

    def _part(self, inputs_FB: Float32, hidden_BS: Float32, cell_BS: Float32, raw_OB: Float32) -> None:
        """Move these rows' states on, in place, and fill in the head's outputs."""
        count = len(hidden_BS)
        joined, whole = self._joined.numpy(), -(-count // BLOCK_ROWS) * BLOCK_ROWS
        joined[:count, :FEATURES], joined[:count, FEATURES:] = inputs_FB.T, hidden_BS
        joined[count:whole] = 0
        self._cell.numpy()[:count] = cell_BS
        top, hidden, cell = self._run(self._joined[:whole].to(self._device), self._cell[:whole].to(self._device))
        for first in range(0, count, BLOCK_ROWS):
            out = torch.addmm(self._head_bias, self._head_weight, top[first : first + BLOCK_ROWS].T)
            raw_OB[:, first : first + BLOCK_ROWS] = out.cpu().numpy()[:, : count - first]
        hidden_BS[:], cell_BS[:] = hidden.cpu().numpy()[:count], cell.cpu().numpy()[:count]

    def _run(self, joined: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """([B, H] hidden state of the top, [B, L*H] hidden state, [B, L*H] cell state)."""
        if len(self._steps) == 1:
            hidden, cell = self._steps[0](joined, cell)
            return hidden, hidden, cell
        below, *hidden_states = joined.split((FEATURES, *[self._size] * len(self._steps)), 1)
        states = []
        for step, hidden, kept in zip(self._steps, hidden_states, cell.split(self._size, 1), strict=True):
            states.append(step(torch.cat((below, hidden), 1), kept))
            below = states[-1][0]
        hidden, cell = (torch.cat(layers, 1) for layers in zip(*states, strict=True))
        return below, hidden, cell


def _fast(layer: Cell) -> Step:
    return FusedLstm(layer) if isinstance(layer, Lstm) else partial(_in_blocks, layer)


def _in_blocks(layer: Cell, joined_BX: Tensor, cell: Tensor) -> State:
    """Any cell's step."""
    moved = []
    for block, kept in zip(joined_BX.split(BLOCK_ROWS), cell.split(BLOCK_ROWS), strict=True):
        inputs, hidden = block.split((layer.inputs, layer.hidden), 1)
        moved.append(layer(inputs, (hidden, kept)))
    hidden, cell = (torch.cat(blocks) for blocks in zip(*moved, strict=True))
    return hidden, cell


def _single(kept: Floats) -> Float32:
    single: Float32 = torch.from_numpy(kept).float().numpy()
    return single


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
