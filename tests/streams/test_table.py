import numpy as np

from detector.columns import BLOCK_ROWS, Field
from detector.series import SeriesKey
from detector.streams.table import LATEST, NO_ROW, StreamTable

A, B = ("topic", 0), ("topic", 1)


def table_of(max_streams: int = 10_000, expiry: float = 100.0) -> StreamTable:
    return StreamTable((Field("x", (2,), "float32", 7.0),), max_streams, expiry)


def admit(table: StreamTable, partition: tuple[str, int], names: list[str], time: float = 1.0) -> np.ndarray:
    handles = np.array([table.series(partition).intern(SeriesKey.of(name)) for name in names], dtype=np.int64)
    rows = table.rows(partition, handles, np.full(len(names), time))
    table.columns[LATEST.name][rows[rows != NO_ROW]] = time
    return rows


def test_rows_are_stable_and_named() -> None:
    table = table_of()
    rows = admit(table, A, ["a", "b", "a"])
    assert rows[0] == rows[2] != rows[1]
    assert admit(table, A, ["b"])[0] == rows[1]
    assert table.key(A, int(rows[1])) == SeriesKey.of("b")
    assert table.streams == 2


def test_a_block_belongs_to_one_partition() -> None:
    table = table_of()
    rows_a = admit(table, A, [f"a{i}" for i in range(300)])
    rows_b = admit(table, B, [f"a{i}" for i in range(10)])
    blocks_a, blocks_b = set(rows_a // BLOCK_ROWS), set(rows_b // BLOCK_ROWS)
    assert not blocks_a & blocks_b
    assert table.blocks == 3


def test_state_survives_growth_and_a_dropped_partition_leaves_nothing() -> None:
    table = table_of()
    rows = admit(table, A, ["a"])
    table.columns["x"][rows] = 42.0
    admit(table, B, [f"b{i}" for i in range(1000)])
    assert (table.columns["x"][rows] == 42.0).all()
    table.drop(A)
    assert table.streams == 1000
    again = admit(table, A, ["a"])
    assert (table.columns["x"][again] == 7.0).all()


def test_the_limit_refuses_new_streams_and_keeps_the_old() -> None:
    table = table_of(max_streams=2)
    assert (admit(table, A, ["a", "b", "c"]) == NO_ROW).tolist() == [False, False, True]
    assert (admit(table, A, ["c", "a"]) == NO_ROW).tolist() == [True, False]


def test_a_flood_of_names_does_not_grow_the_index() -> None:
    table = table_of(max_streams=2)
    for batch in range(50):
        admit(table, A, [f"n{batch}-{i}" for i in range(100)])
        table.trim(A)
    assert len(table.series(A)) <= 2 * 2 + BLOCK_ROWS + 100
    assert table.streams == 2


def test_idle_streams_are_released_and_their_rows_used_again() -> None:
    table = table_of(expiry=100.0)
    old = admit(table, A, ["a", "b"], time=1.0)
    admit(table, A, ["b"], time=90.0)
    admit(table, A, ["b"], time=150.0)
    idle = table.idle_rows(A)
    assert idle.tolist() == [old[0]]
    table.release(A, idle)
    assert table.streams == 1
    assert admit(table, A, ["c"], time=151.0)[0] == old[0]
    assert table.key(A, int(old[0])) == SeriesKey.of("c")
