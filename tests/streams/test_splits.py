"""A series on two partitions is detected, in either order and also when restored from a snapshot."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from detector.columns import BLOCK_ROWS
from detector.series import SeriesKey
from detector.streams.event_time import EventTime
from detector.streams.table import StreamTable

A, B, C = (("t", number) for number in range(3))
SPLIT, WHOLE = SeriesKey.of("cpu", {"host": "a"}), SeriesKey.of("cpu", {"host": "b"})


def table_of(*seen: tuple[tuple[str, int], SeriesKey]) -> StreamTable:
    table = StreamTable((), 2 * BLOCK_ROWS, 1e9)
    for partition, key in seen:
        handle = table.series(partition).intern(key)
        table.rows(partition, np.array([handle]), np.array([1.7e9]))
    return table


@pytest.mark.parametrize("order", list(permutations([(A, SPLIT), (B, SPLIT), (C, SPLIT), (A, WHOLE)])))
def test_count_does_not_depend_on_the_order(order: tuple[tuple[tuple[str, int], SeriesKey], ...]) -> None:
    splits = table_of(*order).splits
    assert splits.count == 2
    assert splits.example == SPLIT
    assert splits.where(SPLIT) == [A, B, C]
    assert splits.where(WHOLE) == [A]


def test_split_series_is_counted_once() -> None:
    assert table_of((A, SPLIT), (B, SPLIT), (A, SPLIT), (B, SPLIT)).splits.count == 1


def test_revoked_partition_is_not_compared_with() -> None:
    table = table_of((A, SPLIT))
    table.drop(A)
    handle = table.series(B).intern(SPLIT)
    table.rows(B, np.array([handle]), np.array([1.7e9]))
    assert table.splits.count == 0


def test_series_that_one_of_its_partitions_leaves_is_on_the_others_still() -> None:
    table = table_of((A, SPLIT), (B, SPLIT))
    table.drop(A)
    table.rows(C, np.array([table.series(C).intern(SPLIT)]), np.array([1.7e9]))
    assert (table.splits.count, table.splits.where(SPLIT)) == (2, [B, C])
    table.drop(B)
    table.drop(C)
    assert table.splits.where(SPLIT) == []


def test_restored_streams_are_compared() -> None:
    before = table_of((A, SPLIT), (A, WHOLE))
    blocks = [before.take(A, number) for number in before.cut(A)]
    after = table_of((B, SPLIT))
    after.restore(A, EventTime(1.7e9), blocks)
    assert after.splits.count == 1
    assert after.splits.example == SPLIT


def test_expired_stream_is_not_compared_with() -> None:
    table = table_of((A, SPLIT), (B, WHOLE))
    table.release(A, table.stream_rows(A))
    handle = table.series(B).intern(SPLIT)
    table.rows(B, np.array([handle]), np.array([1.7e9]))
    assert table.splits.count == 0
    handle = table.series(A).intern(SPLIT)
    table.rows(A, np.array([handle]), np.array([1.7e9]))
    assert (table.splits.count, table.splits.where(SPLIT)) == (1, [A, B])


def test_groups_may_be_on_several_partitions() -> None:
    table = StreamTable((), 2 * BLOCK_ROWS, 1e9, group_by=["host"])
    for partition, name in ((A, "cpu"), (B, "load")):
        handle = table.series(partition).intern(SeriesKey.of(name, {"host": "a"}))
        table.rows(partition, np.array([handle]), np.array([1.7e9]))
    assert len(table.occupied(A)) == len(table.occupied(B)) == 2
    table.release(A, table.occupied(A))
    table.drop(B)
    assert table.splits.count == 0


class Counted(SeriesKey):
    """A key that counts its lookups."""

    looked_up = 0

    def __hash__(self) -> int:
        Counted.looked_up += 1
        return super().__hash__()


@pytest.mark.parametrize("restored", [False, True])
def test_cost_of_a_new_stream_does_not_grow_with_partitions(restored: bool) -> None:
    def look_ups(partitions: int) -> int:
        table = StreamTable((), 2 * BLOCK_ROWS, 1e9)
        for number in range(partitions):
            Counted.looked_up = 0
            key = Counted.of("cpu", {"host": f"h{number}"})
            table.rows(("t", number), np.array([table.series(("t", number)).intern(key)]), np.array([1.7e9]))
        if restored:
            last = ("t", partitions - 1)
            blocks = [table.take(last, number) for number in table.cut(last)]
            table.drop(last)
            Counted.looked_up = 0
            table.restore(last, EventTime(1.7e9), blocks)
        return Counted.looked_up

    assert look_ups(100) == look_ups(2) > 0
