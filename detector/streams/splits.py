"""Series that have a stream on two partitions of one worker: producers that were trusted to keep them on one do not.

Every stream is compared, when it begins or is restored, with those of the worker's other partitions. What lies on the
partitions of another worker cannot be seen from here.
"""

from __future__ import annotations

from collections.abc import Mapping

from detector.records import Partition
from detector.series import SeriesKey
from detector.streams.partition import PartitionStreams


class Splits:
    """Counts streams that began while their series had one on another partition."""

    def __init__(self, partitions: Mapping[Partition, PartitionStreams]) -> None:
        self.count = 0
        self.example: SeriesKey | None = None
        """The last of them."""
        self._partitions = partitions

    def look(self, owned: PartitionStreams, key: SeriesKey) -> None:
        """`key` has a stream on the partition `owned` from now on. A group may well have one on each."""
        for other in self._partitions.values():
            if other is not owned and not key.is_group and other.has(key):
                self.count += 1
                self.example = key
                return

    def where(self, key: SeriesKey) -> list[Partition]:
        """Partitions that hold a stream of the series."""
        return [partition for partition, owned in sorted(self._partitions.items()) if owned.has(key)]
