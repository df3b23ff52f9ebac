"""Series with streams on two partitions of one worker: producers do not keep them on one partition as expected.

Each stream that begins or is restored is compared with those of the worker's other partitions. Partitions of other
workers cannot be seen from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
        self._streams: dict[SeriesKey, int] = {}
        """Series -> number of its streams, one per partition: a look at every partition would take as many look-ups."""

    def add(self, keys: Iterable[SeriesKey]) -> None:
        """Note streams that were given a row. Groups, which may be on several partitions, are not noted."""
        for key in keys:
            others = self._streams.get(key, 0)
            self._streams[key] = others + 1
            if others:
                self.count += 1
                self.example = key

    def remove(self, keys: Iterable[SeriesKey]) -> None:
        """Note streams that lost their row."""
        for key in keys:
            left = self._streams.pop(key) - 1
            if left:
                self._streams[key] = left

    def where(self, key: SeriesKey) -> list[Partition]:
        """Partitions that hold a stream of the series."""
        return [partition for partition, owned in sorted(self._partitions.items()) if owned.has(key)]
