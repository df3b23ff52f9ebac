"""State in a compacted Kafka topic, so that it follows its partition from worker to worker.

The state of input partition n is in partition n of the topic: keys `GROUP/TOPIC/PARTITION/NAME`, values the blobs, a
tombstone for what nothing refers to any more. Names are never used twice, so compaction takes only what was deleted. A
blob that is larger than a record may be is written in pieces, NAME, NAME/1, NAME/2, ...
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.errors import SourceError, StateUnavailable
from detector.kafka_client import client_options, connect, milliseconds, translate
from detector.records import Partition
from detector.state.kafka_topic import require_topic
from detector.state.manifest import is_name

_MAX_IN_FLIGHT = 32
_PIECE_BYTES = 512 << 10
_FETCH_BYTES = 16 << 20
_LOOKUP_TIMEOUT_MS = 10_000


class KafkaStore:
    """Blobs in a topic that exists, is compacted, and has as many partitions as the input.

    Raises StateUnavailable where that is not so, BrokerUnreachable or AccessDenied where it cannot even ask.
    """

    def __init__(
        self, kafka: Kafka, topic: str, inputs: Collection[str], group: str, *, timeout_seconds: float
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._group = quote(group, safe="")
        self._timeout_seconds = timeout_seconds
        self._in_flight: deque[Any] = deque()
        self._pieces: dict[tuple[Partition, str], int] = {}
        """Of what was read or written here."""
        self._closed = False
        require_topic(kafka, topic, inputs)
        self._consumer: Any = connect(KafkaConsumer, _consumer_options(kafka), f"state topic {topic}", kafka)
        try:
            options = _producer_options(kafka, timeout_seconds)
            self._producer: Any = connect(KafkaProducer, options, f"state topic {topic}", kafka)
        except BaseException:
            self._consumer.close(timeout_ms=1_000)
            raise

    def open(self, partition: Partition) -> Mapping[str, bytes]:
        """Reads the partition of the topic to the end that it has now, aborted or not."""
        place = TopicPartition(self._topic, partition[1])
        prefix = self._key(partition, "")
        found: dict[str, dict[int, bytes]] = {}
        try:
            self._consumer.assign([place])
            # Of read_uncommitted: the last stable offset could hide what is written already.
            (end,) = self._consumer.end_offsets([place], timeout_ms=self._timeout_ms()).values()
            self._consumer.seek_to_beginning(place)
            self._read_to(place, end, prefix, found)
        except kafka_errors.KafkaError as exc:
            raise self._unavailable(exc, "reading") from exc
        finally:
            with suppress(kafka_errors.KafkaError):
                self._consumer.unsubscribe()
        self._pieces |= {(partition, name): max(pieces) + 1 for name, pieces in found.items()}
        # One that lacks a piece is found damaged by whoever reads it.
        return {name: b"".join(piece for _, piece in sorted(pieces.items())) for name, pieces in found.items()}

    def _read_to(self, place: Any, end: int, prefix: bytes, found: dict[str, dict[int, bytes]]) -> None:
        heard_at = time.monotonic()
        while self._consumer.position(place, timeout_ms=self._timeout_ms()) < end:
            for record in self._consumer.poll(timeout_ms=500).get(place, ()):
                heard_at = time.monotonic()
                if record.key is None or not record.key.startswith(prefix):
                    continue
                name, _, piece = record.key[len(prefix) :].decode("ascii", "replace").partition("/")
                if not is_name(name) or not (piece == "" or piece.isdigit()):
                    continue
                pieces = found.setdefault(name, {})
                if record.value is not None:
                    pieces[int(piece or 0)] = record.value
                else:
                    pieces.pop(int(piece or 0), None)
                    if not pieces:
                        del found[name]
            if time.monotonic() - heard_at > self._timeout_seconds:
                raise StateUnavailable(f"state topic {self._topic}: nothing came for {self._timeout_seconds:g} s")

    def write(self, partition: Partition, name: str, blob: bytes) -> None:
        pieces = [blob[start : start + _PIECE_BYTES] for start in range(0, len(blob), _PIECE_BYTES)]
        self._pieces[partition, name] = len(pieces)
        for number, piece in enumerate(pieces):
            self._send(partition, name, number, piece)

    def delete(self, partition: Partition, names: Collection[str]) -> None:
        for name in names:
            for number in range(self._pieces.pop((partition, name), 1)):
                self._send(partition, name, number, None)

    @property
    def in_flight(self) -> int:
        while self._in_flight and self._in_flight[0].is_done:
            self._settle(self._in_flight.popleft(), 0.0)
        return len(self._in_flight)

    def flush(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while self._in_flight:
            self._settle(self._in_flight.popleft(), deadline - time.monotonic())

    def close(self, timeout_seconds: float) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(kafka_errors.KafkaError):
            self._producer.close(timeout=timeout_seconds / 3)
        self._producer._sender.force_close()
        self._producer._sender.join(timeout_seconds / 3)
        with suppress(kafka_errors.KafkaError):
            self._consumer.close(timeout_ms=milliseconds(timeout_seconds / 3))

    def _key(self, partition: Partition, name: str) -> bytes:
        return f"{self._group}/{partition[0]}/{partition[1]}/{name}".encode("ascii")

    def _send(self, partition: Partition, name: str, number: int, piece: bytes | None) -> None:
        if len(self._in_flight) >= _MAX_IN_FLIGHT:
            self._settle(self._in_flight.popleft(), self._timeout_seconds)
        key = self._key(partition, f"{name}/{number}" if number else name)
        try:
            future = self._producer.send(self._topic, piece, key, partition=partition[1])
        except (kafka_errors.KafkaError, ValueError, AssertionError) as exc:
            raise self._unavailable(exc, "writing to") from exc
        self._in_flight.append(future)

    def _settle(self, future: Any, timeout_seconds: float) -> None:
        try:
            future.get(timeout=max(0.0, timeout_seconds))
        except kafka_errors.KafkaError as exc:
            raise self._unavailable(exc, "writing to") from exc

    def _timeout_ms(self) -> int:
        return milliseconds(self._timeout_seconds)

    def _unavailable(self, error: Exception, doing: str) -> StateUnavailable:
        told: SourceError = translate(error, f"{doing} state topic {self._topic}", self._kafka)
        return StateUnavailable(str(told))


def _consumer_options(kafka: Kafka) -> dict[str, Any]:
    return {
        **client_options(kafka),
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_uncommitted",
        "check_crcs": True,
        "fetch_max_bytes": 4 * _FETCH_BYTES,
        "max_partition_fetch_bytes": _FETCH_BYTES,
    }


def _producer_options(kafka: Kafka, timeout_seconds: float) -> dict[str, Any]:
    options = client_options(kafka)
    timeout_ms = milliseconds(timeout_seconds)
    return {
        **options,
        "acks": "all",
        "enable_idempotence": True,
        "max_request_size": 2 * _PIECE_BYTES,
        "delivery_timeout_ms": timeout_ms,
        "request_timeout_ms": max(1, min(options["request_timeout_ms"], timeout_ms - 1)),
        "max_block_ms": min(_LOOKUP_TIMEOUT_MS, options["request_timeout_ms"]),
    }
