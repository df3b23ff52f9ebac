"""The machine's own metrics."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import psutil
import pytest

from detector.config.decoder import JsonDecoder as Settings
from detector.decoders import JsonDecoder
from detector.errors import SourceError
from detector.records import Kind, Outcome
from detector.series import SeriesIndex
from detector.sources.host import PARTITION, HostSource
from detector.sources.host_readings import Group, Reading
from detector.testing import ManualClock

PARTITIONS = frozenset({PARTITION})


def host(clock: ManualClock, *read: Group, interval_seconds: float = 1.0) -> HostSource:
    made = HostSource(interval_seconds, clock, list(read) or None)
    made.resume(made.changes().assigned)
    return made


def polled(source: HostSource, timeout_seconds: float = 1.0) -> list[tuple[str, float, float]]:
    records = [msgspec.json.decode(value or b"") for batch in source.poll(timeout_seconds) for value in batch.values]
    return [(record["name"], record["timestamp"], record["value"]) for record in records]


class Counter:
    """A running total that the test sets."""

    def __init__(self) -> None:
        self.total = 100.0

    def __call__(self) -> Iterator[Reading]:
        yield Reading("work_per_second", (("device", "a"),), self.total, is_running=True)
        yield Reading("level", (), self.total)


def test_running_totals_become_rates() -> None:
    clock, counter = ManualClock(1_000.0), Counter()
    source = host(clock, counter, interval_seconds=2.0)
    counter.total += 50
    assert polled(source) == [], "half of the interval has passed"
    assert polled(source) == [("work_per_second", 1_002.0, 25.0), ("level", 1_002.0, 150.0)]
    counter.total = 10
    assert polled(source, 2.0) == [("level", 1_004.0, 10.0)], "a total that was set back has no rate"
    counter.total = 14
    assert polled(source, 2.0)[0] == ("work_per_second", 1_006.0, 2.0)


def test_one_reading_covers_a_pause() -> None:
    clock, counter = ManualClock(0.0), Counter()
    source = host(clock, counter)
    clock.advance(10.5)
    counter.total += 21
    assert polled(source)[0] == ("work_per_second", 10.5, 2.0)
    counter.total += 5
    assert polled(source)[0] == ("work_per_second", 11.0, 10.0), "back on the beat"


def test_offsets_continue_and_follow_a_seek() -> None:
    source = host(ManualClock(), Counter())
    source.poll(1.0)
    [batch] = source.poll(1.0)
    assert batch.offsets.tolist() == [2, 3]
    source.seek(PARTITION, 50)
    assert source.poll(1.0)[0].offsets.tolist() == [50, 51]
    source.commit({PARTITION: 52})
    assert (source.skipped(), source.lag(), source.exhausted) == ([], {}, False)
    source.close(1.0)


def test_unreadable_groups_are_left_out() -> None:
    def denied() -> Iterator[Reading]:
        yield Reading("level", (), 1.0)
        raise PermissionError

    assert {name for name, *_ in polled(host(ManualClock(), denied, Counter()))} == {"work_per_second", "level"}
    with pytest.raises(SourceError, match="cannot be read"):
        host(ManualClock(), denied)


def test_unlisted_devices_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(**_: bool) -> None:
        raise NotImplementedError("neither /proc/diskstats nor /sys/block")

    for name in ("disk_io_counters", "net_io_counters", "disk_partitions"):
        monkeypatch.setattr(psutil, name, hidden)
    assert "host_load_average" in {name for name, *_ in polled(host(ManualClock()))}


def test_this_machine_has_about_fifty_series_that_the_decoder_reads() -> None:
    source = host(ManualClock(), interval_seconds=0.5)
    [batch] = source.poll(1.0)
    series = SeriesIndex()
    samples = JsonDecoder(Settings()).decode(batch, series)
    assert not samples.rejects
    assert 15 <= len(samples) == len(series) <= 120
    assert set(samples.kinds.tolist()) == {Kind.GAUGE}
    assert set(samples.outcomes.tolist()) == {Outcome.SCORED}
    names = {series.key(handle).name for handle in samples.series.tolist()}
    assert {"host_cpu_utilization_ratio", "host_memory_bytes", "host_load_average"} <= names
