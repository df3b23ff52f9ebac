"""Compares alerts with labelled windows: what was caught, how soon, and what was false.

A window is an event. An event is caught if an alert fires at any moment from its first row to `GRACE_ROWS` rows after
its last; an alert is false if it touches no event in this sense. An event that ends before the stream's first judged
row, or contains no row, is not judged: no detector could have caught it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from detector.backtest.daily import GRACE_ROWS
from detector.backtest.history import Episode, History
from detector.backtest.labels import Window
from detector.backtest.series import Series
from detector.records import Float64


class Verdict(StrEnum):
    """What became of an event."""

    CAUGHT = "caught"
    MISSED = "missed"
    NOT_JUDGED = "not_judged"


@dataclass(frozen=True, slots=True)
class Event:
    """One labelled window and what became of it."""

    start: float
    end: float
    verdict: Verdict
    was_open: bool = False
    """Caught by an alert that had fired before the event began; its delay is 0."""
    delay_samples: int | None = None
    delay_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One series compared with its labels."""

    history: History
    events: tuple[Event, ...]
    false: tuple[bool | None, ...]
    """For each episode of the history; None if the series has no labels."""
    series: Series
    """Input of the scorers that sweep a threshold; windows without a row are left out."""


def judge(history: History, windows: Sequence[Window] | None) -> Judgement:
    """Compare a history with its windows. None means no labels, which is not the same as no windows."""
    times = history.times
    if windows is None:
        nothing = Series(history.name, times, history.values, np.zeros((0, 2), np.int64))
        return Judgement(history, (), (None,) * len(history.episodes), nothing)
    bounds = [(_first(times, start), int(np.searchsorted(times, end, "right")) - 1) for start, end in windows]
    rows = np.array([(first, last) for first, last in bounds if first <= last], dtype=np.int64).reshape(-1, 2)
    events = tuple(_event(history, window, first, last) for window, (first, last) in zip(windows, bounds, strict=True))
    false = tuple(
        not any(_touches(history, episode, first, last) for first, last in rows.tolist())
        for episode in history.episodes
    )
    return Judgement(history, events, false, Series(history.name, times, history.values, rows))


def _first(times: Float64, moment: float) -> int:
    return int(np.searchsorted(times, moment, "left"))


def _touches(history: History, episode: Episode, first: int, last: int) -> bool:
    times = history.times
    behind = times[min(last + GRACE_ROWS, len(times) - 1)]
    # The sample that resolves an alert is normal: the alert does not catch an event that begins with it.
    resolved = np.inf if episode.resolved_at is None else episode.resolved_at
    return bool(episode.fired_at <= behind and resolved > times[first])


def _event(history: History, window: Window, first: int, last: int) -> Event:
    start, end = window
    if first > last or last < history.first_scored:
        return Event(start, end, Verdict.NOT_JUDGED)
    touching = [episode for episode in history.episodes if _touches(history, episode, first, last)]
    if not touching:
        return Event(start, end, Verdict.MISSED)
    fired_at = touching[0].fired_at
    begins = float(history.times[first])
    return Event(
        start,
        end,
        Verdict.CAUGHT,
        was_open=fired_at < begins,
        delay_samples=max(_first(history.times, fired_at) - first, 0),
        delay_seconds=max(fired_at - begins, 0.0),
    )
