"""Restores the state of assigned partitions one after the other, in slices between turns of the loop."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from structlog.typing import FilteringBoundLogger

from detector.protocols import Clock
from detector.records import Partition, partition_name
from detector.state.manifest import Manifest
from detector.state.steps import Steps
from detector.telemetry.state_metrics import StateMetrics
from detector.worker.snapshots import Snapshots

SLICE_SECONDS = 0.25
"""How long a turn of the loop works on it; a step that has begun is completed."""


class Restores:
    """Assigned partitions whose state is not restored yet. Nothing may be read from them.

    However much there is to restore, the loop keeps turning: a group throws out a member that does not poll, which
    would then restore the same again, for ever.
    """

    def __init__(
        self, snapshots: Snapshots | None, metrics: StateMetrics, log: FilteringBoundLogger, clock: Clock
    ) -> None:
        """Without `snapshots` there is nothing to wait for."""
        self._snapshots = snapshots
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._waiting: list[Partition] = []
        self._restored = 0
        """How many of those added since none was waiting."""
        self._steps: Steps[Manifest | None] | None = None
        """Steps of the first partition that waits."""

    @property
    def waiting(self) -> frozenset[Partition]:
        """Partitions not restored yet."""
        return frozenset(self._waiting)

    @property
    def status(self) -> str:
        """Progress, in words."""
        return f"restoring: {self._restored} of {self._restored + len(self._waiting)} partitions done"

    def add(self, partitions: Collection[Partition]) -> None:
        """Add partitions that were assigned."""
        if not self._waiting:
            self._restored = 0
        self._waiting += sorted(partitions)
        self._metrics.restoring.set(len(self._waiting))

    def drop(self, partitions: Collection[Partition]) -> None:
        """Drop partitions that are no longer ours, or no longer wanted."""
        if self._waiting and self._waiting[0] in partitions and self._steps is not None:
            self._steps.close()
            self._steps = None
        self._waiting = [partition for partition in self._waiting if partition not in partitions]
        self._metrics.restoring.set(len(self._waiting))

    def turn(self) -> Iterator[tuple[Partition, Manifest | None]]:
        """Work for a slice; yields each partition restored by then, and its manifest, if any. Raises StateError."""
        until = self._clock.monotonic() + SLICE_SECONDS
        while self._waiting:
            partition = self._waiting[0]
            self._steps = self._steps or self._restore(partition)
            try:
                next(self._steps)
            except StopIteration as end:
                self._steps = None
                self._waiting.pop(0)
                self._restored += 1
                self._metrics.restoring.set(len(self._waiting))
                yield partition, end.value
            if self._clock.monotonic() >= until:
                return

    def _restore(self, partition: Partition) -> Steps[Manifest | None]:
        if self._snapshots is None:
            return None
        began = self._clock.monotonic()
        manifest = yield from self._snapshots.restore(partition)
        seconds = self._clock.monotonic() - began
        self._metrics.observe_restored(seconds, self._snapshots.damaged)
        where = partition_name(partition)
        if manifest is None:
            self._log.warning("no stored state, all streams warm up", partition=where)
        else:
            self._log.info(
                "state restored",
                partition=where,
                offset=manifest.offset,
                streams=self._snapshots.table.streams_of(partition),
                seconds=round(seconds, 3),
            )
        return manifest
