"""Reads Kafka topics as a member of a consumer group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as KafkaSourceSection
from detector.errors import BrokerUnreachable, CommitRefused, DetectorError, MemberFenced, SourceError
from detector.kafka.client import connect, milliseconds, translate
from detector.protocols import AssignmentChanges, SkippedRange
from detector.records import UNKNOWN_LINEAGE, Lineage, Partition, RawBatch
from detector.sources.kafka.drain import Taken, drain
from detector.sources.kafka.lineage import Lineages
from detector.sources.kafka.membership import Membership
from detector.sources.kafka.offsets import Offsets, committed_form
from detector.sources.kafka.options import member_options
from detector.sources.kafka.positions import Positions
from detector.sources.kafka.progress import Progress, require_answers
from detector.sources.kafka.rebalance import Rebalances
from detector.sources.kafka.record_batch import require_codecs
from detector.sources.kafka.records import PartitionRows, Quarantine, raw_batch
from detector.sources.kafka.topics import Topics

log = structlog.get_logger(__name__)

_LOOK_TIMEOUT_MS = 5_000
_REBALANCING = (
    kafka_errors.CommitFailedError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
)


class KafkaSource:
    """A member of a consumer group, owned by one thread. Commits first starts itself, all else only through `commit`.

    Raises BrokerUnreachable, AccessDenied, TopicMissing or CodecMissing if it cannot start.
    """

    exhausted = False

    def __init__(self, kafka: Kafka, section: KafkaSourceSection, stall_seconds: float = 300.0) -> None:
        """It is an error if a partition makes no progress for `stall_seconds` although records wait in it.

        So is a topic that is missing for that long.
        """
        require_codecs()
        self._kafka = kafka
        self._where = ", ".join(kafka.bootstrap_servers)
        self._section = section
        self._timeout_ms = milliseconds(kafka.request_timeout_seconds)
        self._quarantine = Quarantine()
        self._committed: dict[Partition, int] = {}
        self._resumed: frozenset[Partition] = frozenset()
        self._unplaced: frozenset[Partition] = frozenset()
        """Assigned, but nothing has set their position yet."""
        self._sought: dict[Partition, int] = {}
        """Where partitions resume whose state was restored since the last poll."""
        self._delivered: dict[Partition, int] = {}
        """Offset after the last record handed out, or the one sought; not known behind skipped ranges."""
        self._taken: Taken = {}
        """Records that the client's positions have already passed: if a poll fails, the next one returns them."""
        self._progress = Progress(stall_seconds)
        self._closed = False
        self._consumer: Any = connect(KafkaConsumer, member_options(kafka, section), "source.kafka", kafka)
        self._positions = Positions(self._consumer)
        # This replacement cuts the cost of a record to a fifth; the library's version is pinned because of it.
        self._consumer._fetcher.PartitionRecords = partial(
            PartitionRows, quarantine=self._quarantine, epoch_at=self._positions.epoch
        )
        try:
            self._topics = Topics(self._consumer, kafka, section, stall_seconds)
            self._topics.require()
            self._lineages = Lineages(self._consumer._cluster.topic_id, self._refresh_metadata)
            self._offsets = Offsets(self._consumer, kafka, section, self._lineages, self._quarantine)
            self._membership = Membership(self._consumer._coordinator)
            self._rebalances = Rebalances(self._consumer.pause, lambda: self._membership.generation)
            self._consumer.subscribe(topics=section.topics, listener=self._rebalances)
            self._refresh_metadata()  # a leader that learns of partitions after it assigned them assigns again
        except BaseException:
            self._consumer.close(autocommit=False, timeout_ms=1_000)
            raise

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        """Also decides where to start, and what to do if a position is no longer in the log."""
        self._find_what_is_wrong()
        self._compare_sought()  # before first starts are committed
        unplaced = self._positions.assigned(self._unplaced & self._resumed)
        if unplaced:
            self._offsets.place(unplaced)
            self._unplaced -= self._resumed
        self._membership.poll_begins()
        try:
            return self._fetch(timeout_seconds)
        finally:
            self._membership.poll_ended(bool(self._consumer.assignment()))

    def _fetch(self, timeout_seconds: float) -> list[RawBatch]:
        try:
            if not self._taken:
                drain(self._consumer, self._taken, int(timeout_seconds * 1_000), self._section.max_poll_records)
        except kafka_errors.NoOffsetForPartitionError:
            return []  # nothing has set its position yet
        except kafka_errors.OffsetOutOfRangeError as exc:
            self._offsets.find_lost(exc.args[0], exc, {})
            return []
        except kafka_errors.LogTruncationError as exc:
            positions = {tp: self._positions.at(tp) or 0 for tp in exc.divergent_offsets}
            self._offsets.find_lost(
                positions, exc, {tp: found.offset for tp, found in exc.divergent_offsets.items() if found}
            )
            return []
        except kafka_errors.FencedInstanceIdError as exc:
            raise self._fenced() from exc
        except kafka_errors.InconsistentGroupProtocolError as exc:
            raise SourceError(
                f"source.kafka.group_id: group {self._section.group_id} has members of another program, with which "
                "partitions cannot be shared; give detector a group of its own"
            ) from exc
        except kafka_errors.KafkaError as exc:
            raise translate(exc, f"reading {', '.join(self._section.topics)}", self._kafka) from exc
        recreated = self._recreated()
        if recreated:
            self._offsets.find_lost({tp: self._positions.at(tp) or 0 for tp in recreated}, None, {})
        taken, self._taken = self._taken, {}
        batches = []
        for tp, rows in taken.items():
            if rows and tp not in recreated:
                self._lineages.handed_out((tp.topic, tp.partition), self._positions.epoch(tp))
                self._delivered[tp.topic, tp.partition] = rows[-1][0] + 1
                batches.append(raw_batch(tp, rows))
        return batches

    def changes(self) -> AssignmentChanges:
        """What the group changed, and whether the next poll joins a rebalance."""
        changes = self._rebalances.changes()
        concerned = changes.gone | changes.assigned
        for partition in concerned:
            self._committed.pop(partition, None)
            self._delivered.pop(partition, None)
            self._taken.pop(TopicPartition(*partition), None)
        self._lineages.forget(concerned)
        self._resumed -= concerned
        self._unplaced = self._unplaced - concerned | changes.assigned
        return replace(changes, imminent=self._membership.announced)

    def skipped(self) -> list[SkippedRange]:
        ranges, self._quarantine.ranges = self._quarantine.ranges, []
        for gap in ranges:  # what is committed must not pass it before it is reported
            self._delivered.pop((gap.topic, gap.partition), None)
        return ranges

    def resume(self, partitions: frozenset[Partition]) -> None:
        self._consumer.resume(*self._positions.assigned(partitions))
        self._resumed |= partitions

    def pause(self, partitions: frozenset[Partition]) -> None:
        self._consumer.pause(*self._positions.assigned(partitions))
        self._resumed -= partitions

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        for tp in self._positions.assigned([partition]):
            self._offsets.seek(tp, offset, lineage)
            self._unplaced -= {partition}
            self._sought[partition] = self._delivered[partition] = offset

    def lineage(self, partition: Partition) -> Lineage:
        return self._lineages.behind(partition)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Raises CommitRefused during a rebalance.

        An offset that was committed before is committed again if reading has moved on: this proves the partition ours.
        Transaction markers and aborted records behind it are passed: no lag remains, and they may expire.
        """
        self._compare_sought()  # after the commit, nobody could tell
        passed = {tp: self._passed(tp, offsets[tuple(tp)]) for tp in self._positions.assigned(offsets)}
        due = {
            tp: offset
            for tp, offset in passed.items()
            if offset != self._committed.get(tuple(tp)) or self._positions.at(tp) != offset
        }
        if not due:
            return
        try:
            forms = {
                tp: committed_form(offset, self._lineages.behind(tuple(tp)), records_to=offsets[tuple(tp)])
                for tp, offset in due.items()
            }
            self._consumer.commit(forms, timeout_ms=self._timeout_ms)
        except _REBALANCING as exc:
            raise CommitRefused(f"group {self._section.group_id} is being rebalanced ({type(exc).__name__})") from exc
        except kafka_errors.FencedInstanceIdError as exc:
            raise self._fenced() from exc
        except kafka_errors.KafkaError as exc:
            raise translate(exc, f"committing offsets of group {self._section.group_id}", self._kafka) from exc
        self._committed.update({(tp.topic, tp.partition): offset for tp, offset in due.items()})

    def _passed(self, tp: Any, offset: int) -> int:
        """Where to resume after the records before `offset`: the position, unless more was handed out or skipped."""
        partition, position = tuple(tp), self._positions.at(tp)
        unreported = any((gap.topic, gap.partition) == partition for gap in self._quarantine.ranges)
        if position is None or unreported or self._taken.get(tp) or self._delivered.get(partition) != offset:
            return offset
        if position > offset:
            self._lineages.handed_out(partition, self._positions.epoch(tp))
        return max(position, offset)

    def _compare_sought(self) -> None:
        if self._sought:
            self._offsets.compare({tp: self._sought[tuple(tp)] for tp in self._positions.assigned(self._sought)})
            self._sought.clear()

    def lag(self) -> Mapping[Partition, int]:
        """Partitions not heard of yet are left out."""
        return self._positions.lags()

    def ends(self) -> Mapping[Partition, int]:
        """Partitions not heard of yet are left out."""
        return self._positions.ends()

    def close(self, timeout_seconds: float) -> None:
        """A static member stays in the group until its session expires, so that a restart causes no rebalance."""
        if self._closed:
            return
        self._closed = True
        try:
            self._consumer.close(autocommit=False, timeout_ms=milliseconds(timeout_seconds))
        except kafka_errors.KafkaError as exc:
            log.warning("leaving the group failed", error=f"{type(exc).__name__}: {exc}")

    def _find_what_is_wrong(self) -> None:
        """Look for problems that the library does not report by itself. Raises SourceError."""
        if self._membership.fenced:
            raise self._fenced()
        if not self._progress.due():
            return
        positions = {(tp.topic, tp.partition): self._positions.at(tp) for tp in self._positions.assigned(self._resumed)}
        standing = self._progress.standing(positions)
        cluster = self._consumer._cluster
        age_seconds = monotonic() - cluster._last_successful_refresh_ms / 1_000
        try:
            require_answers(age_seconds, cluster.config["metadata_max_age_ms"] / 1_000, self._where)
        except BrokerUnreachable:
            # The library only asks the brokers it knows, whose addresses may have changed.
            self._consumer._manager.bootstrap_async(self._timeout_ms)
            raise
        self._topics.check()
        if standing:
            asked = [TopicPartition(*partition) for partition in standing]
            ends = self._offsets.bounds(asked, "latest", min(self._timeout_ms, _LOOK_TIMEOUT_MS))
            self._progress.judge({(tp.topic, tp.partition): end for tp, end in ends.items()})

    def _recreated(self) -> list[Any]:
        found = self._lineages.recreated([(tp.topic, tp.partition) for tp in self._consumer.assignment()])
        return [TopicPartition(*partition) for partition in found]

    def _refresh_metadata(self) -> None:
        consumer = self._consumer
        try:
            consumer._net.run(consumer._manager.wait_for, consumer._cluster.request_update(), self._timeout_ms)
        except kafka_errors.KafkaError as exc:
            raise translate(exc, "asking for the metadata of topics", self._kafka) from exc

    def _fenced(self) -> DetectorError:
        return MemberFenced(
            f"another member has taken the place of {self._section.group_instance_id} in group "
            f"{self._section.group_id}: give each process its own source.kafka.group_instance_id. After a coordinator "
            "did not answer, it may be this process's own late request to join; a restart fixes that"
        )
