"""Recorded streams as the network sees them: the bank runs over them as in the daemon, all streams step by step.

Shape legend: T steps, S streams, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detector.columns import allocate
from detector.models.features import FEATURES, features
from detector.models.naive import FIELDS, Bank, Slot, unpack

Float64 = npt.NDArray[np.float64]
Report = Callable[[int, int], None]
"""(steps done, steps in all)."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Recorded streams as the network sees them."""

    inputs_TSF: Tensor
    target_TS: Tensor
    """(next value - last value) / s."""
    mask_TS: Tensor
    """1 where there is a next value."""
    unit_TS: Tensor
    """s."""


def record(times_ST: Float64, values_ST: Float64, report: Report | None = None) -> Windows:
    """Run the bank over streams. Missing samples (NaN) are skipped, so a gap is a jump in time."""
    times_TS, values_TS, length_S = compact(times_ST, values_ST)
    steps, count = times_TS.shape
    state, bank, rows = allocate(FIELDS, count), Bank(), np.arange(count)
    inputs = np.empty((steps, count, FEATURES), np.float32)
    last, unit = np.empty((steps, count)), np.empty((steps, count))
    for step in range(steps):
        bank.learn(state, rows, times_TS[step], values_TS[step])
        packed = unpack(state, rows)
        inputs_FS, unit[step] = features(packed)
        inputs[step], last[step] = inputs_FS.T, packed[Slot.LAST]
        if report is not None:
            report(step + 1, steps)
    target = np.zeros((steps, count), np.float32)
    target[:-1] = np.clip((last[1:] - last[:-1]) / unit[:-1], -1e6, 1e6)
    mask = (np.arange(steps)[:, None] < length_S[None, :] - 1).astype(np.float32)
    made = (inputs, target, mask, unit.astype(np.float32))
    return Windows(*(torch.from_numpy(array) for array in made))


def compact(times_ST: Float64, values_ST: Float64) -> tuple[Float64, Float64, npt.NDArray[np.int64]]:
    """(times, values, [S] lengths), time-major: present samples come first, then the last one repeats."""
    present = np.isfinite(values_ST)
    order = np.argsort(~present, axis=1, kind="stable")
    length_S = present.sum(axis=1)
    behind = np.arange(values_ST.shape[1])[None, :] >= length_S[:, None]
    last = np.maximum(length_S - 1, 0)[:, None]
    order = np.where(behind, np.take_along_axis(order, last, axis=1), order)
    values = np.nan_to_num(np.take_along_axis(values_ST, order, axis=1))
    times = np.take_along_axis(times_ST, order, axis=1)
    return np.ascontiguousarray(times.T), np.ascontiguousarray(values.T), length_S
