"""Outlets for alerts and dead letters, as configured; each sink closes with the stack."""

from __future__ import annotations

from contextlib import ExitStack

from detector.alerts import AlertRecord
from detector.config import Config
from detector.protocols import AlertBoard, Clock
from detector.records import Alert, Reject
from detector.sinks import BOARDS, SINKS, kafka_topic_sink
from detector.sinks.dead_letter import ENVELOPE_BYTES, DeadLetterRecord
from detector.telemetry import Metrics
from detector.worker.outlets import Outlet


def alert_outlets(config: Config, stack: ExitStack, encode: AlertRecord, metrics: Metrics) -> list[Outlet[Alert]]:
    """Outlets for the enabled sinks. Raises DetectorError if one cannot start."""
    outlets = []
    for name, build in SINKS.items():
        if getattr(config.sinks, name).enabled:
            sink = build(config, metrics.worker.sink_failures.labels(name).inc)
            stack.callback(sink.close, config.checkpoint.shutdown_timeout_seconds)
            outlets.append(Outlet(name, sink, encode))
    return outlets


def alert_boards(
    config: Config, stack: ExitStack, record: AlertRecord, metrics: Metrics, clock: Clock
) -> dict[str, AlertBoard]:
    """The enabled boards, by the name of the sink."""
    boards = {}
    for name, build in BOARDS.items():
        if getattr(config.sinks, name).enabled:
            boards[name] = board = build(config, record.value, clock, metrics.worker.sink_failures.labels(name).inc)
            stack.callback(board.close, config.checkpoint.shutdown_timeout_seconds)
            metrics.worker.sink_waiting.labels(name).set_function(board.waiting)
    return boards


def reject_outlet(config: Config, stack: ExitStack) -> Outlet[Reject] | None:
    """The outlet for dead letters; None if no topic is configured for them."""
    if config.dead_letter.topic is None:
        return None
    largest = config.dead_letter.max_value_bytes
    sink = kafka_topic_sink(config, config.dead_letter.topic, largest + ENVELOPE_BYTES)
    stack.callback(sink.close, config.checkpoint.shutdown_timeout_seconds)
    return Outlet("dead_letter", sink, DeadLetterRecord(largest))
