"""What learning on was worth: errors against those of learning off, and how soon a change was got over.

Shape legend: T steps, S streams, W windows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

WINDOW = 64
"""Steps of a running error."""
RECOVERED = 1.05


def nothing(values_ST: Float64) -> Float64:
    """[S] what counts as no error at a stream's magnitude."""
    floor_S: Float64 = 1e-6 * np.nanmean(np.abs(values_ST), axis=1) + 1e-30
    return floor_S


def ratios(on_ST: Float64, off_ST: Float64, floor_S: Float64, parts: Mapping[str, slice]) -> dict[str, float]:
    """Name -> geometric mean over streams of the one error over the other's, in each of the parts of their lives."""
    found = {}
    for name, part in parts.items():
        on_S, off_S = (_logarithm(error_ST[:, part], floor_S) for error_ST in (on_ST, off_ST))
        found[name] = float(np.exp(np.nanmean(on_S - off_S)))
    return found


def recovery(error_ST: Float64, mark_S: Float64, floor_S: Float64, half: int) -> int:
    """Steps after the change until the mean error of the last `WINDOW` ones is within 5% of `mark_S`.

    A geometric mean over streams; all steps there are if that never happens.
    """
    after = error_ST.shape[1] - half
    for end in range(WINDOW, after + 1):
        seen = _logarithm(error_ST[:, half + end - WINDOW : half + end], floor_S)
        if np.nanmean(seen - np.log(mark_S + floor_S)) <= np.log(RECOVERED):
            return end
    return after


def _logarithm(error_ST: Float64, floor_S: Float64) -> Float64:
    """[S] of the mean error; NaN where there is none."""
    there_S = np.isfinite(error_ST).any(axis=1)
    mean_S = np.full(len(error_ST), np.nan)
    mean_S[there_S] = np.nanmean(error_ST[there_S], axis=1)
    found: Float64 = np.log(mean_S + floor_S)
    return found
