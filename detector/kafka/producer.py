"""Idempotent producers: how sinks and the state store start one, and how they end it within a given time."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.kafka.client import client_options, connect, milliseconds

_LOOKUP_TIMEOUT_MS = 10_000


def start_producer(
    kafka: Kafka, doing: str, *, delivery_timeout_seconds: float, max_request_bytes: int, linger_ms: int = 0
) -> Any:
    """A producer whose messages every in-sync replica acknowledges, or that fail within the timeout.

    Raises BrokerUnreachable, AccessDenied or another SourceError, which says what it was `doing`.
    """
    options = client_options(kafka)
    delivery_timeout_ms = milliseconds(delivery_timeout_seconds)
    options |= {
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": linger_ms,
        "max_request_size": max_request_bytes,
        "delivery_timeout_ms": delivery_timeout_ms,
        "max_block_ms": min(_LOOKUP_TIMEOUT_MS, options["request_timeout_ms"]),
        # If a request outlived its delivery timeout, the outcome of the delivery would be unknown.
        "request_timeout_ms": max(1, min(options["request_timeout_ms"], delivery_timeout_ms - linger_ms - 1)),
    }
    return connect(KafkaProducer, options, doing, kafka, end=partial(end_producer, within_seconds=1.0))


def end_producer(producer: Any, within_seconds: float) -> None:
    """Close it; what is not acknowledged by then is given up."""
    # The library may wait up to three times the timeout it is given, and may leave its thread running.
    third = within_seconds / 3
    with suppress(kafka_errors.KafkaError):
        producer.close(timeout=third)
    producer._sender.force_close()
    producer._sender.join(third)
