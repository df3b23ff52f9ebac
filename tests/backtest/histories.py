"""Histories made by hand."""

from collections.abc import Sequence

import numpy as np

from detector.backtest.count import Judgement, judge
from detector.backtest.history import Episode, History

STEP = 60.0
START = 1_600_000_000.0


def at(row: float) -> float:
    return START + STEP * row


def episode(fired: float, resolved: float | None) -> Episode:
    """An alert by rows."""
    end = None if resolved is None else at(resolved)
    return Episode(f"{fired}", at(fired), end, 1.5, "above", "warning")


def history(
    rows: int, episodes: Sequence[tuple[float, float | None]] = (), warmup: int = 10, name: str = "a/b.csv"
) -> History:
    """A flat series whose score is 2 wherever an alert fires."""
    times, values = at(0) + STEP * np.arange(float(rows)), np.ones(rows)
    scores = np.zeros(rows)
    for fired, resolved in episodes:
        scores[int(fired) : rows if resolved is None else int(resolved)] = 2.0
    return History(
        name,
        times,
        values,
        values,
        values - 0.5,
        values + 0.5,
        scores,
        np.arange(rows) >= warmup,
        tuple(episode(*each) for each in episodes),
    )


def judged(
    rows: int, episodes: Sequence[tuple[float, float | None]], windows: Sequence[tuple[float, float]]
) -> Judgement:
    return judge(history(rows, episodes), [(at(first), at(last)) for first, last in windows])
