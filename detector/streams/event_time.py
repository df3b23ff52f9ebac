"""Event time of a partition: how far its records have come, by a vote of its streams.

Streams expire by event time, so a single host whose clock is years ahead must not move it. A sample that leads it by
less than a `step` can do no harm and moves it. One that leads it by more triggers a vote of the streams present: event
time moves to where half of them have come, or else stays. If streams keep leading, the vote is repeated now and then.
If event time has not moved at all while these streams advanced by a step, no other streams are left, and it follows
them. A partition that has just begun knows too little to trust its first sample, and also votes on samples far behind.

Everything depends on the order of the samples only, not on how they were cut into batches.

Shape legend: N samples in order; S streams.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from detector.records import Float64

PATIENCE = 4
"""Votes in a row, each after as many samples as there are voters, that may leave event time where it is before it
follows the streams that lead: a host may send its backlog all at once."""

LEAST_WAIT = 16
"""Between two votes lies at least one sample for every so many streams, because a vote looks at all of them."""
WINDOW = 4096
"""Samples searched at a time: a batch that spans years needs thousands of looks."""


class EventTime(NamedTuple):
    """Event time of a partition, and the state of its votes."""

    newest: float = -math.inf
    """Event time in unix seconds; -inf before the first sample."""
    wait: int = 0
    """Samples until the next vote is allowed."""
    refused: int = 0
    """Votes since event time last moved."""
    since: float = 0.0
    """Median time of the streams that lead; the smallest one over these votes."""
    young: bool = True
    """No sample has moved event time across a multiple of the step yet."""


def until_look(now: EventTime, times_N: Float64, step: float) -> tuple[EventTime, int | None]:
    """Advance event time to just before the first sample that needs a look at the streams; returns its position, too.

    Such a sample would move event time across a multiple of `step`, or triggers a vote. If there is none, all samples
    are taken in and the position is None.

    >>> until_look(EventTime(8.0, young=False), np.array([9.0, 7.0, 11.0]), 10.0)
    (EventTime(newest=9.0, wait=0, refused=0, since=0.0, young=False), 2)
    >>> until_look(EventTime(8.0, wait=1, young=False), np.array([99.0, 9.0, 99.0]), 10.0)
    (EventTime(newest=9.0, wait=0, refused=0, since=0.0, young=False), 2)
    """
    for first in range(0, len(times_N), WINDOW):
        now, position = _within_window(now, times_N[first : first + WINDOW], step)
        if position is not None:
            return now, first + position
    return now, None


def _within_window(now: EventTime, times_N: Float64, step: float) -> tuple[EventTime, int | None]:
    if now.newest == -math.inf:
        now = now._replace(newest=float(times_N[0]))
    newest = max(now.newest, float(times_N.max()))
    near = newest < now.newest + step and (not now.young or float(times_N.min()) > newest - step)
    if near and math.floor(newest / step) == math.floor(now.newest / step):
        return _reached(now, newest, len(times_N)), None
    beyond_N = np.floor(times_N / step) > math.floor(now.newest / step)
    within_N = np.where(beyond_N, -np.inf, times_N)
    reached_N = np.maximum.accumulate(np.concatenate(([now.newest], within_N)))
    leads_N = times_N >= reached_N[:-1] + step
    asks_N = leads_N | (times_N <= reached_N[:-1] - step) if now.young else leads_N.copy()
    asks_N[: now.wait] = False
    looks = np.flatnonzero(asks_N | (beyond_N & ~leads_N))
    end = int(looks[0]) if len(looks) else len(times_N)
    return _reached(now, float(reached_N[end]), end), end if len(looks) else None


def _reached(now: EventTime, newest: float, taken: int) -> EventTime:
    """Event time after `taken` samples, none of which needed a look."""
    refused = now.refused if newest == now.newest else 0
    return now._replace(newest=newest, wait=max(0, now.wait - taken), refused=refused)


def looked(now: EventTime, time: float, latest_S: Float64, step: float) -> EventTime:
    """Event time after the sample at `time`, which `until_look` found.

    `latest_S` are the times of the newest samples of the partition's other streams.
    """
    if now.newest < time < now.newest + step:
        return now._replace(newest=time, refused=0, young=False)
    there = latest_S if now.young else latest_S[latest_S >= now.newest - step]
    half, leads = _lower_median(there, time), _lower_median(latest_S[latest_S >= now.newest + step], time)
    newest = now.newest
    if half > now.newest or (now.young and half <= now.newest - step):
        newest = half
    elif now.refused >= PATIENCE and leads >= now.since + step:
        newest = leads
    if abs(time - newest) < step:
        return EventTime(max(newest, time), young=now.young)
    wait = max(len(there), len(latest_S) // LEAST_WAIT) + 2
    if newest != now.newest:
        return EventTime(newest, wait, young=now.young)
    since = min(leads, now.since) if now.refused else leads
    return EventTime(newest, wait, now.refused + 1, since, now.young)


def _lower_median(latest_S: Float64, time: float) -> float:
    votes = np.sort(np.append(latest_S, time))
    return float(votes[(len(votes) - 1) // 2])
