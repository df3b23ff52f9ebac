"""Which log a position belongs to. A topic that is deleted and recreated is another log under the same name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

from detector.records import UNKNOWN_LINEAGE, Lineage, Partition

TopicId = Callable[[str], UUID | None]
"""Topic name -> id of the topic that has it now; None if unknown (brokers before 2.8)."""


class Lineages:
    """What is known about the log of each assigned partition.

    `refresh` fetches the topics' ids from the brokers; those that `topic_id` returns may be a minute old.
    """

    def __init__(self, topic_id: TopicId, refresh: Callable[[], None]) -> None:
        self._topic_id = topic_id
        self._refresh = refresh
        self._reading: dict[Partition, str] = {}
        """Id of the topic that the position belongs to."""
        self._behind: dict[Partition, Lineage] = {}
        """Lineage of the last record handed out, or of the position sought."""

    def sought(self, partition: Partition, lineage: Lineage) -> None:
        """Note the lineage that was stored with the position."""
        self._behind[partition] = lineage
        if lineage.topic_id:
            self._reading[partition] = lineage.topic_id

    def handed_out(self, partition: Partition, leader_epoch: int) -> None:
        """Note that records up to this leader epoch were handed out."""
        self._behind[partition] = Lineage(self._reading.get(partition, ""), leader_epoch)

    def behind(self, partition: Partition) -> Lineage:
        """Lineage of the position after the last record handed out."""
        return self._behind.get(partition, UNKNOWN_LINEAGE)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that are no longer assigned, or newly assigned."""
        for partition in partitions:
            self._reading.pop(partition, None)
            self._behind.pop(partition, None)

    def recreated(self, partitions: Collection[Partition]) -> set[Partition]:
        """The partitions whose topic is no longer the one that their position belongs to."""
        found = self._differing(partitions)
        if found:  # unless the topic is newer than our metadata
            self._refresh()
            found = self._differing(found)
        return found

    def adopt(self, partition: Partition) -> None:
        """Note that the position was moved to the current topic."""
        self._reading[partition] = self.topic_id(partition)

    def _differing(self, partitions: Collection[Partition]) -> set[Partition]:
        found = set()
        for partition in partitions:
            now = self.topic_id(partition)
            before = self._reading.get(partition) or now
            self._reading[partition] = before
            if now and before != now:
                found.add(partition)
        return found

    def topic_id(self, partition: Partition) -> str:
        """Id of the current topic; empty if unknown."""
        topic_id = self._topic_id(partition[0])
        return str(topic_id) if topic_id is not None and topic_id.int else ""
