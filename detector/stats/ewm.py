"""Exponentially weighted statistics over many streams at once.

Every function is elementwise, so a stream's result never depends on which others share the call.
All arithmetic keeps the dtype of its inputs. Shape legend: any shape that broadcasts; usually [B] or [K, B].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

UNCAPPED_RATE = 0.125
"""Rates above this belong to a stream's first samples; nothing is capped, for lack of anything to compare with."""


def warm_rate(age: Array, rate: float | Array) -> Array:
    """Learning rate that averages the first 1 / `rate` samples evenly, then forgets at `rate`.

    `age` counts the samples, including the current one; at least 1.

    >>> warm_rate(np.array([1.0, 2.0, 100.0]), 0.1).tolist()
    [1.0, 0.5, 0.1]
    """
    return np.maximum(1.0 / age, rate).astype(age.dtype, copy=False)


def follow(mean: Array, value: Array, rate: Array | float) -> Array:
    """Return mean + rate * (value - mean), the exponentially weighted mean after one more sample."""
    moved = (value - mean) * rate
    moved += mean
    return moved


def follow_capped(error: Array, value: Array, rate: Array, limit: Array) -> Array:
    """Exponentially weighted mean of non-negative values, each counted as at most `limit`."""
    return follow(error, np.minimum(value, limit), rate)


def follow_robust(mean: Array, deviation: Array, value: Array, rate: Array, limit: Array) -> tuple[Array, Array]:
    """Slow mean and mean absolute deviation that follow a sustained shift but barely react to a spike.

    A sample's distance counts as at most `limit`, some multiple of the deviation (clipped influence, Huber 1964). A
    distance that persists keeps pushing the mean and widens the deviation, so adaptation speeds up until the shift is
    inside.
    """
    distance = value - mean
    clipped = np.where(rate > UNCAPPED_RATE, distance, np.clip(distance, -limit, limit))
    return mean + rate * clipped, follow(deviation, np.abs(clipped), rate)
