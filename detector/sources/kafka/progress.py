"""Silence is not health: detects partitions that make no progress, and brokers that have long not answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from time import monotonic

from detector.errors import BrokerUnreachable, PartitionStalled
from detector.records import Partition, partition_name

SILENCE_SECONDS = 60.0
"""How much older metadata may be than it ever gets while brokers answer."""
_CHECKS = 10


class Progress:
    """Finds partitions whose position does not move although records wait."""

    def __init__(self, limit_seconds: float, now: Callable[[], float] = monotonic) -> None:
        self._limit_seconds = limit_seconds
        self._now = now
        self._interval_seconds = limit_seconds / _CHECKS
        self._looked_at = now()
        self._positions: dict[Partition, int] = {}
        self._since: dict[Partition, float] = {}
        """When a partition was first seen with records that did not arrive."""

    def due(self) -> bool:
        """Whether it is time for another look."""
        return self._now() - self._looked_at >= self._interval_seconds

    def standing(self, positions: Mapping[Partition, int | None]) -> Collection[Partition]:
        """The partitions that have not moved since the last look. A position of None is not known yet."""
        now = self._now()
        if now - self._looked_at > 3 * self._interval_seconds:  # nobody polled meanwhile
            self._since.clear()
        self._looked_at = now
        known = {partition: at for partition, at in positions.items() if at is not None}
        standing = [partition for partition, at in known.items() if self._positions.get(partition) == at]
        self._positions = known
        self._since = {partition: since for partition, since in self._since.items() if partition in standing}
        return standing

    def judge(self, ends: Mapping[Partition, int]) -> None:
        """Compare with the ends. Raises PartitionStalled from half of the limit on, retriable until the limit."""
        now = self._now()
        for partition, end in ends.items():
            position = self._positions[partition]
            if end <= position:
                self._since.pop(partition, None)
                continue
            seconds = now - self._since.setdefault(partition, now)
            if seconds * 2 < self._limit_seconds:
                continue
            raise PartitionStalled(
                f"{partition_name(partition)}: nothing was read from offset {position} for {seconds:.0f} s, "
                f"although the log ends at {end}; check the broker that leads it. "
                f"After watchdog.partition_seconds ({self._limit_seconds:g}) the worker stops",
                retriable=seconds < self._limit_seconds,
            )


def require_answers(metadata_age_seconds: float, max_age_seconds: float, where: str) -> None:
    """Raises BrokerUnreachable if the cluster metadata is older than it can get while a broker answers."""
    if metadata_age_seconds > max_age_seconds + SILENCE_SECONDS:
        raise BrokerUnreachable(
            f"no broker at {where} has answered for {metadata_age_seconds:.0f} s; check that its brokers are up"
        )
