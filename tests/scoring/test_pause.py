"""Missing samples, for hours or over a weekend: the first one afterwards does not alert because of the pause."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detector.columns import allocate
from detector.scoring import Scorer

Array = np.ndarray
DAY, HOUR = 86_400.0, 3_600.0
STEP_SECONDS = 900.0
DAYS, STREAMS = 12, 24


def times_with_a_pause(hours: float) -> tuple[Array, int]:
    """(unix seconds, the first sample behind a pause that began at ten in the evening)."""
    times = 19_676 * DAY + STEP_SECONDS * np.arange(DAYS * DAY / STEP_SECONDS)
    back = len(times) - int(26 * HOUR / STEP_SECONDS)
    times[back:] += hours * HOUR
    return times, back


def season(times: Array) -> Array:
    phases = np.arange(STREAMS) / STREAMS
    noise = np.random.default_rng(0).standard_normal((len(times), STREAMS))
    return np.asarray(100.0 + 20.0 * np.sin(2 * np.pi * (times[:, None] / DAY + phases)) + noise)


def walk(times: Array) -> Array:
    steps = np.sqrt(np.diff(times, prepend=times[0]) / STEP_SECONDS)
    noise = np.random.default_rng(1).standard_normal((len(times), STREAMS))
    return np.asarray(100.0 + (steps[:, None] * noise).cumsum(axis=0))


def scores(times: Array, values: Array, *, compact: bool = False) -> Array:
    """[T, S] against a persistence forecast."""
    scorer = Scorer(compact=compact)
    state, rows = allocate(scorer.fields, STREAMS), np.arange(STREAMS)
    found, last = [], np.full(STREAMS, np.nan)
    for time, now in zip(times.tolist(), values, strict=True):
        arguments = (state, rows, np.full(STREAMS, time), now, last, np.ones(STREAMS))
        score = scorer.score(*arguments)
        scorer.learn(*arguments[:4], score)
        found.append(score.anomaly_score)
        last = now
    return np.array(found)


@pytest.mark.parametrize(
    ("kind", "hours", "compact"),
    [(season, 6.0, False), (season, 62.0, False), (walk, 6.0, False), (walk, 6.0, True)],
)
def test_pause_alone_does_not_alert(kind: Callable[[Array], Array], hours: float, compact: bool) -> None:
    times, back = times_with_a_pause(hours)
    found = scores(times, kind(times), compact=compact)
    assert (found[back : back + 8] > 1.0).any(axis=0).sum() <= 1


def test_outage_after_a_pause_alerts() -> None:
    times, back = times_with_a_pause(6.0)
    values = season(times)
    values[back:] += 40.0
    assert (scores(times, values)[back] > 1.0).sum() >= 12
    values[back:] = 0.0
    assert (scores(times, values)[back] > 1.0).all()


def test_one_missing_sample_is_not_a_pause() -> None:
    times, back = times_with_a_pause(STEP_SECONDS / HOUR)
    values = season(times)
    values[back] += 15.0
    missing = scores(times, values)[back]
    even, _ = times_with_a_pause(0.0)
    np.testing.assert_allclose(missing, scores(even, values)[back], rtol=0.2)
