"""Writes messages to one Kafka topic, each acknowledged by every in-sync replica or reported as undelivered."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import structlog
from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.errors import DeliveryError, TopicMissing
from detector.kafka.client import translate
from detector.kafka.producer import end_producer, start_producer
from detector.protocols import Message

log = structlog.get_logger(__name__)

_LINGER_MS = 5
_USUAL_REQUEST_BYTES = 1 << 20


class KafkaSink:
    """An idempotent producer with a bound on messages in flight, because the library buffers without one.

    Once a message could not be delivered, the sink accepts no more: the sender must start again with a new sink, from
    the last point at which everything was acknowledged. Raises BrokerUnreachable, AccessDenied or TopicMissing if it
    cannot start.
    """

    def __init__(
        self,
        kafka: Kafka,
        topic: str,
        *,
        max_in_flight: int = 1_000,
        delivery_timeout_seconds: float = 30.0,
        max_message_bytes: int = 0,
    ) -> None:
        """Messages may be up to 1 MiB, or `max_message_bytes` if that is more."""
        self._kafka = kafka
        self._topic = topic
        self._max_in_flight = max_in_flight
        self._delivery_timeout_seconds = delivery_timeout_seconds
        self._in_flight: deque[Any] = deque()
        self._failure: str | None = None
        self._closed = False
        self._producer = start_producer(
            kafka,
            f"sink topic {topic}",
            delivery_timeout_seconds=delivery_timeout_seconds,
            max_request_bytes=max(_USUAL_REQUEST_BYTES, max_message_bytes),
            linger_ms=_LINGER_MS,
        )
        try:
            self._require_topic()
        except BaseException:
            end_producer(self._producer, 1.0)
            raise

    @property
    def partitions(self) -> int:
        """Number of partitions of the topic."""
        return len(self._producer.partitions_for(self._topic))

    @property
    def in_flight(self) -> int:
        """Messages sent but not known to be acknowledged."""
        self._reap()
        return len(self._in_flight)

    def send(self, message: Message) -> None:
        """With `max_in_flight` messages in flight, waits up to `delivery_timeout_seconds` for the oldest one."""
        self._reap()
        self._require_usable()
        if len(self._in_flight) >= self._max_in_flight:
            self._wait_for_oldest(self._delivery_timeout_seconds)
        # A record needs a key or a value.
        value = b"" if message.key is None and message.value is None else message.value
        try:
            future = self._producer.send(
                self._topic, value, message.key, headers=list(message.headers), partition=message.partition
            )
        except (kafka_errors.KafkaError, ValueError, TypeError) as exc:
            raise self._fail(exc) from exc
        self._in_flight.append(future)

    def flush(self, timeout_seconds: float) -> None:
        """A timeout leaves the sink usable, and `flush` may be called again; a failed delivery does not."""
        deadline = time.monotonic() + timeout_seconds
        while self._in_flight:
            self._wait_for_oldest(deadline - time.monotonic())
        self._require_usable()

    def close(self, timeout_seconds: float) -> None:
        if self._closed:
            return
        self._closed = True
        self._reap()
        if self._in_flight:
            log.warning("closing with unacknowledged messages", topic=self._topic, messages=len(self._in_flight))
        end_producer(self._producer, timeout_seconds)

    def _reap(self) -> None:
        """Remove settled messages from the front, in sending order."""
        while self._in_flight and self._in_flight[0].is_done:
            future = self._in_flight.popleft()
            if future.failed():
                self._fail(future.exception)

    def _wait_for_oldest(self, timeout_seconds: float) -> None:
        try:
            self._in_flight[0].get(timeout=max(0.0, timeout_seconds))
        except kafka_errors.KafkaError as exc:
            if not self._in_flight[0].is_done:
                raise DeliveryError(
                    f"topic {self._topic}: {len(self._in_flight)} messages are not acknowledged by "
                    f"{', '.join(self._kafka.bootstrap_servers)} in time; check that its brokers are up"
                ) from exc
        self._reap()
        self._require_usable()

    def _fail(self, cause: Exception) -> DeliveryError:
        if self._failure is None:
            self._failure = str(translate(cause, f"delivering to topic {self._topic}", self._kafka))
            log.error("delivery failed", topic=self._topic, error=self._failure)
        return DeliveryError(self._failure, retriable=False)

    def _require_usable(self) -> None:
        if self._failure is not None:
            raise DeliveryError(self._failure, retriable=False)

    def _require_topic(self) -> None:
        """Tell a missing topic from silent brokers: the library reports both with the same timeout."""
        deadline = time.monotonic() + self._kafka.request_timeout_seconds
        while True:
            asked_at = time.monotonic()
            try:
                self._producer.partitions_for(self._topic)
                return
            except kafka_errors.KafkaTimeoutError as exc:
                if self._producer._metadata._last_successful_refresh_ms >= 1_000 * asked_at:
                    raise TopicMissing(
                        f"topic {self._topic} does not exist at {', '.join(self._kafka.bootstrap_servers)}; "
                        "`detector admin init` creates it"
                    ) from exc
                if time.monotonic() >= deadline:
                    raise translate(exc, f"looking up sink topic {self._topic}", self._kafka) from exc
            except kafka_errors.KafkaError as exc:
                raise translate(exc, f"sink topic {self._topic}", self._kafka) from exc
