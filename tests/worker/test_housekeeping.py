"""Reports on streams take a bounded share of the time, however many streams there are."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import pytest

from detector.records import Partition
from detector.telemetry import Health, Metrics, Notifier, Telemetry, new_registry
from detector.testing import ListSource, ManualClock, log_to
from detector.worker.housekeeping import Housekeeping, stream_counts
from tests.pipeline.test_pipeline import batch_of, pipeline_of

PARTITION = ("metrics", 0)
TURN_SECONDS = 0.5


class Busy(ListSource):
    """A source whose answer makes each report take this long."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__([])
        self.clock = clock
        self.seconds = seconds
        self.asked = 0

    def lag(self) -> Mapping[Partition, int]:
        self.asked += 1
        self.clock.advance(self.seconds)
        return {PARTITION: self.asked}


@pytest.mark.parametrize(("seconds", "interval"), [(0.0, 2.0), (0.03, 2.0), (0.25, 12.5)])
def test_reports_take_a_bounded_share_of_the_time(seconds: float, interval: float) -> None:
    clock, metrics = ManualClock(), Metrics(new_registry())
    source = Busy(clock, seconds)
    health = Health(60, clock.monotonic)
    telemetry = Telemetry(metrics, health, Notifier({}, clock.monotonic), log_to(io.StringIO()))
    housekeeping = Housekeeping(source, pipeline_of(), telemetry, clock)
    began = clock.now
    while clock.now < began + 1_000:
        housekeeping.turn(frozenset({PARTITION}))
        clock.advance(TURN_SECONDS)
    assert 1_000 / (interval + TURN_SECONDS) - 1 <= source.asked <= 1_000 / interval + 1
    labels = {"topic": "metrics", "partition": "0"}
    assert metrics.registry.get_sample_value("detector_lag_records", labels) == source.asked


def test_active_streams_are_counted() -> None:
    pipeline, streams = pipeline_of(), list(range(10))
    for minute in range(30):
        if minute == 20:
            del streams[7:]
        times = np.full(len(streams), 1e9 + 60.0 * minute)
        pipeline.process(batch_of(pipeline, streams, times, np.ones(len(streams)), 10 * minute), expire=True)
    assert stream_counts(pipeline, frozenset({("t", 0)})).active == 7
    assert stream_counts(pipeline, frozenset()).active == 0
