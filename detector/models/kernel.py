"""The network's step, as the daemon runs it.

Matrix products run in blocks of 256 rows, the last one padded with zeros: their last bits may differ between batch
sizes, but do not depend on a row's position or neighbours within one shape. The number of threads is pinned for the
same reason. Everything else is elementwise and runs on two blocks at once, which saves calls and still fits in the
second-level cache. A stream is a row here, as in its stored state, and a column in the rest of the forecaster.

Shape legend: B rows, internally whole blocks of them; F features, L layers, H hidden size, O outputs of the head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detector.columns import BLOCK_ROWS, Columns, Rows, put
from detector.errors import ModelError
from detector.models.backbone import Backbone
from detector.models.cells import Cell, Lstm
from detector.models.features import FEATURES

Float32 = npt.NDArray[np.float32]
Step = Callable[[Tensor, Tensor, Tensor], None]
"""([B, I + H] inputs joined with hidden state, [B, H] cell state, [B, H]): advances the cell state, and writes the new
hidden state to the last argument."""

AT_ONCE = 2 * BLOCK_ROWS
"""Rows per call: few enough that their gates stay in the second-level cache, enough to be worth the call."""


class FusedLstm:
    """`Lstm` with its two matrix products merged and its gates activated in place; inference only.

    Takes two thirds of the time of the plain equations, and equals them up to rounding. Gates are in the order i, f, o,
    candidate, so that the first three are activated together, in reused memory.
    """

    def __init__(self, cell: Lstm) -> None:
        order = torch.cat([torch.arange(4 * cell.hidden).chunk(4)[gate] for gate in (0, 1, 3, 2)])
        self._weight = torch.cat((cell.weight_x, cell.weight_h), 1).detach()[order].T.contiguous()
        self._bias = cell.bias.detach()[order]
        sums = self._bias.new_zeros(AT_ONCE, 4 * cell.hidden)
        candidate = sums.new_zeros(AT_ONCE, cell.hidden)
        sizes = range(BLOCK_ROWS, AT_ONCE + 1, BLOCK_ROWS)
        self._buffers = {rows: (*_gates(sums[:rows]), candidate[:rows]) for rows in sizes}

    def __call__(self, joined_BX: Tensor, cell: Tensor, hidden: Tensor) -> None:
        """One step of whole blocks."""
        blocks, activated, i, f, o, last, candidate = self._buffers[len(joined_BX)]
        for block, sums in zip(joined_BX.split(BLOCK_ROWS), blocks, strict=True):
            torch.addmm(self._bias, block, self._weight, out=sums)
        # Three times as fast on contiguous memory.
        candidate.copy_(last).tanh_()
        activated.sigmoid_()
        cell.mul_(f).addcmul_(i, candidate)
        torch.tanh(cell, out=hidden).mul_(o)


def _gates(sums: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Views of `sums`: its blocks, the three gates that are activated together, and each of the four gates."""
    i, f, o, last = sums.chunk(4, 1)
    return sums.split(BLOCK_ROWS), sums[:, : -last.shape[1]], i, f, o, last


class _Buffers:
    """Memory for a number of rows, made once and reused by every call; parts of it are views."""

    def __init__(self, rows: int, state_size: int, outputs: int) -> None:
        self.rows = rows
        self.joined = torch.zeros(rows, FEATURES + state_size)
        """Inputs joined with hidden state."""
        self.cell = torch.zeros(rows, state_size)
        self.hidden = torch.zeros(rows, state_size)
        self.raw = torch.zeros(outputs, rows)
        self._parts: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]] = {}

    def part(self, rows: slice) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
        """Views of these rows: joined, cell, hidden, and the raw outputs of each block."""
        place = (rows.start, rows.stop)
        if place not in self._parts:
            outputs = self.raw[:, rows].split(BLOCK_ROWS, 1)
            self._parts[place] = (self.joined[rows], self.cell[rows], self.hidden[rows], outputs)
        return self._parts[place]


