import numpy as np

from detector.columns import BLOCK_ROWS, Field
from detector.series import SeriesKey
from detector.streams.partition import NO_ROW
from detector.streams.table import LATEST, StreamTable

A, B = ("topic", 0), ("topic", 1)


def table_of(max_streams: int = 10_000, expiry: float = 100.0) -> StreamTable:
    return StreamTable((Field("x", (2,), "float32", 7.0),), max_streams, expiry)


def admit(table: StreamTable, partition: tuple[str, int], names: list[str], time: float = 1.0) -> np.ndarray:
    handles = np.array([table.series(partition).intern(SeriesKey.of(name)) for name in names], dtype=np.int64)
    rows = table.rows(partition, handles, np.full(len(names), time))
    table.columns[LATEST.name][rows[rows != NO_ROW]] = time
    return rows


def test_rows_are_stable_and_have_their_key() -> None:
    table = table_of()
    rows = admit(table, A, ["a", "b", "a"])
    assert rows[0] == rows[2] != rows[1]
    assert admit(table, A, ["b"])[0] == rows[1]
    assert table.key(int(rows[1])) == SeriesKey.of("b")
    assert table.streams == 2


def test_block_belongs_to_one_partition() -> None:
    table = table_of()
    rows_a = admit(table, A, [f"a{i}" for i in range(300)])
    rows_b = admit(table, B, [f"a{i}" for i in range(10)])
    blocks_a, blocks_b = set(rows_a // BLOCK_ROWS), set(rows_b // BLOCK_ROWS)
    assert not blocks_a & blocks_b
    assert table.blocks == 3


def test_state_survives_growth_and_dropped_partitions_leave_nothing() -> None:
    table = table_of()
    rows = admit(table, A, ["a"])
    table.columns["x"][rows] = 42.0
    admit(table, B, [f"b{i}" for i in range(1000)])
    assert (table.columns["x"][rows] == 42.0).all()
    table.drop(A)
    assert table.streams == 1000
    again = admit(table, A, ["a"])
    assert (table.columns["x"][again] == 7.0).all()


def test_limit_refuses_new_streams_and_keeps_the_old() -> None:
    table = table_of(max_streams=2)
    assert (admit(table, A, ["a", "b", "c"]) == NO_ROW).tolist() == [False, False, True]
    assert (admit(table, A, ["c", "a"]) == NO_ROW).tolist() == [True, False]


def test_flood_of_names_does_not_grow_the_index() -> None:
    table = table_of(max_streams=2)
    for batch in range(50):
        admit(table, A, [f"n{batch}-{i}" for i in range(100)])
        table.trim(A)
    assert len(table.series(A)) <= 2 * 2 + BLOCK_ROWS + 100
    assert table.streams == 2


def test_rows_of_idle_streams_are_released_and_reused() -> None:
    table = table_of(expiry=100.0)
    old = admit(table, A, ["a", "b"], time=1.0)
    admit(table, A, ["b"], time=90.0)
    admit(table, A, ["b"], time=150.0)
    idle = table.idle_rows(A, 150.0)
    assert idle.tolist() == [old[0]]
    table.release(A, idle)
    table.trim(A)
    assert table.streams == 1
    assert admit(table, A, ["c"], time=151.0)[0] == old[0]
    assert table.key(int(old[0])) == SeriesKey.of("c")


def test_idle_streams_are_searched_at_every_eighth_of_the_expiry() -> None:
    table = table_of(expiry=80.0)
    rows = admit(table, A, ["a"])
    times = np.array([3.0, 9.0, 11.0, 10.5, 19.0, 28.0, 21.0, 31.0])
    looks = []
    while (at := table.until_look(A, times)) is not None:
        assert table.look(A, 0, float(times[at]))
        looks.append(float(times[at]))
        times = times[at:]
    assert looks == [11.0, 28.0, 31.0]
    assert table.event_time(A).newest == 31.0
    assert table.until_look(A, times[:0]) is None
    assert table.columns[LATEST.name][rows].tolist() == [1.0]


def copied(table: StreamTable, partition: tuple[str, int]) -> StreamTable:
    """A table to which the partition was restored, next to blocks of another partition."""
    table.cut(partition)
    twin = table_of(table.max_streams, table.idle_expiry_seconds)
    admit(twin, B, ["elsewhere"])
    blocks = [table._copy(block) for block in table._partition(partition).blocks]
    twin.restore(partition, table.event_time(partition), blocks)
    return twin


def test_g8_rows_of_new_streams_are_the_same_after_a_restore() -> None:
    table = table_of()
    rows = admit(table, A, [f"a{i}" for i in range(600)])
    table.columns["x"][rows] = np.arange(600)[:, None]
    table.release(A, rows[[3, 300, 599, 7]])
    table.trim(A)
    twin = copied(table, A)
    new = [f"new{i}" for i in range(300)]
    admit(table, A, new)
    admit(twin, A, new)
    theirs = {str(table.key(row)): at for at, row in enumerate(table.occupied(A).tolist())}
    assert {str(twin.key(row)): at for at, row in enumerate(twin.occupied(A).tolist())} == theirs
    for name in table.columns:
        assert table.columns[name][table.occupied(A)].tobytes() == twin.columns[name][twin.occupied(A)].tobytes()
    assert twin.streams == table.streams + 1


def test_g1_cut_holds_the_state_at_its_moment() -> None:
    table = table_of()
    rows = admit(table, A, [f"a{i}" for i in range(300)])
    table.columns["x"][rows] = 1.0
    assert table.cut(A) == [0, 1]
    admit(table, A, ["a0"])
    table.columns["x"][rows[:1]] = 2.0
    table.release(A, rows[[1]])
    first, second = table.take(A, 0), table.take(A, 1)
    assert (first.columns["x"] == 1.0).all()
    assert str(first.keys[1]) == "a1"
    assert [key is not None for key in second.keys] == [row < 44 for row in range(BLOCK_ROWS)]
    assert table.cut(A) == [0]


def test_cut_has_only_changed_blocks_including_unwritten_ones() -> None:
    table = table_of()
    admit(table, A, [f"a{i}" for i in range(600)])
    assert table.cut(A) == [0, 1, 2]
    assert table.cut(A) == []
    admit(table, A, ["a300"])
    assert table.cut(A) == [1]
    table.cancel_cut(A, [1])
    assert table.cut(A) == [1]
    table.drop(A)
    assert table.cut(A) == []
