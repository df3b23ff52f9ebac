"""State in a compacted Kafka topic, so that it follows its partition from worker to worker.

`kafka_read` describes the layout. Names are never used twice, so compaction removes only what was deleted, with a
tombstone for each piece.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.kafka.producer import end_producer, start_producer
from detector.records import Partition
from detector.state.kafka_read import Joined, KafkaReader, unavailable
from detector.state.kafka_topic import require_topic
from detector.state.steps import Steps

_MAX_IN_FLIGHT = 32
_PIECE_BYTES = 512 << 10


class KafkaStore:
    """Blobs in a topic that must exist, be compacted, and have at least as many partitions as the input.

    Raises StateUnavailable if it does not fit, BrokerUnreachable or AccessDenied if the brokers cannot be asked.
    """

    def __init__(
        self, kafka: Kafka, topic: str, inputs: Collection[str], group: str, *, timeout_seconds: float
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._group = quote(group, safe="")
        self._timeout_seconds = timeout_seconds
        self._in_flight: deque[Any] = deque()
        self._deletions: deque[Any] = deque()
        """Also on their way, but nothing waits for them before the next flush."""
        self._pieces: dict[Partition, dict[str, int]] = {}
        """Number of pieces of each blob read or written here."""
        self._closed = False
        require_topic(kafka, topic, inputs)
        self._reader = KafkaReader(kafka, topic, group, timeout_seconds=timeout_seconds)
        try:
            self._producer = start_producer(
                kafka,
                f"state topic {topic}",
                delivery_timeout_seconds=timeout_seconds,
                max_request_bytes=2 * _PIECE_BYTES,
            )
        except BaseException:
            self._reader.close(1.0)
            raise

    def opening(self, partition: Partition) -> Steps[Mapping[str, bytes]]:
        """Reads the topic's partition to its current end."""
        found = yield from self._reader.pieces(partition)
        self._pieces[partition] = {name: max(pieces) + 1 for name, pieces in found.items()}
        return Joined(found)

    def write(self, partition: Partition, name: str, blob: bytes) -> None:
        pieces = [blob[start : start + _PIECE_BYTES] for start in range(0, len(blob), _PIECE_BYTES)]
        self._pieces.setdefault(partition, {})[name] = len(pieces)
        for number, piece in enumerate(pieces):
            if len(self._in_flight) >= _MAX_IN_FLIGHT:
                self._settle(self._in_flight.popleft(), self._timeout_seconds)
            self._in_flight.append(self._send(partition, name, number, piece))

    def delete(self, partition: Partition, names: Collection[str]) -> None:
        known = self._pieces.get(partition, {})
        for name in names:
            for number in range(known.pop(name, 1)):
                self._deletions.append(self._send(partition, name, number, None))

    @property
    def in_flight(self) -> int:
        while self._in_flight and self._in_flight[0].is_done:
            self._settle(self._in_flight.popleft(), 0.0)
        return len(self._in_flight)

    def flush(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        for waiting in (self._in_flight, self._deletions):
            while waiting:
                self._settle(waiting.popleft(), deadline - time.monotonic())

    def close(self, timeout_seconds: float) -> None:
        if self._closed:
            return
        self._closed = True
        end_producer(self._producer, timeout_seconds)
        self._reader.close(timeout_seconds / 3)

    def _key(self, partition: Partition, name: str) -> bytes:
        return f"{self._group}/{partition[0]}/{partition[1]}/{name}".encode("ascii")

    def _send(self, partition: Partition, name: str, number: int, piece: bytes | None) -> Any:
        key = self._key(partition, f"{name}/{number}" if number else name)
        try:
            return self._producer.send(self._topic, piece, key, partition=partition[1])
        except (kafka_errors.KafkaError, ValueError, AssertionError) as exc:
            raise unavailable(exc, f"writing to state topic {self._topic}", self._kafka) from exc

    def _settle(self, future: Any, timeout_seconds: float) -> None:
        try:
            future.get(timeout=max(0.0, timeout_seconds))
        except kafka_errors.KafkaError as exc:
            raise unavailable(exc, f"writing to state topic {self._topic}", self._kafka) from exc
