"""Order in time, per stream.

A sample counts when it is newer than every accepted sample of its stream. One at the same time is a duplicate, an older
one is late; neither changes any state. Nothing waits for stragglers: a held sample would make alerts later for all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detector.records import LARGEST_VALUE, Float64, Int64, Outcome, SampleBatch, Uint8

EARLIEST_TIME = 0.0
LATEST_TIME = 7_258_118_400.0
"""The year 2200."""


def screen(batch: SampleBatch, max_future_seconds: float) -> Uint8:
    """[N] the batch's outcomes, with everything out of bounds discarded: nothing but numbers in range reaches a model.

    A time may lead the record's own time by `max_future_seconds`; one stray sample from the far future would otherwise
    make every later one of its stream late.
    """
    outcomes = batch.outcomes.copy()
    open_N = outcomes == Outcome.SCORED
    finite_N = np.isfinite(batch.values)
    outcomes[open_N & ~finite_N] = Outcome.NOT_FINITE
    outcomes[open_N & finite_N & (np.abs(batch.values) > LARGEST_VALUE)] = Outcome.OUT_OF_RANGE
    ahead_N = batch.times > batch.record_times + max_future_seconds
    in_range_N = (batch.times >= EARLIEST_TIME) & (batch.times <= LATEST_TIME)
    outcomes[open_N & (ahead_N | ~in_range_N)] = Outcome.BAD_TIMESTAMP
    return outcomes


def judge(times_B: Float64, latest_B: Float64) -> Uint8:
    """[B] SCORED, LATE or DUPLICATE for samples at `times_B` of streams whose newest accepted sample is at `latest_B`.

    >>> judge(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, -np.inf])).tolist()
    [2, 3, 0]
    """
    outcomes_B = np.full(len(times_B), Outcome.SCORED, dtype=np.uint8)
    outcomes_B[times_B < latest_B] = Outcome.LATE
    outcomes_B[times_B == latest_B] = Outcome.DUPLICATE
    return outcomes_B


def rounds(rows_N: Int64) -> Iterator[Int64]:
    """Index arrays that partition the samples: the k-th holds every stream's k-th sample, so its rows are distinct.

    Within a stream the order of arrival is kept.

    >>> [picks.tolist() for picks in rounds(np.array([7, 8, 7, 7, 9]))]
    [[0, 1, 4], [2], [3]]
    """
    count = len(rows_N)
    if count == 0:
        return
    by_row = np.argsort(rows_N, kind="stable")
    sorted_rows = rows_N[by_row]
    starts = np.flatnonzero(np.concatenate(([True], sorted_rows[1:] != sorted_rows[:-1])))
    if len(starts) == count:
        yield np.arange(count, dtype=np.int64)
        return
    lengths = np.diff(np.append(starts, count))
    nth = np.empty(count, dtype=np.int64)
    nth[by_row] = np.arange(count) - np.repeat(starts, lengths)
    by_round = np.argsort(nth, kind="stable")
    ends = np.cumsum(np.bincount(nth))
    yield from np.split(by_round, ends[:-1])