class Kernel:
    """Advances hidden and cell state of rows, and returns the head's raw outputs."""

    def __init__(self, backbone: Backbone, device: torch.device, threads: int, *, halved: bool = False) -> None:
        """With `halved`, hidden and cell state are stored in half precision; the arithmetic is the same."""
        self.keeps_cell = any(layer.keeps_cell for layer in backbone.layers)
        self._device = device
        self._threads = threads
        self._size = backbone.shape.hidden_size
        backbone = backbone.to(device)
        self._steps = [_fast(layer) for layer in backbone.layers]
        self._head_weight = backbone.head.weight.detach()
        self._head_bias = backbone.head.bias.detach()[:, None]
        self._stored = torch.float16 if halved else torch.float32
        self._buffers = _Buffers(AT_ONCE, backbone.shape.state_size, backbone.head.out_features)

    def __call__(self, state: Columns, rows: Rows, inputs_FB: Float32) -> tuple[Float32, Float32]:
        """Advance the states of `rows` by one step: ([O, B] outputs of the head, [B, H] hidden state of the top layer).

        The next call overwrites both.
        """
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        count, whole = len(rows), -(-len(rows) // BLOCK_ROWS) * BLOCK_ROWS
        if whole > self._buffers.rows:
            self._buffers = _Buffers(whole, self._buffers.cell.shape[1], len(self._buffers.raw))
        buffers = self._buffers
        with torch.inference_mode():
            joined = buffers.joined.numpy()
            joined[:count, :FEATURES], joined[count:whole] = inputs_FB.T, 0
            buffers.joined[:count, FEATURES:] = torch.from_numpy(state["hidden"].take(rows, axis=0))
            buffers.cell[:count] = torch.from_numpy(state["cell"].take(rows, axis=0)) if self.keeps_cell else 0
            for part in parts(whole, AT_ONCE):
                self._part(*buffers.part(part))
            put(state["hidden"], rows, buffers.hidden[:count].to(self._stored).numpy())
            if self.keeps_cell:
                put(state["cell"], rows, buffers.cell[:count].to(self._stored).numpy())
        return buffers.raw.numpy()[:, :count], buffers.hidden.numpy()[:count, -self._size :]

    def _part(self, joined: Tensor, cell: Tensor, hidden: Tensor, outputs: tuple[Tensor, ...]) -> None:
        """Advance whole blocks in place, and write hidden state and the head's outputs."""
        here = [tensor.to(self._device) for tensor in (joined, cell, hidden)]
        top = self._run(*here)
        for block, raw in zip(top.split(BLOCK_ROWS), outputs, strict=True):
            raw.copy_(torch.addmm(self._head_bias, self._head_weight, block.T))
        for kept, moved in zip((cell, hidden), here[1:], strict=True):
            if moved is not kept:
                kept.copy_(moved)

    def _run(self, joined: Tensor, cell: Tensor, hidden: Tensor) -> Tensor:
        """Write `hidden` layer by layer; returns that of the top layer, [B, H]."""
        if len(self._steps) == 1:
            self._steps[0](joined, cell, hidden)
            return hidden
        below: Tensor
        below, *before = joined.split((FEATURES, *[self._size] * len(self._steps)), 1)
        layers = zip(before, cell.split(self._size, 1), hidden.split(self._size, 1), strict=True)
        for step, (last, kept, top) in zip(self._steps, layers, strict=True):
            step(torch.cat((below, last), 1), kept, top)
            below = top
        return below


def _fast(layer: Cell) -> Step:
    return FusedLstm(layer) if isinstance(layer, Lstm) else partial(_in_blocks, layer)


def _in_blocks(layer: Cell, joined_BX: Tensor, cell: Tensor, hidden: Tensor) -> None:
    """One step of any cell, block by block."""
    blocks = zip(*(tensor.split(BLOCK_ROWS) for tensor in (joined_BX, cell, hidden)), strict=True)
    for joined, kept, shown in blocks:
        inputs, last = joined.split((layer.inputs, layer.hidden), 1)
        moved, kept_on = layer(inputs, (last, kept))
        shown.copy_(moved)
        kept.copy_(kept_on)


def parts(count: int, size: int) -> Iterator[slice]:
    """[0, count) in slices of `size`; the last one may be shorter."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def device(name: str) -> torch.device:
    """Device for `model.device`: cpu, cuda (or cuda:N), or auto. Raises ModelError if torch sees no CUDA device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError("model.device is cuda, but torch sees no CUDA device; use cpu or auto")
    return torch.device(name)
