"""Reads the state topic: for a store that restores from it, or for a look from outside.

The state of input partition n is in partition n of the topic: keys `GROUP/TOPIC/PARTITION/NAME`, values the blobs. A
blob too large for one record is split into pieces NAME, NAME/1, NAME/2, ...; a tombstone deletes a piece.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.errors import SourceError, StateUnavailable
from detector.kafka.client import client_options, connect, log_bounds, milliseconds, translate
from detector.protocols import Stored
from detector.records import Partition
from detector.state.manifest import is_name
from detector.state.steps import Steps, complete

_FETCH_BYTES = 16 << 20
_ANSWER_SECONDS = 1.0
_RECORDS_SECONDS = 0.25
"""Longest waits before the caller may do something else."""
_KEY = re.compile(r"([^/]+)/(\d+)/([^/]+)(?:/(\d+))?")
Pieces = dict[str, dict[int, tuple[bytes, float]]]
"""Name of a blob -> number of a piece -> (its bytes, the unix time at which they were written)."""


class KafkaReader:
    """The blobs of one consumer group. It joins no group itself, and writes nothing."""

    def __init__(self, kafka: Kafka, topic: str, group: str, *, timeout_seconds: float) -> None:
        self._kafka = kafka
        self._topic = topic
        self._prefix = f"{quote(group, safe='')}/"
        self._timeout_seconds = timeout_seconds
        self._consumer: Any = connect(KafkaConsumer, _consumer_options(kafka), f"state topic {topic}", kafka)

    def partitions(self) -> Iterator[Stored]:
        for number in self._numbers():
            found = complete(self.read(number))
            for partition in sorted(found):
                yield _stored(partition, found[partition])

    def open(self, partition: Partition) -> Stored:
        if partition[1] not in self._numbers():
            return _stored(partition, {})
        return _stored(partition, complete(self.read(partition[1])).get(partition, {}))

    def pieces(self, partition: Partition) -> Steps[Pieces]:
        """The blobs of a partition, in pieces as the topic holds them."""
        yield from self._look_up_topic()
        if partition[1] not in self._numbers():
            raise StateUnavailable(
                f"state.kafka.topic: {self._topic} has no partition {partition[1]}: {partition[0]} has more "
                f"partitions. Add them: kafka-topics.sh --alter --topic {self._topic} --partitions {partition[1] + 1}"
            )
        found = yield from self.read(partition[1], f"{partition[0]}/")
        return found.get(partition, {})

    def read(self, number: int, topic_prefix: str = "") -> Steps[dict[Partition, Pieces]]:
        """A partition of the topic up to its current end, aborted records included; only keys with that prefix."""
        place = TopicPartition(self._topic, number)
        found: dict[Partition, Pieces] = {}
        try:
            self._consumer.assign([place])
            end = yield from self._end_of(place)
            self._consumer.seek_to_beginning(place)
            yield from self._read_to(place, end, self._prefix + topic_prefix, found)
        except kafka_errors.KafkaError as exc:
            raise unavailable(exc, f"reading state topic {self._topic}", self._kafka) from exc
        finally:
            with suppress(kafka_errors.KafkaError):
                self._consumer.unsubscribe()
        return found

    def close(self, timeout_seconds: float) -> None:
        with suppress(kafka_errors.KafkaError):
            self._consumer.close(timeout_ms=milliseconds(timeout_seconds))

    def _look_up_topic(self) -> Steps[None]:
        """Look up the topic in steps; the library does so again after each restore, and would wait in one go."""
        consumer, deadline = self._consumer, time.monotonic() + self._timeout_seconds
        try:
            answer = consumer._cluster.add_topic(self._topic)
            while not answer.is_done:
                try:
                    consumer._net.run(consumer._manager.wait_for, answer, milliseconds(_ANSWER_SECONDS))
                except kafka_errors.KafkaTimeoutError:
                    if time.monotonic() > deadline:
                        raise
                yield
        except kafka_errors.KafkaError as exc:
            raise unavailable(exc, f"looking up state topic {self._topic}", self._kafka) from exc

    def _numbers(self) -> list[int]:
        try:
            found = self._consumer.partitions_for_topic(self._topic)
        except kafka_errors.KafkaError as exc:
            raise unavailable(exc, f"looking up state topic {self._topic}", self._kafka) from exc
        if not found:
            raise StateUnavailable(f"state.kafka.topic: {self._topic} does not exist; `detector admin init` creates it")
        return sorted(found)

    def _end_of(self, place: Any) -> Steps[int]:
        """The end as of read_uncommitted: the last stable offset could hide records that are already written."""
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                (end,) = log_bounds(self._consumer, "latest", [place], _ANSWER_SECONDS).values()
            except kafka_errors.KafkaTimeoutError:
                if time.monotonic() > deadline:
                    raise
            else:
                return end
            yield

    def _read_to(self, place: Any, end: int, prefix: str, found: dict[Partition, Pieces]) -> Steps[None]:
        wanted, progress_at = prefix.encode(), time.monotonic()
        while not self._is_at(place, end):
            records = self._consumer.poll(timeout_ms=milliseconds(_RECORDS_SECONDS)).get(place, ())
            for record in records:
                if record.key is not None and record.key.startswith(wanted):
                    _take(record, record.key[len(self._prefix) :], found)
            if records:
                progress_at = time.monotonic()
            elif time.monotonic() - progress_at > self._timeout_seconds:
                raise StateUnavailable(f"state topic {self._topic}: nothing was read for {self._timeout_seconds:g} s")
            yield

    def _is_at(self, place: Any, end: int) -> bool:
        position = self._consumer.position(place, timeout_ms=milliseconds(_ANSWER_SECONDS))
        return position is not None and position >= end


def _take(record: Any, key: bytes, found: dict[Partition, Pieces]) -> None:
    parts = _KEY.fullmatch(key.decode("ascii", "replace"))
    if parts is None or not is_name(parts[3]):
        return
    blobs = found.setdefault((parts[1], int(parts[2])), {})
    pieces, number = blobs.setdefault(parts[3], {}), int(parts[4] or 0)
    if record.value is not None:
        pieces[number] = (record.value, record.timestamp / 1_000)
        return
    pieces.pop(number, None)
    if not pieces:
        del blobs[parts[3]]


class Joined(Mapping[str, bytes]):
    """The blobs, each joined on access. One that lacks a piece is found to be damaged when it is decoded."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    def __getitem__(self, name: str) -> bytes:
        return b"".join(piece for _, (piece, _) in sorted(self._pieces[name].items()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)


def unavailable(error: Exception, doing: str, kafka: Kafka) -> StateUnavailable:
    """An error of the state topic as an error of the store."""
    failure: SourceError = translate(error, doing, kafka)
    return StateUnavailable(str(failure))


def _stored(partition: Partition, pieces: Pieces) -> Stored:
    written_at = {name: max(at for _, at in parts.values()) for name, parts in pieces.items()}
    return Stored(partition, Joined(pieces), written_at)


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
