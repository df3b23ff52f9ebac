"""Where reading begins or resumes: committed offsets, first starts, new partitions, and lost positions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import structlog
from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as KafkaSourceSection
from detector.errors import OffsetLost, PartitionsChanged
from detector.kafka.client import log_bounds, milliseconds, translate
from detector.protocols import SkippedRange
from detector.records import Lineage, partition_name, partition_names
from detector.sources.kafka.lineage import Lineages
from detector.sources.kafka.lost import LostPosition, PositionCutOff, PositionOfAnotherTopic
from detector.sources.kafka.records import Quarantine

log = structlog.get_logger(__name__)

_RECORDS_TO, _TOPIC_ID = "records-to:", "topic-id:"


def committed_form(offset: int, lineage: Lineage, records_to: int | None = None) -> Any:
    """An offset as it is committed: a later reader can tell whether it belongs to the log of that time.

    There are no records from `records_to` up to the offset, only transaction markers and what was aborted.
    """
    words = [f"{_RECORDS_TO}{records_to}"] if records_to not in (None, offset) else []
    words += [f"{_TOPIC_ID}{lineage.topic_id}"] if lineage.topic_id else []
    return OffsetAndMetadata(offset, " ".join(words), lineage.leader_epoch)


def committed_lineage(found: Any) -> Lineage:
    """The lineage committed with an offset; unknown if another program committed it."""
    topic_id = _word(found, _TOPIC_ID)
    return Lineage(topic_id, found.leader_epoch if found.leader_epoch is not None else -1)


def _word(found: Any, name: str) -> str:
    return next((word[len(name) :] for word in (found.metadata or "").split() if word.startswith(name)), "")


class Offsets:
    """Sets positions of a consumer. Raises SourceError."""

    def __init__(
        self,
        consumer: Any,
        kafka: Kafka,
        section: KafkaSourceSection,
        lineages: Lineages,
        quarantine: Quarantine,
    ) -> None:
        """Skipped ranges are recorded in `quarantine`."""
        self._consumer = consumer
        self._kafka = kafka
        self._section = section
        self._lineages = lineages
        self._quarantine = quarantine
        self._timeout_ms = milliseconds(kafka.request_timeout_seconds)
        self._read_as: dict[str, str] = {}
        """Topic -> its id when this process last set a position in it."""

    def seek(self, tp: Any, offset: int, lineage: Lineage) -> None:
        """Also pass the epoch, which the public `seek` cannot: the client then asks the leader where it ended."""
        self._consumer._subscription.seek(tp, OffsetAndMetadata(offset, "", lineage.leader_epoch))
        self._lineages.sought(tuple(tp), lineage)
        self._read_as[tp.topic] = lineage.topic_id or self._topic_id(tp)

    def place(self, partitions: Collection[Any]) -> None:
        """Resume at the committed offsets; begin where there is none.

        The library could do this, but it would lose the epoch and could not tell a new partition from a first start.
        """
        topics = {tp.topic for tp in partitions}
        every = [TopicPartition(topic, number) for topic in sorted(topics) for number in self._numbers(topic)]
        try:
            known = self._committed(every)
        except kafka_errors.KafkaError as exc:
            raise translate(exc, f"asking for the offsets of group {self._section.group_id}", self._kafka) from exc
        for tp in partitions:
            if tp in known:
                self.seek(tp, known[tp].offset, committed_lineage(known[tp]))
        new = [tp for tp in partitions if tp not in known]
        of_known_topics = {tp.topic for tp in known}
        self._begin_new([tp for tp in new if tp.topic in of_known_topics])
        self._begin_first([tp for tp in new if tp.topic not in of_known_topics])

    def compare(self, sought: Mapping[Any, int]) -> None:
        """Compare where restored partitions resume with the group's offsets, and log what differs.

        The state decides. But if the group's offset says that no records lie between the two, it is resumed from:
        the log may begin there by now.
        """
        group = self._section.group_id
        try:
            known = self._committed(sought)
        except kafka_errors.KafkaError as exc:
            log.info("offsets of the group cannot be read", group=group, error=str(exc))  # nothing depends on them
            return
        for tp, offset in sorted(sought.items()):
            partition = partition_name(tp)
            if tp not in known:
                log.warning("the group has no offset", partition=partition, group=group, resume_at=offset)
                continue
            ours, theirs = self._lineages.behind(tuple(tp)), committed_lineage(known[tp])
            if _word(known[tp], _RECORDS_TO) == str(offset) and ours.topic_id == theirs.topic_id:
                self.seek(tp, known[tp].offset, theirs)
            elif ours.topic_id and not theirs.topic_id and known[tp].offset != offset:
                log.warning(
                    "another program has set the group's offset",
                    partition=partition,
                    group=group,
                    offset=known[tp].offset,
                    resume_at=offset,
                )

    def _committed(self, partitions: Collection[Any]) -> dict[Any, Any]:
        found = self._consumer._coordinator.fetch_committed_offsets(list(partitions), timeout_ms=self._timeout_ms)
        return {tp: place for tp, place in found.items() if place.offset >= 0}

    def bounds(self, partitions: Collection[Any], end: str, timeout_ms: int | None = None) -> dict[Any, int]:
        """The earliest or latest offsets of the logs."""
        try:
            return log_bounds(self._consumer, end, partitions, (timeout_ms or self._timeout_ms) / 1_000)
        except kafka_errors.KafkaError as exc:
            raise translate(exc, f"asking for the {end} offsets", self._kafka) from exc

    def find_lost(self, positions: Mapping[Any, int], cause: Exception | None, parted: Mapping[Any, int]) -> None:
        """Move lost positions according to the policy. `parted` says where a log was truncated, if known."""
        first, end = (self.bounds(positions, side) for side in ("earliest", "latest"))
        recreated = self._lineages.recreated([tuple(tp) for tp in positions])
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
            where, reason = partition_name(tp), lost.error().reason
            log.warning("offset lost", reason=reason, partition=where, at=position, moved_to=target)
            skipped = lost.skipped(target)
            if skipped is not None:
                self._quarantine.ranges.append(skipped)
            if tp in self._consumer.assignment():
                self._consumer.seek(tp, target)
                self._lineages.adopt(tuple(tp))

    def _begin_first(self, partitions: Collection[Any]) -> None:
        """Begin in topics for which the group has no offset: it never read them, or they were recreated.

        The first offsets are committed at once, for every partition, ours or not. So an early crash skips nothing, and
        a partition without an offset later on is known to be new. Partitions with restored state resume where it ends.
        """
        topics = sorted({tp.topic for tp in partitions})
        every = [TopicPartition(topic, number) for topic in topics for number in self._numbers(topic)]
        first_read = [tp for tp in every if self._read_as.get(tp.topic, self._topic_id(tp)) == self._topic_id(tp)]
        starts = self._starts(first_read) if first_read else {}
        starts |= self._of_new_logs([tp for tp in every if tp not in first_read], partitions)
        if not starts:
            return
        forms = {}
        for tp, offset in starts.items():
            lineage = Lineage(self._topic_id(tp))
            forms[tp] = committed_form(offset, lineage)
            if tp in partitions:
                self.seek(tp, offset, lineage)
                at = str(self._section.start)
                log.info("first start", partition=partition_name(tp), offset=offset, at=at)
        try:
            self._consumer.commit(forms, timeout_ms=self._timeout_ms)
        except kafka_errors.KafkaError as exc:
            if isinstance(exc, kafka_errors.AuthorizationError):
                raise translate(exc, f"committing offsets of group {self._section.group_id}", self._kafka) from exc
            # A rebalance is under way, or the broker is slow: the next checkpoint commits as well.
            log.info("first start is not committed yet", group=self._section.group_id, error=str(exc))

    def _starts(self, partitions: Collection[Any]) -> dict[Any, int]:
        """Where the configuration says to begin; if it is a time, at the end of a log with no record since then."""
        start = self._section.start
        if not isinstance(start, datetime):
            return self.bounds(partitions, start)
        ends = self.bounds(partitions, "latest")
        asked = dict.fromkeys(partitions, milliseconds(start.timestamp()))
        try:
            found = self._consumer.offsets_for_times(asked, timeout_ms=self._timeout_ms)
        except kafka_errors.KafkaError as exc:
            raise translate(exc, f"asking for the offsets at {start}", self._kafka) from exc
        return {tp: end if found[tp] is None else found[tp].offset for tp, end in ends.items()}

    def _of_new_logs(self, partitions: Collection[Any], ours: Collection[Any]) -> dict[Any, int]:
        """Where to begin in topics that were deleted and recreated after this process had read them.

        Ranges left out of `ours` are recorded.
        """
        if not partitions:
            return {}
        first, end = (self.bounds(partitions, side) for side in ("earliest", "latest"))
        starts = {}
        for tp in partitions:
            lost = PositionOfAnotherTopic(tp.topic, tp.partition, first[tp], first[tp], end[tp])
            starts[tp] = lost.target(self._section.on_offset_lost)
            skipped = lost.skipped(starts[tp])
            if skipped is not None and tp in ours:
                self._quarantine.ranges.append(skipped)
            log.warning("offset lost", reason=lost.error().reason, partition=partition_name(tp), moved_to=starts[tp])
        return starts

    def _topic_id(self, tp: Any) -> str:
        return self._lineages.topic_id(tuple(tp))

    def _begin_new(self, partitions: Collection[Any]) -> None:
        """Begin partitions that are new to the group, in topics that it has read."""
        if not partitions:
            return
        policy, names = self._section.on_new_partition, partition_names(partitions)
        if policy == "stop":
            raise PartitionsChanged(
                f"{', '.join(names)}: group {self._section.group_id} has read other partitions of the topic and has no "
                "offset for this one, so partitions were added to the topic. Producers that partition by key have "
                "moved streams, which warm up again. To continue, set source.kafka.on_new_partition to earliest (skips "
                "nothing) or latest"
            )
        starts = self.bounds(partitions, policy)
        oldest = self.bounds(partitions, "earliest")
        for tp, offset in starts.items():
            self.seek(tp, offset, Lineage(self._topic_id(tp)))
            if offset > oldest[tp]:
                self._quarantine.ranges.append(
                    SkippedRange(tp.topic, tp.partition, oldest[tp], offset - 1, PartitionsChanged.reason)
                )
        moved = "those that moved here warm up again"
        log.warning("partitions are new to the group", partitions=names, begin=policy, streams=moved)

    def _numbers(self, topic: str) -> list[int]:
        return sorted(self._consumer.partitions_for_topic(topic) or ())
