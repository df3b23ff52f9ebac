"""The order of durability. Nothing is committed that was not acknowledged."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from structlog.typing import FilteringBoundLogger

from detector.errors import DeliveryError, SourceError, StateError
from detector.protocols import Clock, Sink, Source
from detector.records import Partition
from detector.telemetry import Metrics
from detector.worker.snapshots import Snapshots

SLICE_SECONDS = 0.01
"""Longest that a turn of the loop works at a checkpoint, the wait for a step's own I/O aside."""
MAX_WRITES_IN_FLIGHT = 16


def checkpoint(
    source: Source,
    sinks: Mapping[str, Sink],
    snapshots: Snapshots | None,
    positions: Mapping[Partition, int],
    timeout_seconds: float,
    *,
    wait: bool = True,
) -> Generator[bool, None, None]:
    """Make everything before `positions` durable. To be run to its end, or given up with `close`.

    It yields between steps that take a moment, and records may be processed meanwhile: what is written is the state as
    it was at `positions`, when it began. Without `wait` it also yields, False then, while writes are on their way.
    Raises DeliveryError, StateError or SourceError; what came before it then holds.

    1. Every alert and dead letter that was handed over is acknowledged.
    2. The blocks of streams that changed are written,
    3. and acknowledged. Where weights are to be swapped, the group confirms that the partitions are still ours.
    4. A manifest makes them the partition's snapshot; it is acknowledged, and swapped weights are in use.
    5. The offset that the snapshot goes up to is committed.
    6. Snapshots that are not needed any more are deleted.

    A crash before 4 goes back to the last snapshot and repeats alerts with equal ids and bytes; one after 4 goes on at
    the new snapshot, whatever offset is committed. A worker that lost a partition overwrites nothing, because names
    never come twice, and deletes nothing, because its commit is refused. Weights are swapped only where it waits: from
    the snapshot's offset on they are part of what a replay depends on.
    """
    for name, sink in sinks.items():
        try:
            sink.flush(timeout_seconds)
        except DeliveryError as exc:
            exc.sink = name
            raise
    if snapshots is not None:
        lineages = {partition: source.lineage(partition) for partition in positions}
        snapshots.heard(positions, source.ends())
        with snapshots.cut(positions, lineages, swap=wait) as cuts:
            for cut in cuts:
                yield from snapshots.write_blocks(cut)
            yield from _arrive(snapshots, wait)
            snapshots.store.flush(timeout_seconds)
            if proven := snapshots.proven(cuts):
                source.commit(proven)
            for cut in cuts:
                snapshots.write_manifest(cut)
            yield from _arrive(snapshots, wait)
            snapshots.store.flush(timeout_seconds)
            for cut in cuts:
                snapshots.settle(cut)
    if positions:
        source.commit(positions)
    if snapshots is not None:
        yield from snapshots.clean(positions)


def _arrive(snapshots: Snapshots, wait: bool) -> Iterator[bool]:
    """Let the loop go on while writes are on their way: the flush that follows has little to wait for."""
    while not wait and snapshots.store.in_flight:
        yield False


