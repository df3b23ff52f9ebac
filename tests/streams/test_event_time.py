"""Event time follows most streams: no wrong clock moves it, and it continues after every silence."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from detector.columns import Field
from detector.records import Float64
from detector.series import SeriesKey
from detector.streams import event_time
from detector.streams.table import LATEST, StreamTable

A = ("topic", 0)
DAY, YEAR = 86_400.0, 3.15e7
EXPIRY = 8.0 * DAY
"""Event time may be wrong by a day."""
START = 1.7e9

Log = list[tuple[str, float]]


def fleet(names: list[str], first: float, rounds: int, every: float = 3600.0) -> Log:
    return [(name, first + every * at) for at in range(rounds) for name in names]


def hosts(count: int, prefix: str = "s") -> list[str]:
    return [f"{prefix}{at}" for at in range(count)]


def play(log: Log, batch: int = 10_000, table: StreamTable | None = None) -> StreamTable:
    """A table after this log, processed as by the pipeline, with expiry."""
    table = table or StreamTable((Field("x"),), 10_000, EXPIRY)
    for first in range(0, len(log), batch):
        part = log[first : first + batch]
        index = table.series(A)
        handles = np.array([index.intern(SeriesKey.of(name)) for name, _ in part], dtype=np.int64)
        times = np.array([time for _, time in part])
        while (at := table.until_look(A, times)) is not None:
            take(table, handles[:at], times[:at])
            handles, times = handles[at:], times[at:]
            if table.look(A, int(handles[0]), float(times[0])):
                table.release(A, table.idle_rows(A, table.event_time(A).newest))
        take(table, handles, times)
        table.trim(A)
    return table


def take(table: StreamTable, handles: np.ndarray, times: Float64) -> None:
    rows = table.rows(A, handles, times)
    np.maximum.at(table.columns[LATEST.name], rows, times)


def known(table: StreamTable) -> set[str]:
    return {str(table.key(row)) for row in table.occupied(A).tolist()}


def test_doctests_of_the_module() -> None:
    assert doctest.testmod(event_time).failed == 0


@pytest.mark.parametrize("wrong", [YEAR, 40.0 * DAY, 1.5 * DAY])
def test_host_with_a_clock_ahead_expires_no_other_stream(wrong: float) -> None:
    right, ahead = hosts(40), hosts(15, "ahead")
    log = fleet(right, START, 10)
    for at in range(10, 240):
        log += fleet(ahead, START + 3600.0 * at + wrong, 1) + fleet(right, START + 3600.0 * at, 1)
    table = play(log)
    newest = START + 3600.0 * 239
    assert abs(table.event_time(A).newest - newest) < DAY
    assert known(table) >= set(right)


def test_backlog_of_a_host_with_a_clock_ahead_does_not_move_event_time() -> None:
    right, ahead = hosts(40), hosts(10, "ahead")
    log = (
        fleet(right + ahead, START, 48) + fleet(ahead, START + YEAR, 30, every=10.0) + fleet(right, START + 2 * DAY, 3)
    )
    assert play(log).event_time(A).newest == START + 2 * DAY + 7200.0


def test_stream_with_a_corrected_clock_restarts_within_an_eighth_of_the_expiry() -> None:
    right = hosts(40)
    log = fleet([*right, "wrong"], START, 30) + [("wrong", START + YEAR)] + fleet(right, START + 30 * 3600.0, 24)
    assert "wrong" not in known(play(log))
    assert "wrong" in known(play([*log, ("wrong", START + 54 * 3600.0)]))


@pytest.mark.parametrize("first", [1, 15])
def test_event_time_recovers_when_the_first_samples_have_a_clock_ahead(first: int) -> None:
    right, ahead = hosts(40), hosts(first, "ahead")
    log: Log = []
    for at in range(60):
        log += fleet(ahead, START + YEAR + 60.0 * at, 1) + fleet(right, START + 60.0 * at, 1)
    assert abs(play(log).event_time(A).newest - START) < DAY


@pytest.mark.parametrize("streams", [1, 2, 40])
@pytest.mark.parametrize("silence", [1.5 * DAY, 7 * DAY, 400 * DAY])
def test_event_time_continues_two_rounds_after_a_silence_of_all_streams(streams: int, silence: float) -> None:
    log = fleet(hosts(streams), START, 48)
    log += fleet(hosts(streams), START + 2 * DAY + silence, 3)
    assert play(log).event_time(A).newest == START + 2 * DAY + silence + 7200.0


def test_event_time_continues_with_the_few_streams_that_return() -> None:
    log = fleet(hosts(200), START, 48) + fleet(hosts(20), START + 20 * DAY, 200, every=600.0)
    table = play(log)
    assert table.event_time(A).newest == START + 20 * DAY + 199 * 600.0
    assert known(table) == set(hosts(20))


def test_streams_silent_before_have_no_vote() -> None:
    log = fleet([*hosts(10), *hosts(200, "gone")], START, 24) + fleet(hosts(10), START + DAY, 60)
    log += fleet(hosts(10), START + 6 * DAY, 3)
    assert play(log).event_time(A).newest == START + 6 * DAY + 7200.0


def test_event_time_continues_with_only_new_streams_after_a_silence() -> None:
    log = fleet(hosts(40), START, 48) + fleet(hosts(40, "new"), START + 20 * DAY, 48)
    table = play(log)
    assert table.event_time(A).newest == START + 20 * DAY + 47 * 3600.0
    assert known(table) == set(hosts(40, "new"))


def test_event_time_follows_samples_a_day_apart() -> None:
    table = play(fleet(hosts(30), START, 40, every=1.2 * DAY))
    assert table.event_time(A).newest == pytest.approx(START + 39 * 1.2 * DAY, abs=1.3 * DAY)


def test_g9_late_samples_do_not_move_event_time() -> None:
    log = fleet(hosts(5), START, 100)
    late = fleet(hosts(5), START, 20)
    assert play(log + late).event_time(A) == play(log).event_time(A)


@pytest.mark.parametrize("seed", range(20))
def test_g8_event_time_does_not_depend_on_how_records_are_batched(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log: Log = []
    offset = dict.fromkeys(hosts(30), 0.0)
    at = START
    for _ in range(150):
        at += 3600.0 * rng.random() + (9 * DAY if rng.random() < 0.05 else 0.0)
        if rng.random() < 0.2:
            offset[str(rng.choice(list(offset)))] = float(rng.choice([YEAR, 3 * DAY, -2 * DAY, 0.0, 0.0]))
        log += [(name, at + lead) for name, lead in offset.items() if rng.random() < 0.7]
    whole = play(log)
    for batch in (1, 7, 100):
        other = play(log, batch)
        assert other.event_time(A) == whole.event_time(A)
        assert known(other) == known(whole)


@pytest.mark.parametrize("seed", range(5))
def test_g1_restored_partition_continues_its_vote(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = fleet(hosts(40), START, 30)
    for at in range(30, 60):
        log += fleet(hosts(15, "ahead"), START + 3600.0 * at + YEAR, 1) + fleet(hosts(40), START + 3600.0 * at, 1)
    log += fleet(hosts(5), START + 90 * DAY, 100)
    cut = int(rng.integers(1300, len(log)))
    before = play(log[:cut])
    after = StreamTable((Field("x"),), 10_000, EXPIRY)
    before.cut(A)
    blocks = [before._copy(block) for block in before._partition(A).blocks]
    after.restore(A, before.event_time(A), blocks)
    assert play(log[cut:], table=after).event_time(A) == play(log).event_time(A)
