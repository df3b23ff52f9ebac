"""Parts of the demo, each on its own: the fleet's source, the scoreboard, the live view."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from detector.config.decoder import JsonDecoder as Settings
from detector.decoders import JsonDecoder
from detector.demo.scoreboard import GRACE_ROUNDS, Scoreboard
from detector.demo.source import PARTITION, FleetSource
from detector.demo.view import View, spark
from detector.records import Alert, AlertStatus, Direction, RawBatch, Severity
from detector.series import SeriesIndex, SeriesKey
from detector.synthetic.fleet import Fleet, fleet
from detector.testing import ListSource, ManualClock

HISTORY, ROUNDS, STEP = 50, 90, 10.0
FLEET = fleet(1, 10, ROUNDS, STEP, start=0.0, faults=[60, 70], kinds=["level_shift", "spike"])


def board_for(made: Fleet = FLEET) -> tuple[Scoreboard, list[str]]:
    said: list[str] = []
    return Scoreboard(made, HISTORY, said.append), said


def fleet_source(
    clock: ManualClock, other: ListSource, deadline: float
) -> tuple[FleetSource, list[int], list[RawBatch]]:
    rounds: list[int] = []
    records: list[RawBatch] = []
    source = FleetSource(
        FLEET,
        other,
        clock,
        history_rounds=HISTORY,
        deadline=deadline,
        on_rounds=rounds.append,
        on_records=records.append,
    )
    return source, rounds, records


def test_history_comes_at_once_and_the_rest_evenly_over_the_duration() -> None:
    clock = ManualClock(0.0)
    source, rounds, records = fleet_source(clock, ListSource([]), deadline=20.0)
    assert source.changes().assigned == {PARTITION}
    seen: list[tuple[int, float]] = []
    while not source.exhausted:
        source.poll(5.0)
        seen.append((rounds[-1], clock.now))
    assert [delivered for delivered, now in seen if now == 0.0][:3] == [20, 40, 50]
    at = dict(seen)
    assert at[60] - at[55] == pytest.approx(at[85] - at[80]) == pytest.approx(2.5)
    assert clock.now == pytest.approx(20.0, abs=1.0)
    assert sum(map(len, records)) == ROUNDS * 10


def test_late_start_raises_the_pace_up_to_a_bound() -> None:
    clock = ManualClock(0.0)
    source, _, _ = fleet_source(clock, ListSource([]), deadline=-100.0)
    while not source.exhausted:
        source.poll(5.0)
    assert clock.now == pytest.approx((ROUNDS - HISTORY) / 20.0, abs=0.1)


def test_decoder_reads_the_records_of_the_fleet() -> None:
    source, _, _ = fleet_source(ManualClock(0.0), ListSource([]), deadline=20.0)
    series = SeriesIndex()
    [batch] = source.poll(1.0)
    samples = JsonDecoder(Settings()).decode(batch, series)
    assert not samples.rejects
    assert np.array_equal(samples.values.reshape(-1, 10), FLEET.values_ST[:, :20].T)
    assert np.array_equal(samples.times[::10], FLEET.times_T[:20])
    assert [series.key(handle) for handle in samples.series[:10].tolist()] == [
        FLEET.key(stream) for stream in range(10)
    ]


def test_host_source_is_polled_too() -> None:
    host = RawBatch("host", 0, np.arange(2), np.zeros(2), [b"{}", b"{}"], [None, None])
    other = ListSource([[host], []], partitions=frozenset({("host", 0)}))
    source, _, _ = fleet_source(ManualClock(0.0), other, deadline=20.0)
    assigned = source.changes().assigned
    assert assigned == {PARTITION, ("host", 0)}
    source.resume(assigned)
    assert ("host", 0) in other.resumed
    assert [batch.topic for batch in source.poll(1.0)] == ["host", "fleet"]
    source.commit({PARTITION: 1})
    source.close(1.0)
    assert other.closed
    assert (source.skipped(), source.lag()) == ([], {})


def alert(series: SeriesKey, time: float, status: AlertStatus = AlertStatus.FIRING, topic: str = "fleet") -> Alert:
    return Alert(
        id="1",
        status=status,
        series=series,
        starts_at=time,
        ends_at=None,
        time=time,
        worst_time=time,
        value=9.0,
        expected=5.0,
        lower=4.0,
        upper=6.0,
        anomaly_score=2.0,
        direction=Direction.ABOVE,
        severity=Severity.CRITICAL,
        topic=topic,
        partition=0,
        offset=0,
        model="m",
        forecaster="lstm",
        skill=0.5,
    )


def test_alert_is_counted_as_caught_repeated_false_or_of_this_machine() -> None:
    board, said = board_for()
    fault = FLEET.faults[0]
    faulty, quiet = (
        FLEET.key(fault.stream),
        next(FLEET.key(stream) for stream in range(10) if stream not in {each.stream for each in FLEET.faults}),
    )
    board.observe_rounds(65)
    assert board.begun == (fault,)
    last = fault.last * STEP
    for series, time, verdict in (
        (faulty, fault.first * STEP - STEP, "false"),
        (faulty, fault.first * STEP + 2 * STEP, "level_shift caught after 20 s"),
        (faulty, last + GRACE_ROUNDS * STEP, "level_shift again"),
        (faulty, last + GRACE_ROUNDS * STEP + STEP, "false"),
        (quiet, 620.0, "false"),
    ):
        board.encode(alert(series, time))
        assert said[-1].startswith(f"alert   {verdict}: ")
        assert said[-1].endswith(" is 9, expected 4 to 6")
    board.encode(alert(SeriesKey.of("host_load"), 1.7e9, topic="host"))
    assert said[-1].startswith("alert   on this machine: host_load is 9, ")
    assert dataclasses.astuple(board.summary) == (1, 1, 3, 20.0)
    assert len(board.firing) == 3
    board.encode(alert(quiet, 640.0, AlertStatus.RESOLVED))
    assert len(board.firing) == 2


@pytest.mark.parametrize(
    ("width", "band", "bars"), [(40, False, False), (60, True, False), (80, True, False), (120, True, True)]
)
def test_narrow_terminal_shortens_names_but_no_figure(width: int, band: bool, bars: bool) -> None:
    board, _ = board_for()
    series = SeriesKey.of("http_request_duration_seconds", {"service": "shop", "instance": "shop-00013"})
    board.firing[series] = dataclasses.replace(
        alert(series, 1.7e9), value=-1.234e10, lower=-1.111e10, upper=-2.222e10, anomaly_score=999.94
    )
    console = Console(file=io.StringIO(), width=width)
    console.print(View(board, "", 0.0, ManualClock(0.0), lambda: console.width))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for figure in ("http_re", "-1.234e+10", "999.9"):
        assert figure in text
    assert ("-1.111e+10 to -2.222e+10" in text) == band
    assert ("lately" in text) == bars
    assert max(map(len, text.splitlines())) <= width


def test_80_columns_show_the_verdict_of_an_alert_without_wrapping() -> None:
    board, _ = board_for()
    fault = FLEET.faults[0]
    board.observe_rounds(65)
    board.encode(alert(FLEET.key(fault.stream), fault.first * STEP))
    console = Console(file=io.StringIO(), width=80)
    console.print(View(board, "http://127.0.0.1:9464/metrics", 0.0, ManualClock(0.0), lambda: 80))
    assert isinstance(console.file, io.StringIO)
    head, place, *_, news = console.file.getvalue().splitlines()
    assert head.rstrip().endswith("0 s left")
    assert place.rstrip().endswith("metrics at http://127.0.0.1:9464/metrics")
    assert news.startswith(" alert   level_shift caught after 0 s: ")
    assert news.rstrip().endswith("…")


def test_summary_without_caught_faults_has_no_delay() -> None:
    board, _ = board_for()
    assert dataclasses.astuple(board.summary) == (0, 0, 0, None)


def test_sparkline_scales_values() -> None:
    assert spark(np.array([])) == ""
    assert spark(np.array([5.0, 5.0])) == "▁▁"
    assert spark(np.array([0.0, np.nan, 7.0])) == "▁▁█"
