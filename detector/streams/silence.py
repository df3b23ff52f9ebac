"""Streams that are heard from, and streams that have fallen silent: what sent them is dead, or switched off."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.records import Float64

INTERVALS = 5.0
"""A stream is active until it has missed so many of its usual intervals ..."""
LEAST_SECONDS = 300.0
"""... and for at least this long."""
MOST_SECONDS = 86_400.0
"""After a day of silence, or twice the time above if that is longer, a stream is taken for gone."""
HEARD = 0.75
"""Share of a partition's streams by which its present time is judged: a few hosts whose clock is fast silence nobody,
and where most streams fall silent together, that is still seen."""


class Heard(NamedTuple):
    """[S] each; a stream that is gone, or never had a sample, is neither."""

    active: npt.NDArray[np.bool_]
    silent: npt.NDArray[np.bool_]


def heard(latest_S: Float64, interval_S: Float64, event_time: float) -> Heard:
    """Which streams of a partition are active, and which have fallen silent; times in unix seconds of event time.

    `latest_S` are their newest samples, -inf before the first; `interval_S` their typical seconds between two.

    >>> heard(np.array([1_000.0, 1_000.0, 990.0, 400.0]), np.full(4, 60.0), 1_000.0).silent.tolist()
    [False, False, False, True]
    """
    recent_S = latest_S[np.abs(event_time - latest_S) <= MOST_SECONDS] if math.isfinite(event_time) else latest_S[:0]
    if not len(recent_S):
        nobody = np.zeros(len(latest_S), dtype=np.bool_)
        return Heard(nobody, nobody)
    behind_S = np.quantile(recent_S, HEARD, method="lower") - latest_S
    patience_S = np.maximum(LEAST_SECONDS, INTERVALS * interval_S)
    active = np.asarray(behind_S <= patience_S)
    return Heard(active, ~active & (behind_S <= np.maximum(MOST_SECONDS, 2.0 * patience_S)))
