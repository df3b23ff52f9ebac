"""Reads a time range of a topic's records, once and without a consumer group; nothing is committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.errors import BrokerUnreachable, SourceError, TopicMissing
from detector.kafka.client import client_options, connect, milliseconds, translate
from detector.records import RawBatch
from detector.sources.kafka.records import PartitionRows, Quarantine, raw_batch

_POLL_MS = 500
_MAX_RECORDS = 20_000
_FETCH_BYTES = 4 << 20
Report = Callable[[int, int], None]
"""(offsets done, offsets in total)."""


class KafkaRange:
    """Records written to a topic in [first, last), in unix seconds of the records' own time.

    Raises BrokerUnreachable, AccessDenied, TopicMissing, and SourceError if the range has no records.
    """

    def __init__(self, kafka: Kafka, topic: str, first: float, last: float) -> None:
        self._kafka = kafka
        self._topic = topic
        self._timeout_ms = milliseconds(kafka.request_timeout_seconds)
        self.quarantine = Quarantine()
        """What was skipped because no client can read it."""
        self._consumer: Any = connect(KafkaConsumer, _consumer_options(kafka), f"topic {topic}", kafka)
        self._consumer._fetcher.PartitionRecords = partial(PartitionRows, quarantine=self.quarantine)
        try:
            self._spans = self._find(first, last)
        except kafka_errors.KafkaError as exc:
            self.close()
            raise translate(exc, f"looking for records of topic {topic}", kafka) from exc
        except BaseException:
            self.close()
            raise

    def batches(self, report: Report | None = None) -> Iterator[RawBatch]:
        """Batches of one partition after the other, each in offset order. Raises SourceError."""
        total = sum(end - start for start, end in self._spans.values())
        done = 0
        for number, (start, end) in self._spans.items():
            for batch, position in self._partition(number, start, end):
                if batch is not None:
                    yield batch
                if report is not None:
                    report(done + min(position, end) - start, total)
            done += end - start

    def close(self) -> None:
        """Idempotent."""
        with suppress(kafka_errors.KafkaError):
            self._consumer.close(timeout_ms=1_000)

    def _find(self, first: float, last: float) -> dict[int, tuple[int, int]]:
        """Partition -> offsets [start, end), for partitions that have records in the range."""
        numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise TopicMissing(
                f"--topic: {self._topic} does not exist at {', '.join(self._kafka.bootstrap_servers)}, or this client "
                "may not DESCRIBE it; check the name and kafka.bootstrap_servers"
            )
        places = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        ends = self._consumer.end_offsets(places, timeout_ms=self._timeout_ms)
        starts, stops = (
            self._consumer.offsets_for_times(dict.fromkeys(places, round(1_000 * at)), timeout_ms=self._timeout_ms)
            for at in (first, last)
        )
        spans = {}
        for place in places:
            start, stop = starts[place], stops[place]
            span = (ends[place] if start is None else start.offset, ends[place] if stop is None else stop.offset)
            if span[0] < span[1]:
                spans[place.partition] = span
        if not spans:
            raise SourceError(
                f"--topic: {self._topic} has no record from {_iso(first)} to {_iso(last)}; its {len(places)} "
                f"partitions hold offsets up to {max(ends.values())}. Check --from, --to, and the topic's retention"
            )
        return spans

    def _partition(self, number: int, start: int, end: int) -> Iterator[tuple[RawBatch | None, int]]:
        """Yields (records, if any came; the position after them)."""
        place = TopicPartition(self._topic, number)
        self._consumer.assign([place])
        self._consumer.seek(place, start)
        position, progress_at = start, time.monotonic()
        while position < end:
            try:
                rows = self._consumer.poll(timeout_ms=_POLL_MS).get(place, [])
                behind = self._consumer.position(place, timeout_ms=self._timeout_ms)
            except kafka_errors.KafkaError as exc:
                raise translate(exc, f"reading {self._topic}/{number}", self._kafka) from exc
            if behind > position:
                position, progress_at = behind, time.monotonic()
            elif time.monotonic() - progress_at > self._kafka.request_timeout_seconds:
                raise BrokerUnreachable(
                    f"{self._topic}/{number}: nothing was read for {self._kafka.request_timeout_seconds:g} s at offset "
                    f"{position}, although the range ends at {end}"
                )
            rows = [row for row in rows if row[0] < end]
            yield (raw_batch(place, rows) if rows else None), position


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _consumer_options(kafka: Kafka) -> dict[str, Any]:
    return {
        **client_options(kafka),
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "check_crcs": True,
        "max_poll_records": _MAX_RECORDS,
        "fetch_max_bytes": 4 * _FETCH_BYTES,
        "max_partition_fetch_bytes": _FETCH_BYTES,
    }
