"""Samples of several partitions in the order in which they were written, each partition's in its own."""

from __future__ import annotations

import numpy as np

from detector.records import SampleBatch
from detector.routing.merge import Merge

A, B = ("metrics", 0), ("metrics", 1)
NO_TIME = float("nan")


def batch(partition: tuple[str, int], record_times: list[float], first: int = 0) -> SampleBatch:
    """A record each, with its offset as the value."""
    count = len(record_times)
    offsets = np.arange(first, first + count)
    return SampleBatch(
        *partition,
        series=np.full(count, partition[1]),
        times=np.zeros(count),
        values=offsets.astype(np.float64),
        kinds=np.zeros(count, dtype=np.uint8),
        outcomes=np.zeros(count, dtype=np.uint8),
        offsets=offsets,
        record_times=np.array(record_times, dtype=np.float64),
    )


def taken(merge: Merge, *behind: tuple[str, int]) -> list[tuple[int, int]]:
    """(partition, offset) of the samples that need not wait."""
    found = merge.take(behind)
    return [] if found is None else list(zip(found.series.tolist(), found.offsets.tolist(), strict=True))


def test_records_without_a_sample_only_move_the_position() -> None:
    merge = Merge()
    merge.add(batch(A, [], first=0), end=5)
    assert merge.positions() == {A: 5}
    assert taken(merge) == taken(merge, A) == []
    merge.add(batch(A, [10.0], first=5), end=6)
    merge.add(batch(A, [], first=6), end=9)
    assert merge.positions() == {A: 5}
    assert taken(merge, A) == [(0, 5)]
    assert merge.positions() == {A: 9}


def test_nothing_is_read_past_what_a_partition_has_not_delivered_yet() -> None:
    merge = Merge()
    merge.add(batch(A, [10.0, 30.0, 50.0]), end=3)
    assert taken(merge, B) == [], "nothing of B is there"
    merge.add(batch(B, [20.0, 30.0]), end=2)
    assert taken(merge, A, B) == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert (merge.positions(), merge.pending(A), merge.pending(B)) == ({A: 2, B: 2}, 1, 0)
    assert taken(merge) == [(0, 2)], "B has no more"


def test_samples_written_at_one_time_keep_their_order_and_wait_for_nobody() -> None:
    for time in (10.0, NO_TIME):
        merge = Merge()
        for partition in (B, A):
            merge.add(batch(partition, [time] * 100), end=100)
        assert taken(merge, A, B) == [(number, at) for number in (0, 1) for at in range(100)]


def test_samples_written_in_one_of_many_steps_keep_their_order() -> None:
    merge = Merge()
    for partition in (A, B):
        merge.add(batch(partition, [float(at // 10) for at in range(100)]), end=100)
    in_order = [(number, at) for step in range(10) for number in (0, 1) for at in range(10 * step, 10 * step + 10)]
    assert taken(merge, A, B) == in_order


def test_record_time_in_the_future_is_ignored() -> None:
    merge = Merge()
    merge.add(batch(A, [10.0, 999.0, 20.0]), end=3, latest=100.0)
    merge.add(batch(B, [15.0]), end=1, latest=100.0)
    assert taken(merge, A) == [(0, 0), (0, 1), (1, 0), (0, 2)]
