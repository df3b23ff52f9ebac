"""Series with streams on two partitions of one worker: producers do not keep them on one partition as expected.

Each stream that begins or is restored is compared with those of the worker's other partitions. Partitions of other
workers cannot be seen from here.
"""

from __future__ import annotations

from collections.abc import Mapping

from detector.records import Partition
from detector.series import SeriesKey
from detector.streams.partition import PartitionStreams


class Splits:
    """Counts streams that began while their series already had one on another partition."""

    def __init__(self, partitions: Mapping[Partition, PartitionStreams]) -> None:
        self.count = 0
        self.example: SeriesKey | None = None
        """Series of the last of these streams."""
        self._partitions = partitions

    def look(self, owned: PartitionStreams, key: SeriesKey) -> None:
        """Check a new stream of `key` on the partition `owned`. Groups may be on several partitions."""
        for other in self._partitions.values():
            if other is not owned and not key.is_group and other.has(key):
                self.count += 1
                self.example = key
                return

    def where(self, key: SeriesKey) -> list[Partition]:
        """Partitions that hold a stream of the series."""
        return [partition for partition, owned in sorted(self._partitions.items()) if owned.has(key)]
