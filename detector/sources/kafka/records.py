"""Replaces the part of kafka-python that turns fetched bytes into records.

The library builds a `Fetcher.PartitionRecords` for each partition of a fetch response, and gets records with `take`.
This version returns plain tuples instead of `ConsumerRecord`s, at a fraction of the cost, and skips a batch that no
client can read, where the library's version would block the partition for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog

from detector.errors import CodecMissing
from detector.protocols import SkippedRange
from detector.records import Partition, RawBatch, partition_name
from detector.sources.kafka.record_batch import Row, UnreadableBatch, decode_rows, inflate

log = structlog.get_logger(__name__)

_HEADER_BYTES = 61
_BROKER_STAMPS = 1
_READ_COMMITTED = 1


@dataclass(slots=True)
class Quarantine:
    """What was skipped, and which batches to fetch once more before they are skipped."""

    ranges: list[SkippedRange] = field(default_factory=list)
    suspects: dict[Partition, int] = field(default_factory=dict)
    """Offset of the batch to fetch once more."""

    def deserves_retry(self, partition: Partition, offset: int) -> bool:
        """True the first time: if the checksum failed because of the network, the next fetch is sound."""
        if self.suspects.pop(partition, None) == offset:
            return False
        self.suspects[partition] = offset
        return True


class PartitionRows:
    """Rows of one partition's fetch response, batch by batch. Signature and attributes are the library's."""

    def __init__(
        self,
        fetch_offset: int,
        tp: Any,
        records: Any,
        *,
        quarantine: Quarantine,
        epoch_at: Callable[[Any], int] = lambda _: -1,
        check_crcs: bool = True,
        isolation_level: int = 0,
        aborted_transactions: Any = None,
        on_drain: Callable[[Any], None] = lambda _: None,
        **_unused: Any,
    ) -> None:
        """`epoch_at` returns the leader epoch of the position, which the library would lose if nothing was fetched."""
        self.topic_partition = tp
        self.next_fetch_offset = fetch_offset
        self.leader_epoch = epoch_at(tp)
        self.bytes_read = 0
        self.records_read = 0
        self._batches = records
        self._fetch_offset = fetch_offset
        self._quarantine = quarantine
        self._check_crcs = check_crcs
        self._committed_only = int(isolation_level) == _READ_COMMITTED
        self._aborted = deque(sorted(aborted_transactions or [], key=lambda transaction: transaction.first_offset))
        self._aborted_producers: set[int] = set()
        self._on_drain = on_drain
        self._rows: list[Row] = []
        self._cursor = 0
        self._behind_batch = fetch_offset
        self._failure: CodecMissing | None = None

    def __bool__(self) -> bool:
        return self._batches is not None

    def drain(self) -> None:
        """Discard the rest."""
        if self._batches is not None:
            self._batches = None
            self._rows = []
            self._on_drain(self)

    def take(self, n: int) -> list[Row]:
        """Up to `n` rows in offset order; fewer only at the end of the response. Raises CodecMissing."""
        if self._failure is not None:  # later records must not be read as if none were missing
            raise self._failure
        taken: list[Row] = []
        while self._batches is not None and len(taken) < n:
            if self._cursor == len(self._rows):
                self._next_batch()
                continue
            part = self._rows[self._cursor : self._cursor + n - len(taken)]
            self._cursor += len(part)
            taken += part
            # Offsets after the last record may be compacted away or belong to a control batch.
            ended = self._cursor == len(self._rows)
            self.next_fetch_offset = self._behind_batch if ended else part[-1][0] + 1
        self.records_read += len(taken)
        return taken

    def _next_batch(self) -> None:
        batch = self._batches.next_batch()
        if batch is None:
            self.drain()
            return
        self._cursor, self._rows = 0, []
        if batch.magic < 2:  # older than Kafka 0.11; the library's own reader will do
            self._rows = [(r.offset, r.timestamp, r.key, r.value) for r in batch if r.offset >= self._fetch_offset]
            self._behind_batch = self._rows[-1][0] + 1 if self._rows else self.next_fetch_offset
            return
        try:
            if self._check_crcs and not batch.validate_crc():
                self._checksum_failed(batch)
            elif self._is_wanted(batch):
                self._rows = self._decode(batch)
        except UnreadableBatch as exc:
            self._skip(batch, exc)
        if self._batches is not None:
            self.bytes_read += batch.size_in_bytes
            self.leader_epoch = batch.leader_epoch
            self._behind_batch = max(self._behind_batch, batch.next_offset)
            if not self._rows:
                self.next_fetch_offset = self._behind_batch

    def _decode(self, batch: Any) -> list[Row]:
        payload = bytes(memoryview(batch._buffer)[_HEADER_BYTES:])
        if batch.compression_type:
            try:
                payload = inflate(batch.compression_type, payload)
            except CodecMissing as exc:
                topic, partition = self.topic_partition
                self._failure = CodecMissing(f"{topic}/{partition} from offset {batch.base_offset} on: {exc}")
                raise self._failure from exc
        append_time = batch.max_timestamp if batch.timestamp_type == _BROKER_STAMPS else None
        rows = decode_rows(payload, batch.records_count, batch.base_offset, batch.first_timestamp, append_time)
        if rows and not batch.base_offset <= rows[0][0] <= rows[-1][0] <= batch.last_offset:
            raise UnreadableBatch("its records are outside its range of offsets")
        if rows and rows[0][0] < self._fetch_offset:  # the position is in the middle of the batch
            rows = [row for row in rows if row[0] >= self._fetch_offset]
        return rows

    def _checksum_failed(self, batch: Any) -> None:
        if self._quarantine.deserves_retry(tuple(self.topic_partition), batch.base_offset):
            self.drain()
        else:
            raise UnreadableBatch("its checksum does not match its bytes", reason="bad_checksum")

    def _skip(self, batch: Any, why: UnreadableBatch) -> None:
        first = max(batch.base_offset, self._fetch_offset)
        topic, partition = self.topic_partition
        skipped = SkippedRange(topic, partition, first, max(first, batch.last_offset), why.reason)
        where = partition_name(self.topic_partition)
        log.warning("batch skipped", partition=where, first=first, last=skipped.last, error=str(why))
        self._quarantine.ranges.append(skipped)

    def _is_wanted(self, batch: Any) -> bool:
        """False for control batches and, if only committed records count, for batches of aborted transactions."""
        if self._committed_only and batch.has_producer_id():
            while self._aborted and self._aborted[0].first_offset <= batch.last_offset:
                self._aborted_producers.add(self._aborted.popleft().producer_id)
            if batch.is_control_batch:
                self._aborted_producers.discard(batch.producer_id)
            elif batch.is_transactional and batch.producer_id in self._aborted_producers:
                return False
        return not batch.is_control_batch


def raw_batch(tp: Any, rows: list[Row]) -> RawBatch:
    """Rows of one partition as columns. A producer may omit the time, which Kafka then stores as -1."""
    offsets, times, keys, values = zip(*rows, strict=True)
    milliseconds = np.array(times, dtype=np.float64)
    return RawBatch(
        topic=tp.topic,
        partition=tp.partition,
        offsets=np.array(offsets, dtype=np.int64),
        record_times=np.where(milliseconds < 0, np.nan, milliseconds) / 1_000,
        values=list(values),
        keys=list(keys),
    )
