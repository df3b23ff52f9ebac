"""Labelled events against days with false alerts, at every threshold: what counts if series have many events.

These are the rules of Microsoft's cloud monitoring data set, as the benchmarks use it.

An event counts as caught if a row in [first, last + 3] is above the threshold; rows above it elsewhere are false, one
false alert per series and calendar day. The first max(15% of rows, 48) rows do not count. All series share one
threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detector.backtest.series import Series
from detector.backtest.sweep import at_least, cumulate
from detector.records import Float64

GRACE_ROWS = 3
DAY_SECONDS = 86_400.0
WEEK_SECONDS = 7 * DAY_SECONDS


class Peaks(NamedTuple):
    """The highest score of each event and of each day outside events, and the time judged."""

    events: Float64
    days: Float64
    weeks: float


def probation(rows: int) -> int:
    """Rows at the beginning that do not count."""
    return int(max(0.15 * rows, 48))


def peaks(series: Series, scores: Float64) -> Peaks:
    """Highest scores of one series; an event that ends within the probation does not count."""
    start = probation(len(scores))
    outside = np.ones(len(scores), dtype=bool)
    outside[:start] = False
    found = []
    for first, last in series.windows:
        outside[first : last + GRACE_ROWS + 1] = False
        if last >= start:
            found.append(scores[max(first, start) : last + GRACE_ROWS + 1].max())
    rows = np.flatnonzero(outside)
    _, day = np.unique((series.times[rows] // DAY_SECONDS).astype(np.int64), return_inverse=True)
    highest = np.zeros(day.max(initial=-1) + 1)
    np.maximum.at(highest, day, scores[rows])
    weeks = (series.times[-1] - series.times[min(start, len(scores) - 1)]) / WEEK_SECONDS
    return Peaks(np.array(found), highest, float(weeks))


def f1(caught: Float64, false: Float64, events: int) -> Float64:
    """Harmonic mean of precision and recall over events; NaN without events.

    >>> f1(np.array([3.0]), np.array([1.0]), 4).tolist()
    [0.75]
    """
    return np.asarray(2.0 * caught / (caught + false + events if events else np.nan))


def evaluate(
    collection: Sequence[Series],
    scores: Sequence[Float64],
    own_threshold: float = 1.0,
    false_per_stream_week: float = 0.25,
) -> dict[str, float]:
    """Best F1, events caught at a false-alert budget, and both at the product's own threshold (score > it).

    NaN where a figure is undefined: without an event that counts, or without time.
    """
    parts = [peaks(series, score) for series, score in zip(collection, scores, strict=True)]
    events = np.concatenate([part.events for part in parts])
    days = np.concatenate([part.days for part in parts])
    weeks = sum(part.weeks for part in parts)
    thresholds = np.unique(events[events > 0.0])[::-1]
    caught = at_least(cumulate(events, np.ones(len(events))), thresholds)
    false = at_least(cumulate(days, np.ones(len(days))), thresholds)
    quality = f1(caught, false, len(events))
    own_caught, own_false = float((events > own_threshold).sum()), float((days > own_threshold).sum())
    within = caught[false <= false_per_stream_week * weeks]
    count = len(events) or np.nan
    return {
        "best_f1": float(quality.max(initial=0.0)) if len(events) else float("nan"),
        "best_threshold": float(thresholds[np.argmax(quality)]) if len(thresholds) else float("inf"),
        "caught_in_budget": float(within.max(initial=0.0)) / count,
        "f1_at_own_threshold": float(f1(np.array(own_caught), np.array(own_false), len(events))),
        "caught_at_own_threshold": own_caught / count,
        "false_per_stream_week_at_own_threshold": own_false / (weeks or np.nan),
        "events": float(len(events)),
    }
