"""Records of Kafka topics, read as a member of a consumer group."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
import structlog
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as KafkaSourceSection
from detector.errors import (
    CommitRefused,
    DetectorError,
    MemberFenced,
    OffsetLost,
    TopicMissing,
)
from detector.kafka_client import client_options, connect, milliseconds, translate
from detector.protocols import AssignmentChanges, SkippedRange
from detector.records import UNKNOWN_LINEAGE, Lineage, Partition, RawBatch
from detector.sources.kafka_lineage import Lineages
from detector.sources.kafka_lost import LostPosition, PositionCutOff, PositionOfAnotherTopic
from detector.sources.kafka_rebalance import Rebalances
from detector.sources.kafka_records import PartitionRows, Quarantine
from detector.sources.record_batch import Row

log = structlog.get_logger(__name__)

_MAX_PARTITION_FETCH_BYTES = 4 << 20
_MAX_FETCH_WAIT_MS = 500
_MAX_HEARTBEAT_MS = 3_000
_REBALANCING = (
    kafka_errors.CommitFailedError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
)


class KafkaSource:
    """A member of a consumer group that commits only what it is told to. One thread owns it.

    Raises BrokerUnreachable, AccessDenied or TopicMissing where it cannot even start.
    """

    exhausted = False

    def __init__(self, kafka: Kafka, section: KafkaSourceSection) -> None:
        self._kafka = kafka
        self._section = section
        self._timeout_ms = milliseconds(kafka.request_timeout_seconds)
        self._quarantine = Quarantine()
        self._committed: dict[Partition, int] = {}
        self._closed = False
        self._consumer: Any = connect(KafkaConsumer, _consumer_options(kafka, section), "source.kafka", kafka)
        # The seam that makes a record cost a fifth; the version of the library is pinned for its sake.
        self._consumer._fetcher.PartitionRecords = partial(PartitionRows, quarantine=self._quarantine)
        try:
            self._require_topics()
            self._lineages = Lineages(self._consumer._cluster.topic_id, self._refresh_metadata)
            self._rebalances = Rebalances(pause=self._consumer.pause)
            self._consumer.subscribe(topics=section.topics, listener=self._rebalances)
        except BaseException:
            self._consumer.close(autocommit=False, timeout_ms=1_000)
            raise

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        """Also settles where to start, and what to do where the position is not in the log any more."""
        try:
            fetched: dict[Any, list[Row]] = self._consumer.poll(timeout_ms=int(timeout_seconds * 1_000))
        except kafka_errors.NoOffsetForPartitionError as exc:
            self._start(exc.args[0])
            return []
        except kafka_errors.OffsetOutOfRangeError as exc:
            self._find_lost(exc.args[0], exc, {})
            return []
        except kafka_errors.LogTruncationError as exc:
            positions = {tp: self._position(tp) or 0 for tp in exc.divergent_offsets}
            self._find_lost(positions, exc, {tp: found.offset for tp, found in exc.divergent_offsets.items() if found})
            return []
        except kafka_errors.FencedInstanceIdError as exc:
            raise self._fenced() from exc
        except kafka_errors.KafkaError as exc:
            raise translate(exc, f"reading {', '.join(self._section.topics)}", self._kafka) from exc
        recreated = self._recreated()
        if recreated:
            self._find_lost({tp: self._position(tp) or 0 for tp in recreated}, None, {})
            return []
        for tp, rows in fetched.items():
            if rows:
                epoch = self._consumer._subscription.assignment[tp].position.leader_epoch
                self._lineages.handed_out((tp.topic, tp.partition), epoch)
        return [_raw_batch(tp, rows) for tp, rows in fetched.items() if rows]

    def changes(self) -> AssignmentChanges:
        changes = self._rebalances.changes()
        for partition in changes.revoked | changes.lost | changes.assigned:
            self._committed.pop(partition, None)
        self._lineages.forget(changes.revoked | changes.lost | changes.assigned)
        return changes

    def skipped(self) -> list[SkippedRange]:
        ranges, self._quarantine.ranges = self._quarantine.ranges, []
        return ranges

    def resume(self, partitions: frozenset[Partition]) -> None:
        self._consumer.resume(*self._assigned(partitions))

    def pause(self, partitions: frozenset[Partition]) -> None:
        self._consumer.pause(*self._assigned(partitions))

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        for tp in self._assigned([partition]):
            # With the epoch, which the public `seek` does not take, the client asks the leader where that epoch ended.
            self._consumer._subscription.seek(tp, OffsetAndMetadata(offset, "", lineage.leader_epoch))
            self._lineages.sought(partition, lineage)

    def lineage(self, partition: Partition) -> Lineage:
        return self._lineages.behind(partition)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Raises CommitRefused while the group is being rebalanced: what stays assigned is committed next time."""
        due = {
            tp: offsets[tp.topic, tp.partition]
            for tp in self._assigned(offsets)
            if self._committed.get((tp.topic, tp.partition)) != offsets[tp.topic, tp.partition]
        }
        if not due:
            return
        try:
            self._consumer.commit(
                {tp: OffsetAndMetadata(offset, "", -1) for tp, offset in due.items()}, timeout_ms=self._timeout_ms
            )
        except _REBALANCING as exc:
            raise CommitRefused(f"group {self._section.group_id} is being rebalanced ({type(exc).__name__})") from exc
        except kafka_errors.FencedInstanceIdError as exc:
            raise self._fenced() from exc
        except kafka_errors.KafkaError as exc:
            raise translate(exc, f"committing offsets of group {self._section.group_id}", self._kafka) from exc
        self._committed.update({(tp.topic, tp.partition): offset for tp, offset in due.items()})

    def lag(self) -> Mapping[Partition, int]:
        """Partitions of which nothing was heard yet are left out."""
        lags: dict[Partition, int] = {}
        for tp in self._consumer.assignment():
            position, end = self._position(tp), self._highwater(tp)
            if position is not None and end is not None:
                lags[tp.topic, tp.partition] = max(0, end - position)
        return lags

    def close(self, timeout_seconds: float) -> None:
        """A static member stays in the group until its session ends, so that a restart causes no rebalance."""
        if self._closed:
            return
        self._closed = True
        try:
            self._consumer.close(autocommit=False, timeout_ms=milliseconds(timeout_seconds))
        except kafka_errors.KafkaError as exc:
            log.warning("source_close_failed", error=f"{type(exc).__name__}: {exc}")

    def _require_topics(self) -> None:
        for topic in self._section.topics:
            try:
                found = self._consumer.partitions_for_topic(topic)
            except kafka_errors.KafkaError as exc:
                raise translate(exc, f"looking up topic {topic}", self._kafka) from exc
            if not found:
                raise TopicMissing(
                    f"source.kafka.topics: {topic} does not exist at {', '.join(self._kafka.bootstrap_servers)}, or "
                    f"{self._kafka.sasl.username or 'an anonymous client'} may not DESCRIBE it; create it or grant that"
                )

    def _start(self, partitions: Collection[Any]) -> None:
        """First start: commit the configured end of the log at once, so that an early crash skips nothing."""
        starts = self._log_bounds(partitions, self._section.start)
        for tp, offset in starts.items():
            if tp in self._consumer.assignment():
                self._consumer.seek(tp, offset)
                log.info(
                    "first_start", topic=tp.topic, partition=tp.partition, offset=offset, start=self._section.start
                )
        try:
            self.commit({(tp.topic, tp.partition): offset for tp, offset in starts.items()})
        except CommitRefused:
            log.info("first_start_not_committed", group=self._section.group_id)

    def _find_lost(self, positions: Mapping[Any, int], cause: Exception | None, parted: Mapping[Any, int]) -> None:
        """`parted` says where the log was cut, where that is known."""
        first, end = (self._log_bounds(positions, side) for side in ("earliest", "latest"))
        recreated = self._lineages.recreated([(tp.topic, tp.partition) for tp in positions])
        for tp, position in positions.items():
            place = (tp.topic, tp.partition, position, first[tp], end[tp])
            if tuple(tp) in recreated:
                lost: LostPosition = PositionOfAnotherTopic(*place)
            elif isinstance(cause, kafka_errors.LogTruncationError):
                lost = PositionCutOff(*place, parted.get(tp, 0))
            else:
                lost = LostPosition(*place)
            try:
                target = lost.target(self._section.on_offset_lost)
            except OffsetLost as exc:
                raise exc from cause
            log.warning("offset_lost", reason=lost.error().reason, partition=tuple(tp), at=position, moved_to=target)
            skipped = lost.skipped(target)
            if skipped is not None:
                self._quarantine.ranges.append(skipped)
            if tp in self._consumer.assignment():
                self._consumer.seek(tp, target)
                self._lineages.adopt(tuple(tp))

    def _recreated(self) -> list[Any]:
        found = self._lineages.recreated([(tp.topic, tp.partition) for tp in self._consumer.assignment()])
        return [TopicPartition(*partition) for partition in found]

    def _refresh_metadata(self) -> None:
        consumer = self._consumer
        try:
            consumer._net.run(consumer._manager.wait_for, consumer._cluster.request_update(), self._timeout_ms)
        except kafka_errors.KafkaError as exc:
            raise translate(exc, "asking for the ids of topics", self._kafka) from exc

    def _log_bounds(self, partitions: Collection[Any], end: str) -> dict[Any, int]:
        ask = self._consumer.beginning_offsets if end == "earliest" else self._consumer.end_offsets
        try:
            found: dict[Any, int] = ask(list(partitions), timeout_ms=self._timeout_ms)
        except kafka_errors.KafkaError as exc:
            raise translate(exc, f"asking for the {end} offsets", self._kafka) from exc
        return found

    def _position(self, tp: Any) -> int | None:
        try:
            position: int | None = self._consumer.position(tp, timeout_ms=0)
        except kafka_errors.KafkaError:
            return None  # not settled yet, or not ours any more
        return position

    def _highwater(self, tp: Any) -> int | None:
        try:
            highwater: int | None = self._consumer.highwater(tp)
        except kafka_errors.KafkaError:
            return None
        return highwater

    def _assigned(self, partitions: Collection[Partition]) -> list[Any]:
        assigned = self._consumer.assignment()
        return [tp for tp in (TopicPartition(*partition) for partition in partitions) if tp in assigned]

    def _fenced(self) -> DetectorError:
        return MemberFenced(
            f"another process has joined group {self._section.group_id} as {self._section.group_instance_id}; "
            "give each its own source.kafka.group_instance_id"
        )


