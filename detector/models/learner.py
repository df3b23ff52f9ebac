"""Truncated backpropagation through time over recorded streams.

The bank runs online over whole batches first (numpy, exactly as in the daemon), which turns streams into inputs and
targets in units of s; the network then learns chunk after chunk, its state carried and its gradient cut in between.

Shape legend: T steps, S streams, B streams of one update, F features, K experts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detector.columns import allocate
from detector.models.backbone import Backbone
from detector.models.features import ERROR_LOGS, FEATURES, OFFSETS, features
from detector.models.naive import EXPERTS, FIELDS, Bank, Slot, unpack

Float64 = npt.NDArray[np.float64]

LARGE_ERROR = 50.0
"""Errors count linearly up to about this many s and logarithmically beyond, so that one jump cannot own an update."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Recorded streams as the network sees them."""

    inputs_TSF: Tensor
    target_TS: Tensor
    """(next value - last value) / s."""
    mask_TS: Tensor
    """1 where there is a next value."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How to learn."""

    updates: int
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    chunk: int = 384
    batch: int = 256
    clip: float = 1.0

    def rate(self, update: int) -> float:
        """Cosine from the full rate to a hundredth of it, after a short warm-up."""
        warm = min(1.0, (update + 1) / 20)
        done = min(update / max(self.updates, 1), 1.0)
        return self.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def record(times_ST: Float64, values_ST: Float64) -> Windows:
    """Run the bank over streams. Missing samples (NaN) are left out, so that a gap is a jump in time."""
    times_TS, values_TS, length_S = _compact(times_ST, values_ST)
    steps, count = times_TS.shape
    state, bank, rows = allocate(FIELDS, count), Bank(), np.arange(count)
    inputs = np.empty((steps, count, FEATURES), np.float32)
    last, unit = np.empty((steps, count)), np.empty((steps, count))
    for step in range(steps):
        bank.learn(state, rows, times_TS[step], values_TS[step])
        packed = unpack(state, rows)
        inputs_FS, unit[step] = features(packed)
        inputs[step], last[step] = inputs_FS.T, packed[Slot.LAST]
    target = np.zeros((steps, count), np.float32)
    target[:-1] = np.clip((last[1:] - last[:-1]) / unit[:-1], -1e6, 1e6)
    mask = (np.arange(steps)[:, None] < length_S[None, :] - 1).astype(np.float32)
    return Windows(torch.from_numpy(inputs), torch.from_numpy(target), torch.from_numpy(mask))


def _compact(times_ST: Float64, values_ST: Float64) -> tuple[Float64, Float64, npt.NDArray[np.int64]]:
    """Present samples moved to the front, time-major; behind them the last one repeats."""
    present = np.isfinite(values_ST)
    order = np.argsort(~present, axis=1, kind="stable")
    length_S = present.sum(axis=1)
    behind = np.arange(values_ST.shape[1])[None, :] >= length_S[:, None]
    last = np.maximum(length_S - 1, 0)[:, None]
    order = np.where(behind, np.take_along_axis(order, last, axis=1), order)
    values = np.nan_to_num(np.take_along_axis(values_ST, order, axis=1))
    times = np.take_along_axis(times_ST, order, axis=1)
    return np.ascontiguousarray(times.T), np.ascontiguousarray(values.T), length_S


def likelihood(outputs: Tensor, inputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(negative log likelihood of a Laplace distribution less its constant, absolute error), both per sample.

    |e| / exp(b) + b, with large errors counted by c log(1 + |e| / c).
    """
    offsets = torch.sinh(inputs[..., OFFSETS])
    forecast = (outputs[..., :EXPERTS] * offsets).sum(-1) + outputs[..., EXPERTS]
    log_scale = outputs[..., EXPERTS + 1]
    error = torch.abs(target - forecast)
    counted = LARGE_ERROR * torch.log1p(error / LARGE_ERROR)
    return counted * torch.exp(-log_scale) + log_scale, error


class Learner:
    """Holds the optimiser; deterministic given the backbone, the windows and torch's seed."""

    def __init__(self, backbone: Backbone, schedule: Schedule) -> None:
        self.backbone = backbone
        self.schedule = schedule
        self.updates = 0
        self._optimiser = torch.optim.AdamW(
            backbone.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )

    def learn(self, windows: Windows, order: npt.NDArray[np.int64]) -> Iterator[float]:
        """One pass over the streams in `order`; yields the loss of each update, and stops when the schedule is done."""
        schedule = self.schedule
        for first in range(0, len(order), schedule.batch):
            streams = torch.from_numpy(order[first : first + schedule.batch])
            hidden, cell = self.backbone.initial(len(streams))
            for start in range(0, len(windows.inputs_TSF), schedule.chunk):
                if self.updates >= schedule.updates:
                    return
                part = slice(start, start + schedule.chunk)
                inputs_TBF = windows.inputs_TSF[part, streams]
                outputs, hidden, cell = self.backbone.unroll(inputs_TBF, hidden, cell)
                loss, _ = likelihood(outputs, inputs_TBF, windows.target_TS[part, streams])
                yield self._update(loss, windows.mask_TS[part, streams])
                hidden, cell = hidden.detach(), cell.detach()

    def _update(self, loss_TB: Tensor, mask_TB: Tensor) -> float:
        mean = (loss_TB * mask_TB).sum() / mask_TB.sum().clamp(min=1)
        for group in self._optimiser.param_groups:
            group["lr"] = self.schedule.rate(self.updates)
        self._optimiser.zero_grad()
        torch.autograd.backward(mean)
        torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), self.schedule.clip)
        self._optimiser.step()
        self.updates += 1
        return float(mean.detach())


def evaluate(backbone: Backbone, windows: Windows, skip: float = 0.15) -> dict[str, float]:
    """Losses on held-out windows, the first share of steps skipped.

    `ratio` is the geometric mean over streams of the network's absolute error over the smallest of the experts' and of
    the last value's; `won` the share of streams where it is below 1.
    """
    with torch.inference_mode():
        outputs, _, _ = backbone.unroll(windows.inputs_TSF, *backbone.initial(windows.inputs_TSF.shape[1]))
        loss, error = likelihood(outputs, windows.inputs_TSF, windows.target_TS)
    mask = windows.mask_TS.clone()
    mask[: int(skip * len(mask))] = 0
    count = mask.sum(0).clamp(min=1)
    offsets = torch.sinh(windows.inputs_TSF[..., OFFSETS])
    naive = torch.abs(windows.target_TS[..., None] - offsets)
    online = naive.gather(-1, windows.inputs_TSF[..., ERROR_LOGS].argmin(-1, keepdim=True))[..., 0]
    moved = naive[..., 0] * mask
    ours = (error * mask).sum(0) / count
    best = torch.minimum(moved.sum(0), (online * mask).sum(0)) / count
    usable = best > 1e-3
    ratio = (ours[usable] / best[usable]).clamp(1e-3, 1e3)
    return {
        "loss": float((loss * mask).sum() / mask.sum()),
        "ratio": float(torch.exp(torch.log(ratio).mean())),
        "won": float((ratio < 1).float().mean()),
    }
