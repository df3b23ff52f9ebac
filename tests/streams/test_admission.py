"""G10: who gets a place at the limit, and who gives way. The table against a model that takes one sample at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.columns import BLOCK_ROWS, Field
from detector.series import SeriesKey
from detector.streams.partition import NO_ROW
from detector.streams.sightings import BLOCKS_PER_SLOT_BLOCK, SIGHTED, SLOTS_PER_ROW
from detector.streams.table import LATEST, StreamTable

A, B = ("topic", 0), ("topic", 1)
SLOTS = BLOCK_ROWS * SLOTS_PER_ROW


def colliding(count: int) -> list[str]:
    """Names that share two slots of the first block."""
    found = []
    for number in range(100_000):
        if int(SeriesKey.of(f"n{number}").fingerprint[:16], 16) % SLOTS < 2:
            found.append(f"n{number}")
            if len(found) == count:
                break
    return found


NAMES = [*colliding(12), *(f"x{number}" for number in range(24))]


class Model:
    """Admission as documented, a sample at a time."""

    def __init__(self, limit: int) -> None:
        self.limit, self.open = limit, limit - limit // 16
        self.known: set[str] = set()
        self.slots: dict[int, str] = {}

    def admits(self, name: str) -> bool:
        if name not in self.known:
            seen = len(self.known) >= self.open and not self._sighted(name)
            if seen or len(self.known) >= self.limit:
                return False
            self.known.add(name)
        return True

    def _sighted(self, name: str) -> bool:
        slot = int(SeriesKey.of(name).fingerprint[:16], 16) % SLOTS
        last, self.slots[slot] = self.slots.get(slot), name
        return last == name


def table_of(limit: int, expiry: float = 1e9, evict: float = 1e9) -> StreamTable:
    return StreamTable((Field("x"),), limit, expiry, evict)


def rows_of(table: StreamTable, names: list[str], time: float = 1.0, partition: tuple[str, int] = A) -> np.ndarray:
    handles = np.array([table.series(partition).intern(SeriesKey.of(name)) for name in names], dtype=np.int64)
    rows = table.rows(partition, handles, np.full(len(names), time))
    table.columns[LATEST.name][rows[rows != NO_ROW]] = time
    table.trim(partition)
    return rows


@settings(deadline=None)
@given(
    limit=st.sampled_from([2, 16, 20, 32]),
    names=st.lists(st.sampled_from(NAMES), max_size=160),
    cuts=st.lists(st.integers(0, 160), max_size=6),
)
def test_g10_g8_admission_is_its_model_however_the_samples_are_cut(
    limit: int, names: list[str], cuts: list[int]
) -> None:
    table, model = table_of(limit), Model(limit)
    edges = [0, *sorted(min(cut, len(names)) for cut in cuts), len(names)]
    admitted = [row != NO_ROW for a, b in pairwise(edges) for row in rows_of(table, names[a:b]).tolist()]
    assert admitted == [model.admits(name) for name in names]
    assert table.streams == len(model.known) <= limit


def test_g10_the_last_sixteenth_is_for_streams_that_were_seen_before() -> None:
    table = table_of(32)
    rows_of(table, [f"a{i}" for i in range(30)])
    assert rows_of(table, ["b", "c"]).tolist() == [NO_ROW, NO_ROW]
    assert (rows_of(table, ["b", "d"]) == NO_ROW).tolist() == [False, True]
    assert (rows_of(table, ["d", "e", "e"]) == NO_ROW).tolist() == [False, True, True], "there is no place left"
    assert table.streams == 32


def test_g10_a_full_partition_evicts_those_that_were_silent_longest() -> None:
    table = table_of(32, evict=100.0)
    for stream in range(30):
        rows_of(table, [f"a{stream}"], time=1.0 + (stream * 7) % 30)
    assert len(table.surplus_rows(A, 1e6)) == 0, "it is not full"
    rows_of(table, ["b", "b", "c", "c"], time=31.0)
    assert len(table.surplus_rows(A, 101.0)) == 0, "nobody was silent for long enough"
    assert [str(table.key(A, row)) for row in table.surplus_rows(A, 101.5).tolist()] == ["a0"]
    assert [str(table.key(A, row)) for row in table.surplus_rows(A, 1e6).tolist()] == ["a0", "a13"]
    table.release(A, table.surplus_rows(A, 1e6))
    table.trim(A)
    assert table.streams_of(A) == 30
    assert (rows_of(table, ["d", "d"]) == NO_ROW).tolist() == [True, False]


def test_g10_streams_silent_since_the_same_moment_go_in_the_order_of_their_rows() -> None:
    table = table_of(64, evict=10.0)
    rows = rows_of(table, [f"a{i}" for i in range(60)])
    rows_of(table, [f"b{i // 2}" for i in range(8)], time=5.0)
    assert table.surplus_rows(A, 100.0).tolist() == rows[:4].tolist()


def test_g8_a_partition_s_limit_does_not_depend_on_other_partitions() -> None:
    alone, beside = table_of(16), table_of(16)
    rows_of(beside, [f"o{i}" for i in range(16)], partition=B)
    names = [f"a{i % 20}" for i in range(60)]
    assert (rows_of(alone, names) == NO_ROW).tolist() == (rows_of(beside, names) == NO_ROW).tolist()


def test_what_was_seen_is_part_of_the_blocks_and_changes_few_of_them() -> None:
    table = table_of(16 * BLOCK_ROWS)
    open_blocks = 15
    rows_of(table, [f"a{i}" for i in range(open_blocks * BLOCK_ROWS)])
    assert len(table.cut(A)) == open_blocks
    rows_of(table, [f"flood{i}" for i in range(5_000)])
    assert table.cut(A) == list(range(-(-open_blocks // BLOCKS_PER_SLOT_BLOCK)))
    assert np.count_nonzero(table.columns[SIGHTED.name]) > 1_000
    rows_of(table, ["flood4999"])
    assert table.cut(A) == [open_blocks], "known again: the one new row, in a block of its own"


@pytest.mark.parametrize("what", ["release", "restart"])
def test_what_was_seen_stays_when_the_stream_of_its_row_goes(what: str) -> None:
    table = table_of(16)
    rows = rows_of(table, [f"a{i}" for i in range(15)])
    rows_of(table, ["late"])
    table.release(A, rows) if what == "release" else table.restart(rows)
    assert np.count_nonzero(table.columns[SIGHTED.name]) == 1