def _consumer_options(kafka: Kafka, section: KafkaSourceSection) -> dict[str, Any]:
    session_ms = milliseconds(section.session_timeout_seconds)
    return {
        **client_options(kafka),
        "group_id": section.group_id,
        "group_instance_id": section.group_instance_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "check_crcs": True,
        "fetch_max_wait_ms": min(_MAX_FETCH_WAIT_MS, milliseconds(kafka.request_timeout_seconds / 2)),
        "max_poll_records": section.max_poll_records,
        "fetch_max_bytes": section.fetch_max_bytes,
        "max_partition_fetch_bytes": min(section.fetch_max_bytes, _MAX_PARTITION_FETCH_BYTES),
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": min(_MAX_HEARTBEAT_MS, session_ms // 3),
        # Eager: the library's cooperative assignor lets an evicted member reclaim partitions that are another's by now.
        "partition_assignment_strategy": [StickyPartitionAssignor, RangePartitionAssignor],
    }


def _raw_batch(tp: Any, rows: list[Row]) -> RawBatch:
    offsets, times, keys, values = zip(*rows, strict=True)
    return RawBatch(
        topic=tp.topic,
        partition=tp.partition,
        offsets=np.array(offsets, dtype=np.int64),
        record_times=np.array(times, dtype=np.float64) / 1_000,
        values=list(values),
        keys=list(keys),
    )
