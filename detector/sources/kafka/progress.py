"""Silence is not health: partitions that are not read on, and brokers that have not answered for long."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from time import monotonic

from detector.errors import BrokerUnreachable, PartitionStalled
from detector.records import Partition

SILENCE_SECONDS = 60.0
"""Metadata may be this much older than it ever is while brokers answer."""
_CHECKS = 10


class Progress:
    """Finds partitions whose position stands still although records wait behind it."""

    def __init__(self, limit_seconds: float, now: Callable[[], float] = monotonic) -> None:
        self._limit_seconds = limit_seconds
        self._now = now
        self._interval_seconds = limit_seconds / _CHECKS
        self._looked_at = now()
        self._positions: dict[Partition, int] = {}
        self._since: dict[Partition, float] = {}
        """When a partition was first seen to have records that did not come."""

    def due(self) -> bool:
        """Whether it is time for another look."""
        return self._now() - self._looked_at >= self._interval_seconds

    def standing(self, positions: Mapping[Partition, int | None]) -> Collection[Partition]:
        """Those that did not move since the last look, of the partitions that are to be read; None: not known yet."""
        now = self._now()
        if now - self._looked_at > 3 * self._interval_seconds:  # nobody has polled meanwhile
            self._since.clear()
        self._looked_at = now
        known = {partition: at for partition, at in positions.items() if at is not None}
        standing = [partition for partition, at in known.items() if self._positions.get(partition) == at]
        self._positions = known
        self._since = {partition: since for partition, since in self._since.items() if partition in standing}
        return standing

    def judge(self, ends: Mapping[Partition, int]) -> None:
        """The ends of the partitions that stand. Raises PartitionStalled, retriable for the first half of the time."""
        now = self._now()
        for partition, end in ends.items():
            position = self._positions[partition]
            if end <= position:
                self._since.pop(partition, None)
                continue
            seconds = now - self._since.setdefault(partition, now)
            if seconds * 2 < self._limit_seconds:
                continue
            error = PartitionStalled(
                f"{partition[0]}/{partition[1]}: nothing is read from offset {position} on, for {seconds:.0f} s now, "
                f"although the log goes on to {end}; look at the broker that leads it. "
                f"After watchdog.partition_seconds ({self._limit_seconds:g}) the worker stops"
            )
            error.retriable = seconds < self._limit_seconds
            raise error


def require_answers(metadata_age_seconds: float, max_age_seconds: float, where: str) -> None:
    """Raises BrokerUnreachable where what is known of the cluster is older than it can be while a broker answers."""
    if metadata_age_seconds > max_age_seconds + SILENCE_SECONDS:
        raise BrokerUnreachable(
            f"no broker at {where} has answered for {metadata_age_seconds:.0f} s; check that its brokers are up"
        )
