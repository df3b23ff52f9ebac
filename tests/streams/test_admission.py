"""G10: admission and eviction at the limit of streams, compared with a model that takes one sample at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.columns import BLOCK_ROWS, Field
from detector.decoders.identity import MAX_LABEL_CHARACTERS
from detector.series import NAME_LABEL, SeriesKey
from detector.streams.partition import NO_ROW, PLACE_CHARACTERS
from detector.streams.sightings import BLOCKS_PER_SLOT_BLOCK, SIGHTED, SLOTS_PER_ROW, coin
from detector.streams.table import LATEST, StreamTable

A, B = ("topic", 0), ("topic", 1)
SLOTS = BLOCK_ROWS * SLOTS_PER_ROW


def colliding(count: int) -> list[str]:
    """Series names that share two slots of the first block."""
    found = []
    for number in range(100_000):
        if int(SeriesKey.of(f"n{number}").fingerprint[:16], 16) % SLOTS < 2:
            found.append(f"n{number}")
            if len(found) == count:
                break
    return found


def taking(time: float) -> list[str]:
    """Series names that each take a different slot at this time."""
    found = [f"t{number}" for number in range(40)]
    hashes = np.array([int(SeriesKey.of(name).fingerprint[:16], 16) for name in found], dtype=np.uint64)
    winners = [name for name, takes in zip(found, coin(hashes, np.full(40, time)), strict=True) if takes]
    assert len({int(SeriesKey.of(name).fingerprint[:16], 16) % SLOTS for name in winners}) == len(winners) > 10
    return winners


LONG = "l" * PLACE_CHARACTERS
NAMES = [
    *colliding(12),
    *(f"x{number}" for number in range(24)),
    *(f"{count}{count * LONG}" for count in range(1, 8)),
]


class Model:
    """Admission as documented, one sample at a time."""

    def __init__(self, limit: int) -> None:
        self.limit, self.open = limit, limit - limit // 16
        self.known: set[str] = set()
        self.slots: dict[int, str] = {}

    def admits(self, name: str, time: float) -> bool:
        if name not in self.known:
            if self.places >= self.open and not self._sighted(name, time):
                return False
            if self.places >= self.limit:
                return False
            self.known.add(name)
        return True

    @property
    def places(self) -> int:
        return sum(1 + len(name + NAME_LABEL) // PLACE_CHARACTERS for name in self.known)

    def _sighted(self, name: str, time: float) -> bool:
        number = int(SeriesKey.of(name).fingerprint[:16], 16)
        last = self.slots.get(number % SLOTS)
        if coin(np.array([number], dtype=np.uint64), np.array([time]))[0]:
            self.slots[number % SLOTS] = name
        return last == name


def table_of(limit: int, expiry: float = 1e9, evict: float = 1e9, group_by: tuple[str, ...] = ()) -> StreamTable:
    return StreamTable((Field("x"),), limit, expiry, evict, group_by)


def rows_of(
    table: StreamTable, names: list[str], time: float | list[float] = 1.0, partition: tuple[str, int] = A
) -> np.ndarray:
    handles = np.array([table.series(partition).intern(SeriesKey.of(name)) for name in names], dtype=np.int64)
    times = np.broadcast_to(np.asarray(time, dtype=np.float64), len(names))
    rows = table.rows(partition, handles, times)
    table.columns[LATEST.name][rows[rows != NO_ROW]] = times[rows != NO_ROW]
    table.trim(partition)
    return rows


@settings(deadline=None)
@given(
    limit=st.sampled_from([2, 16, 20, 32]),
    names=st.lists(st.sampled_from(NAMES), max_size=160),
    cuts=st.lists(st.integers(0, 160), max_size=6),
)
def test_g10_g8_admission_agrees_with_the_model_for_any_batches(limit: int, names: list[str], cuts: list[int]) -> None:
    table, model = table_of(limit), Model(limit)
    edges = [0, *sorted(min(cut, len(names)) for cut in cuts), len(names)]
    times = [float(at) for at in range(len(names))]
    admitted = [row != NO_ROW for a, b in pairwise(edges) for row in rows_of(table, names[a:b], times[a:b]).tolist()]
    assert admitted == [model.admits(name, time) for name, time in zip(names, times, strict=True)]
    assert table.streams == len(model.known) <= limit
    assert table.places_of(A) == model.places


def test_g10_g8_names_of_one_slot_are_admitted_in_a_batch_as_one_by_one() -> None:
    """A stream that was admitted leaves no tags any more: what comes after it in the batch finds those of others."""
    rng, open_places = np.random.default_rng(0), [f"a{number}" for number in range(30)]
    names = [name for name in colliding(12) if int(SeriesKey.of(name).fingerprint[:16], 16) % SLOTS == 0][:3]
    assert len(names) == 3
    for _ in range(60):
        table, model = table_of(32), Model(32)
        rows_of(table, open_places)
        model.known.update(open_places)
        come = [names[at] for at in rng.integers(0, 3, 14)]
        times = (100.0 * rng.integers(1, 1_000) + np.arange(14)).tolist()
        admitted = (rows_of(table, come, times) != NO_ROW).tolist()
        assert admitted == [model.admits(name, time) for name, time in zip(come, times, strict=True)]


@settings(deadline=None)
@given(names=st.lists(st.integers(0, 40), max_size=160), cuts=st.lists(st.integers(0, 160), max_size=6))
def test_g10_g8_groups_take_no_place_of_a_stream_for_any_batches(names: list[int], cuts: list[int]) -> None:
    plain, grouped = table_of(32, evict=50.0), table_of(32, evict=50.0, group_by=("host",))
    edges = [0, *sorted(min(cut, len(names)) for cut in cuts), len(names)]
    found: dict[StreamTable, list[bool]] = {plain: [], grouped: []}
    for table, admitted in found.items():
        for a, b in pairwise(edges if table is grouped else [0, len(names)]):
            keys = [SeriesKey.of(f"m{name}", {"host": str(name // 2)}) for name in names[a:b]]
            handles = np.array([table.series(A).intern(key) for key in keys], dtype=np.int64)
            rows = table.rows(A, handles, np.arange(a, b, dtype=np.float64))
            table.columns[LATEST.name][rows[rows != NO_ROW]] = np.arange(a, b)[rows != NO_ROW]
            table.trim(A)
            admitted += (rows != NO_ROW).tolist()
    assert found[plain] == found[grouped]
    assert plain.streams == grouped.streams
    evicted = [[table.key(row) for row in table.surplus_rows(A, 1e3).tolist()] for table in (plain, grouped)]
    assert evicted[0] == evicted[1]
    twin = table_of(32, evict=50.0, group_by=("host",))
    grouped.cut(A)
    grouped.cancel_cut(A, range(grouped.blocks_of(A)))
    twin.restore(A, grouped.event_time(A), [grouped.take(A, number) for number in grouped.cut(A)])
    assert twin.streams == grouped.streams
    grouped.release(A, grouped.occupied(A))
    assert grouped.streams == 0


def test_g10_last_sixteenth_is_reserved_for_streams_seen_before() -> None:
    table = table_of(32)
    rows_of(table, [f"a{i}" for i in range(30)])
    b, c, d, e, *_ = taking(1.0)
    assert rows_of(table, [b, c]).tolist() == [NO_ROW, NO_ROW]
    assert (rows_of(table, [b, d]) == NO_ROW).tolist() == [False, True]
    assert (rows_of(table, [d, e, e]) == NO_ROW).tolist() == [False, True, True], "there is no place left"
    assert table.streams == 32


def test_g10_long_labels_take_more_places_and_give_them_back() -> None:
    table = table_of(32, evict=10.0)
    long = [f"{number}{6 * LONG}" for number in range(4)]
    rows_of(table, long[:1], time=1.0)
    rows_of(table, [*long[1:3], *(f"a{i}" for i in range(9))], time=2.0)
    assert table.places_of(A) == 3 * 7 + 9
    assert (rows_of(table, [long[3], "b"], time=2.0) == NO_ROW).all(), "there is no open place left"
    twin = table_of(32)
    twin.restore(A, table.event_time(A), [table.take(A, number) for number in table.cut(A)])
    assert twin.places_of(A) == 30
    c, *_ = taking(2.0)
    rows_of(table, [c, c, *taking(3.0)[1:3] * 2], time=[2.0, 2.0, 3.0, 3.0, 3.0, 3.0])
    assert table.places_of(A) == 32
    evicted = table.surplus_rows(A, 100.0)
    assert [table.key(row).name for row in evicted.tolist()] == [long[0]], "one of them is room enough"
    table.release(A, evicted)
    assert table.places_of(A) == 25


def test_g10_memory_for_long_names_that_never_return_is_bounded() -> None:
    table, room = table_of(64), (2 * 64 + BLOCK_ROWS) * PLACE_CHARACTERS
    for first in range(0, 1_000, 50):
        rows_of(table, [f"{number}{7 * LONG}" for number in range(first, first + 50)])
        assert table.series(A).characters <= room
    assert table.streams == 8
    assert table.places_of(A) == 64


def test_full_partition_has_enough_blocks_for_its_slots_with_long_labels() -> None:
    assert MAX_LABEL_CHARACTERS <= BLOCKS_PER_SLOT_BLOCK * PLACE_CHARACTERS


def test_g10_full_partition_evicts_the_streams_silent_longest() -> None:
    table = table_of(32, evict=100.0)
    for stream in range(30):
        rows_of(table, [f"a{stream}"], time=1.0 + (stream * 7) % 30)
    assert len(table.surplus_rows(A, 1e6)) == 0, "it is not full"
    b, c, *_ = taking(31.0)
    rows_of(table, [b, b, c, c], time=31.0)
    assert len(table.surplus_rows(A, 101.0)) == 0, "nobody was silent for long enough"
    assert [str(table.key(row)) for row in table.surplus_rows(A, 101.5).tolist()] == ["a0"]
    assert [str(table.key(row)) for row in table.surplus_rows(A, 1e6).tolist()] == ["a0", "a13"]
    table.release(A, table.surplus_rows(A, 1e6))
    table.trim(A)
    assert table.streams_of(A) == 30
    d, *_ = set(taking(1.0)) - {b, c}
    assert (rows_of(table, [d, d]) == NO_ROW).tolist() == [True, False]


def test_g10_streams_silent_for_equally_long_are_evicted_in_row_order() -> None:
    table = table_of(64, evict=10.0)
    rows = rows_of(table, [f"a{i}" for i in range(60)])
    rows_of(table, 2 * taking(5.0)[:4], time=5.0)
    assert table.surplus_rows(A, 100.0).tolist() == rows[:4].tolist()


def test_g8_limit_of_a_partition_does_not_depend_on_others() -> None:
    alone, beside = table_of(16), table_of(16)
    rows_of(beside, [f"o{i}" for i in range(16)], partition=B)
    names = [f"a{i % 20}" for i in range(60)]
    assert (rows_of(alone, names) == NO_ROW).tolist() == (rows_of(beside, names) == NO_ROW).tolist()


def test_sightings_are_stored_in_few_blocks() -> None:
    table = table_of(16 * BLOCK_ROWS)
    open_blocks = 15
    rows_of(table, [f"a{i}" for i in range(open_blocks * BLOCK_ROWS)])
    assert len(table.cut(A)) == open_blocks
    rows_of(table, [f"flood{i}" for i in range(5_000)])
    assert table.cut(A) == list(range(-(-open_blocks // BLOCKS_PER_SLOT_BLOCK)))
    assert np.count_nonzero(table.columns[SIGHTED.name]) > 1_000
    rows_of(table, [f"flood{i}" for i in range(4_990, 5_000)])
    assert table.cut(A)[-1] == open_blocks, "known again: new rows, in a block of their own"


@pytest.mark.parametrize("what", ["release", "restart"])
def test_sightings_stay_when_the_stream_in_their_row_goes(what: str) -> None:
    table = table_of(16)
    rows = rows_of(table, [f"a{i}" for i in range(15)])
    rows_of(table, taking(1.0)[:1])
    table.release(A, rows) if what == "release" else table.restart(rows)
    assert np.count_nonzero(table.columns[SIGHTED.name]) == 1


def test_g10_names_that_alternate_in_a_slot_are_both_admitted() -> None:
    table = table_of(32)
    rows_of(table, [f"a{i}" for i in range(30)])
    slots: dict[int, list[str]] = {}
    for name in colliding(12):
        slots.setdefault(int(SeriesKey.of(name).fingerprint[:16], 16) % SLOTS, []).append(name)
    pair = next(names[:2] for names in slots.values() if len(names) > 1)
    for step in range(20):
        rows = rows_of(table, pair, time=60.0 * step)
    assert (rows != NO_ROW).all()
