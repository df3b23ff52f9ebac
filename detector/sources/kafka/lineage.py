"""Which log the positions are of. A topic that was deleted and created again is another log under the same name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

from detector.records import UNKNOWN_LINEAGE, Lineage, Partition

TopicId = Callable[[str], UUID | None]
"""Id of the topic that has the name now; None where nobody knows (brokers before 2.8)."""


class Lineages:
    """What is known of the log of each assigned partition.

    `refresh` asks the brokers for the topics' ids: those that `topic_id` returns may be a minute old.
    """

    def __init__(self, topic_id: TopicId, refresh: Callable[[], None]) -> None:
        self._topic_id = topic_id
        self._refresh = refresh
        self._reading: dict[Partition, str] = {}
        """Id of the topic that the position is of."""
        self._behind: dict[Partition, Lineage] = {}
        """Of the last record that was handed out, or of the position that was sought."""

    def sought(self, partition: Partition, lineage: Lineage) -> None:
        """The position was stored with this lineage."""
        self._behind[partition] = lineage
        if lineage.topic_id:
            self._reading[partition] = lineage.topic_id

    def handed_out(self, partition: Partition, leader_epoch: int) -> None:
        """Records were, of this leader epoch at the most."""
        self._behind[partition] = Lineage(self._reading.get(partition, ""), leader_epoch)

    def behind(self, partition: Partition) -> Lineage:
        """Of the position behind the last record handed out."""
        return self._behind.get(partition, UNKNOWN_LINEAGE)

    def forget(self, partitions: Collection[Partition]) -> None:
        """These are not assigned any more, or anew."""
        for partition in partitions:
            self._reading.pop(partition, None)
            self._behind.pop(partition, None)

    def recreated(self, partitions: Collection[Partition]) -> set[Partition]:
        """Those whose topic is another one by now than the one that the position is of."""
        found = self._differing(partitions)
        if found:  # or is it a younger topic, and what we know of the brokers is older?
            self._refresh()
            found = self._differing(found)
        return found

    def adopt(self, partition: Partition) -> None:
        """The position was moved to the topic that there is now."""
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
        """Of the topic that there is now, as far as known; empty where it is not."""
        topic_id = self._topic_id(partition[0])
        return str(topic_id) if topic_id is not None and topic_id.int else ""
