"""Order in time, per stream.

A sample counts if it is newer than every accepted sample of its stream. One at the same time as the newest is a
duplicate, an older one is late; neither changes any state. Nothing waits for stragglers: holding samples back would
delay alerts for all streams.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detector.records import LARGEST_VALUE, Float64, Int64, Outcome, SampleBatch, Uint8

EARLIEST_TIME = 0.0
LATEST_TIME = 7_258_118_400.0
"""The year 2200."""


def screen(batch: SampleBatch, max_future_seconds: float) -> Uint8:
    """[N] outcomes of the batch, with samples out of bounds discarded: only numbers in range reach a model.

    A sample's time may lead the record's own time by at most `max_future_seconds`: otherwise, a stray sample from the
    far future would make all later ones of its stream late.
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

    Samples of a stream keep their order of arrival. Within an array, rows ascend: state is fetched faster in the order
    in which it lies in memory.

    >>> [picks.tolist() for picks in rounds(np.array([8, 7, 8, 8, 9]))]
    [[1, 0, 4], [2], [3]]
    """
    count = len(rows_N)
    if count == 0:
        return
    by_row = np.argsort(rows_N, kind="stable")
    sorted_rows = rows_N[by_row]
    starts = np.flatnonzero(np.concatenate(([True], sorted_rows[1:] != sorted_rows[:-1])))
    if len(starts) == count:
        yield by_row
        return
    lengths = np.diff(np.append(starts, count))
    nth = np.arange(count) - np.repeat(starts, lengths)
    by_round = by_row[np.argsort(nth, kind="stable")]
    ends = np.cumsum(np.bincount(nth))
    yield from np.split(by_round, ends[:-1])
