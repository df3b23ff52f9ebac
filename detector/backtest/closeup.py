"""Close-ups: the rows around single events and alerts, for series too long to show them in one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice, zip_longest

import numpy as np

from detector.backtest.count import Judgement, Verdict
from detector.backtest.labels import Window, iso

MOST = 3
LONG_ROWS = 2000
"""A picture of fewer rows shows enough detail without close-ups."""
ROWS_AROUND = 40


def close_ups(judged: Judgement) -> list[tuple[str, Judgement]]:
    """Up to `MOST` captioned stretches: missed, false and caught in turn or, without labels, the alerts."""
    if len(judged.history.times) < LONG_ROWS:
        return []
    turns = chain.from_iterable(zip_longest(_missed(judged), _false(judged), _caught(judged), _unjudged(judged)))
    chosen = islice((turn for turn in turns if turn is not None), MOST)
    return [(words, cut(judged, span)) for words, span in chosen]


def _missed(judged: Judgement) -> Iterator[tuple[str, Window]]:
    for event in judged.events:
        if event.verdict == Verdict.MISSED:
            yield f"missed: {iso(event.start)}", (event.start, event.end)


def _false(judged: Judgement) -> Iterator[tuple[str, Window]]:
    return _alerts(judged, True, "false alert")


def _unjudged(judged: Judgement) -> Iterator[tuple[str, Window]]:
    return _alerts(judged, None, "alert")


def _alerts(judged: Judgement, verdict: bool | None, word: str) -> Iterator[tuple[str, Window]]:
    """Highest scores first."""
    pairs = zip(judged.history.episodes, judged.false, strict=True)
    for episode in sorted((one for one, false in pairs if false is verdict), key=lambda one: -one.anomaly_score):
        end = episode.until(float(judged.history.times[-1]))
        yield f"{word}: {iso(episode.fired_at)}", (episode.fired_at, end)


def _caught(judged: Judgement) -> Iterator[tuple[str, Window]]:
    for event in judged.events:
        if event.verdict == Verdict.CAUGHT:
            yield f"caught: {iso(event.start)}", (event.start, event.end)


def cut(judged: Judgement, span: Window) -> Judgement:
    """The part of a judged series around a span of time, with the events and alerts that reach into it."""
    history = judged.history
    first, last = np.searchsorted(history.times, span).tolist()
    around = max(ROWS_AROUND, (last - first) // 3)
    rows = slice(max(first - around, 0), last + around + 1)
    times = history.times[rows]
    start, end = float(times[0]), float(times[-1])
    kept = [one.fired_at <= end and one.until(np.inf) >= start for one in history.episodes]
    columns = ("times", "values", "expected", "lower", "upper", "scores", "scored")
    part = replace(
        history,
        **{name: getattr(history, name)[rows] for name in columns},
        episodes=tuple(one for one, keep in zip(history.episodes, kept, strict=True) if keep),
    )
    return replace(
        judged,
        history=part,
        events=tuple(event for event in judged.events if event.start <= end and event.end >= start),
        false=tuple(false for false, keep in zip(judged.false, kept, strict=True) if keep),
    )
