"""Sinks: where alerts and dead letters go. Each one, and the library it needs, is imported only when enabled."""

from collections.abc import Callable, Mapping
from typing import Any

from detector.config import Config
from detector.protocols import AlertBoard, Clock, Sink
from detector.records import Alert

Failed = Callable[[], object]
"""Called for each failure to deliver that the sink carries on after."""
Record = Callable[[Alert], Mapping[str, Any]]
"""Turns an alert into the record that subscribers of the topic read."""


def kafka_topic_sink(config: Config, topic: str, max_message_bytes: int = 0) -> Sink:
    """A sink that writes to `topic` of the configured cluster. Raises SourceError if it cannot start.

    Messages may be up to 1 MiB, or `max_message_bytes` if that is more.
    """
    from detector.sinks.kafka import KafkaSink

    section = config.sinks.kafka
    return KafkaSink(
        config.kafka,
        topic,
        max_in_flight=section.max_in_flight,
        delivery_timeout_seconds=section.delivery_timeout_seconds,
        max_message_bytes=max_message_bytes,
    )


def _kafka(config: Config, failed: Failed) -> Sink:
    return kafka_topic_sink(config, config.sinks.kafka.topic)


def _stdout(config: Config, failed: Failed) -> Sink:
    from detector.sinks.stdout import StdoutSink

    return StdoutSink()


def _webhook(config: Config, failed: Failed) -> Sink:
    from detector.sinks.webhook import WebhookSink

    return WebhookSink(config.sinks.webhook, failed)


def _alertmanager(config: Config, record: Record, clock: Clock, failed: Failed) -> AlertBoard:
    from detector.sinks.alertmanager import AlertmanagerBoard

    return AlertmanagerBoard(config.sinks.alertmanager, record, clock, failed)


SINKS: dict[str, Callable[[Config, Failed], Sink]] = {"kafka": _kafka, "stdout": _stdout, "webhook": _webhook}
"""Key under `sinks` -> the function that builds the sink."""
BOARDS: dict[str, Callable[[Config, Record, Clock, Failed], AlertBoard]] = {"alertmanager": _alertmanager}
"""Key under `sinks` -> the function that builds the board."""
