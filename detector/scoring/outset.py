"""A warmup dominated by one absurd value: a gauge before its first measurement, an overflow, another unit.

During warmup nothing is judged and everything is learned. But deviations never forget, so one value far beyond all
others would hide everything else for good. If the smallest or the largest number of the warmup is that far from the
next one, the stream starts again after it.

Shape legend: B rows of one call, K numbers of a stream.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def is_dominated(sorted_BK: Float64, absurd: float, floor: float) -> Bools:
    """[B] whether one number is further from all others than `absurd` times the span of these.

    Numbers ascend, padded with infinity if there are fewer than K. The span is at least the share `floor` of the
    numbers' size; if the others are all equal, it is that size itself.

    >>> is_dominated(np.array([[1.0, 1.0, 2.0, 900.0], [-9e3, 3.0, 3.0, np.inf], [1.0, 2.0, 3.0, 900.0]]), 500.0, 1e-4)
    array([ True,  True, False])
    """
    rows, last_B = np.arange(len(sorted_BK)), np.isfinite(sorted_BK).sum(axis=1) - 1
    if sorted_BK.shape[1] < 3:
        return np.zeros(len(rows), dtype=np.bool_)
    lowest_B, second_B = sorted_BK[:, 0], sorted_BK[:, 1]
    highest_B, last_but_one_B = sorted_BK[rows, last_B], sorted_BK[rows, np.maximum(last_B - 1, 0)]
    above_B = highest_B - last_but_one_B > absurd * _span(lowest_B, last_but_one_B, floor)
    below_B = second_B - lowest_B > absurd * _span(second_B, highest_B, floor)
    return np.asarray((last_B >= 2) & (above_B | below_B))


def _span(first_B: Float64, last_B: Float64, floor: float) -> Float64:
    """[B] span of two numbers, with the floor of `is_dominated`; infinite if both are 0: nothing is far from them."""
    size_B = np.maximum(np.abs(first_B), np.abs(last_B))
    span_B = np.where(last_B > first_B, np.maximum(last_B - first_B, floor * size_B), size_B)
    return np.where(span_B > 0.0, span_B, np.inf)
