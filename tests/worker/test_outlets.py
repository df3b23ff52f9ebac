"""Alerts and dead letters on their way to several sinks."""

import io

from detector.alerts import AlertRecord
from detector.sinks.dead_letter import DeadLetterRecord
from detector.telemetry import Health, Metrics, new_registry
from detector.testing import ListSink, ManualClock, log_to
from detector.worker.outlets import Outlet, Outlets


class SlowSink(ListSink):
    """Its acknowledgements come at the last moment."""

    def __init__(self, clock: ManualClock, health: Health) -> None:
        super().__init__()
        self.clock = clock
        self.health = health

    def flush(self, timeout_seconds: float) -> None:
        self.clock.advance(timeout_seconds)
        assert self.health.stalled is None
        super().flush(timeout_seconds)


def test_g12_waiting_for_several_slow_sinks_is_not_a_hang() -> None:
    """check-config only asks for more patience than one of them may need."""
    clock = ManualClock()
    health = Health(61.0, clock.monotonic)
    kafka, webhook, dead = (SlowSink(clock, health) for _ in range(3))
    alerts = [Outlet("kafka", kafka, AlertRecord({}, "test")), Outlet("webhook", webhook, AlertRecord({}, "test"))]
    rejects = Outlet("dead_letter", dead, DeadLetterRecord(64))
    outlets = Outlets(alerts, rejects, Metrics(new_registry()).worker, log_to(io.StringIO()), health.progress)
    outlets.flush(60.0)
    assert health.stalled is None


def test_counters_of_a_sink_stand_at_zero_before_its_first_message() -> None:
    """Prometheus sees no increase in a counter that first appears with a failure."""
    metrics, record = Metrics(new_registry()), AlertRecord({}, "test")
    rejects = Outlet("dead_letter", ListSink(), DeadLetterRecord(64))
    Outlets([Outlet("kafka", ListSink(), record)], rejects, metrics.worker, log_to(io.StringIO()))
    for counter in ("detector_sink_failures_total", "detector_sink_messages_total"):
        for name in ("kafka", "dead_letter"):
            assert metrics.registry.get_sample_value(counter, {"sink": name}) == 0.0