class Checkpoints:
    """One checkpoint after the other, each in slices between the turns of the loop, so that processing goes on."""

    def __init__(
        self,
        source: Source,
        sinks: Mapping[str, Sink],
        snapshots: Snapshots | None,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: Clock,
        *,
        interval_seconds: float,
        timeout_seconds: float,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """`progress` hears of every step of a checkpoint that is made as a whole: with many streams it is long."""
        self.source = source
        self.sinks = sinks
        self.snapshots = snapshots
        self.metrics = metrics
        self.log = log
        self.clock = clock
        self.interval_seconds = interval_seconds
        self.timeout_seconds = timeout_seconds
        self.progress = progress
        self.undelivered: list[float] = []
        """Times of the samples whose alerts were handed over since the last checkpoint began."""
        self._due_at = clock.monotonic() + interval_seconds
        self._running: _Running | None = None

    @property
    def under_way(self) -> bool:
        """Whether the next turn goes on with one."""
        return self._running is not None

    def turn(self, positions: Mapping[Partition, int]) -> None:
        """Begin one when it is due, and go on with it for a slice; one that swaps weights is made as a whole.

        Raises DeliveryError, StateError or SourceError.
        """
        now = self.clock.monotonic()
        if self._running is None and now >= self._due_at:
            self._due_at = now + self.interval_seconds
            whole = self._swaps(positions)
            self._running = self._begin(positions, wait=whole)
            if whole:
                self._advance(self._running, math.inf, whole=True)
        if self._running is not None:
            self._advance(self._running, now + SLICE_SECONDS)

    def finish(self, positions: Mapping[Partition, int]) -> None:
        """A whole one, now, and the last: there is no next one to make up for a refused commit. Raises as `turn`."""
        self.abandon()
        self._running = self._begin(positions, wait=True, last=True)
        self._advance(self._running, math.inf, whole=True)

    def settle(self, positions: Mapping[Partition, int]) -> None:
        """A whole one, now: partitions may be about to go. Where the commit is refused, the next one makes up for it.

        Whoever gets a partition goes on here, and reads nothing again. Where it takes longer than a flush may, it is
        given up: a group throws out who does not join in time. Raises as `turn`.
        """
        self.abandon()
        self._running = self._begin(positions, wait=True)
        self._advance(self._running, self.clock.monotonic() + self.timeout_seconds, whole=True)
        if self._running is not None:
            self.abandon()
            self.metrics.worker.checkpoint_failures.inc()
            self.log.warning(
                "no time for a checkpoint before the rebalance, it is joined without", seconds=self.timeout_seconds
            )
        self._due_at = self.clock.monotonic() + self.interval_seconds

    def abandon(self) -> None:
        """Give up the one that is under way, if any: the assignment changed, or it failed."""
        if self._running is not None:
            self._running.steps.close()
            self.undelivered = self._running.alerted + self.undelivered
            self._running = None

    def forget(self, partition: Partition) -> None:
        """The partition is not ours any more."""
        if self.snapshots is not None:
            self.snapshots.forget(partition)

    def _swaps(self, positions: Mapping[Partition, int]) -> bool:
        if self.snapshots is None:
            return False
        self.snapshots.heard(positions, self.source.ends())
        return self.snapshots.swaps(positions)

    def _begin(self, positions: Mapping[Partition, int], *, wait: bool, last: bool = False) -> _Running:
        now = dict(positions)
        steps = checkpoint(self.source, self.sinks, self.snapshots, now, self.timeout_seconds, wait=wait)
        alerted, self.undelivered = self.undelivered, []
        return _Running(steps, now, alerted, self.clock.monotonic(), last)

    def _advance(self, running: _Running, until: float, *, whole: bool = False) -> None:
        try:
            with self.metrics.stage("checkpoint"):
                ended = (self._all if whole else self._some)(running.steps, until)
        except (SourceError, DeliveryError, StateError) as exc:
            self.abandon()
            self.metrics.worker.checkpoint_failures.inc()
            if isinstance(exc, DeliveryError) and exc.sink is not None:
                self.metrics.worker.sink_failures.labels(exc.sink).inc()
            if isinstance(exc, SourceError):
                self.metrics.source.observe_error(exc.reason)
                if exc.retriable and not running.last:
                    # A rebalance under way refuses commits; the next checkpoint covers these offsets too.
                    self.log.warning("commit failed, the next checkpoint tries again", error=str(exc))
                    return
            raise
        if ended:
            self._running = None
            self._succeeded(running)

    def _all(self, steps: Iterator[bool], until: float) -> bool:
        """True when the last step is done, False where it is `until` before that."""
        for _ in steps:
            self.progress()
            if self.clock.monotonic() >= until:
                return False
        return True

    def _some(self, steps: Iterator[bool], until: float) -> bool:
        """True when the last step is done. At least one is made, and none that is likely to go on beyond `until`."""
        now = self.clock.monotonic()
        for moved in steps:
            before, now = now, self.clock.monotonic()
            if not moved or 2 * now - before >= until or self._writes_in_flight() >= MAX_WRITES_IN_FLIGHT:
                return False
        return True

    def _writes_in_flight(self) -> int:
        return self.snapshots.store.in_flight if self.snapshots else 0

    def _succeeded(self, running: _Running) -> None:
        now = self.clock.time()
        self.metrics.observe_checkpoint(self.clock.monotonic() - running.began_at, now, running.positions)
        self.metrics.observe_delivered(np.array(running.alerted), now)
        if self.snapshots is not None:
            self.metrics.state.observe_written(self.snapshots.blocks_written, self.snapshots.bytes_written)


@dataclass(frozen=True, slots=True)
class _Running:
    """A checkpoint under way."""

    steps: Generator[bool, None, None]
    positions: Mapping[Partition, int]
    alerted: list[float]
    began_at: float
    last: bool
    """There is no next one to make up for a refused commit."""
