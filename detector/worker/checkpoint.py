"""The order of durability. Nothing is committed before it is acknowledged."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from structlog.typing import FilteringBoundLogger

from detector.errors import DeliveryError, SourceError, StateError
from detector.protocols import Clock, Source
from detector.records import Partition
from detector.telemetry import Metrics
from detector.worker.outlets import Outlets
from detector.worker.snapshots import Snapshots

SLICE_SECONDS = 0.01
"""How long a turn of the loop works on a checkpoint at most, not counting waits for a step's own I/O."""
MAX_WRITES_IN_FLIGHT = 16


def checkpoint(
    source: Source,
    outlets: Outlets,
    snapshots: Snapshots | None,
    positions: Mapping[Partition, int],
    timeout_seconds: float,
    *,
    wait: bool = True,
) -> Generator[bool, None, None]:
    """Make everything before `positions` durable. Run it to its end, or give it up with `close`.

    It yields between short steps, and records may be processed meanwhile: what is written is the state as it was at
    `positions`, when it began. Without `wait` it also yields, with False, while writes are on their way.
    Raises DeliveryError, StateError or SourceError; the steps before the one that failed then hold.

    1. Every alert and dead letter handed over so far is acknowledged.
    2. The blocks of streams that changed are written,
    3. and acknowledged. If weights are to be swapped, the group confirms that the partitions are still ours.
    4. A manifest makes them the partition's snapshot; it is acknowledged, and swapped weights come into use.
    5. The snapshot's offset is committed.
    6. Snapshots that are no longer needed are deleted.

    After a crash before 4, the worker returns to the last snapshot and repeats alerts with equal ids and bytes; after a
    later one, it resumes at the new snapshot, whatever offset is committed. A worker that lost a partition overwrites
    nothing, because names are never used twice, and deletes nothing, because its commit is refused. Weights are swapped
    only with `wait`: from the snapshot's offset on, they are part of what a replay depends on.
    """
    outlets.flush(timeout_seconds)
    if snapshots is not None:
        lineages = {partition: source.lineage(partition) for partition in positions}
        snapshots.note_ends(positions, source.ends())
        with snapshots.cut(positions, lineages, swap=wait) as cuts:
            for cut in cuts:
                yield from snapshots.write_blocks(cut)
            yield from _arrive(snapshots, wait)
            snapshots.store.flush(timeout_seconds)
            if proven := snapshots.proven(cuts):
                source.commit(proven)
            for cut in cuts:
                snapshots.write_manifest(cut)
                yield True
            yield from _arrive(snapshots, wait)
            snapshots.store.flush(timeout_seconds)
            for cut in cuts:
                snapshots.settle(cut)
    if positions:
        source.commit(positions)
    if snapshots is not None:
        yield from snapshots.clean(positions)


def _arrive(snapshots: Snapshots, wait: bool) -> Iterator[bool]:
    """Let the loop continue while writes are on their way, so that the next flush has little to wait for."""
    while not wait and snapshots.store.in_flight:
        yield False


class Checkpoints:
    """One checkpoint after the other, each in slices between turns of the loop, so that processing continues."""

    def __init__(
        self,
        source: Source,
        outlets: Outlets,
        snapshots: Snapshots | None,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: Clock,
        *,
        interval_seconds: float,
        timeout_seconds: float,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """`progress` is called after each step of a checkpoint made as a whole, which takes long with many streams."""
        self.source = source
        self.outlets = outlets
        self.snapshots = snapshots
        self.metrics = metrics
        self.log = log
        self.clock = clock
        self.interval_seconds = interval_seconds
        self.timeout_seconds = timeout_seconds
        self.progress = progress
        self._alerted: list[float] = []
        """Times of the samples whose alerts were handed over since the last checkpoint began."""
        self._due_at = clock.monotonic() + interval_seconds
        self._running: _Running | None = None
        metrics.worker.checkpoint_time.set(clock.time())  # its age is shown: before the first, the worker's

    @property
    def under_way(self) -> bool:
        """Whether the next turn continues a checkpoint."""
        return self._running is not None

    def note_alerts(self, times: Iterable[float]) -> None:
        """Alerts of samples at these times were handed over; the next checkpoint will have them acknowledged."""
        self._alerted += times

    def turn(self, positions: Mapping[Partition, int]) -> None:
        """Begin a checkpoint if one is due, and work on it for a slice; one that swaps weights is made as a whole.

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
        """Make a whole checkpoint now, the last one: none follows to make up for a refused commit. Raises as `turn`."""
        self.abandon()
        self._running = self._begin(positions, wait=True, last=True)
        self._advance(self._running, math.inf, whole=True)

    def settle(self, positions: Mapping[Partition, int]) -> None:
        """Make a whole checkpoint now, as partitions may go. If its commit is refused, the next one makes up for it.

        The next owner of a partition resumes here and reads nothing again. A checkpoint that takes longer than a flush
        may is given up: a group throws out a member that does not join in time. Raises as `turn`.
        """
        self.abandon()
        self._running = self._begin(positions, wait=True)
        self._advance(self._running, self.clock.monotonic() + self.timeout_seconds, whole=True)
        if self._running is not None:
            self.abandon()
            self.metrics.worker.checkpoint_failures.inc()
            self.log.warning(
                "no time for a checkpoint before the rebalance, joining it without one", seconds=self.timeout_seconds
            )
        self._due_at = self.clock.monotonic() + self.interval_seconds

    def abandon(self) -> None:
        """Give up the checkpoint under way, if any: the assignment changed, or it failed."""
        if self._running is not None:
            self._running.steps.close()
            self._alerted = self._running.alerted + self._alerted
            self._running = None

    def forget(self, partition: Partition) -> None:
        """Forget a partition that is no longer ours."""
        if self.snapshots is not None:
            self.snapshots.forget(partition)

    def _swaps(self, positions: Mapping[Partition, int]) -> bool:
        if self.snapshots is None:
            return False
        self.snapshots.note_ends(positions, self.source.ends())
        return self.snapshots.swaps(positions)

    def _begin(self, positions: Mapping[Partition, int], *, wait: bool, last: bool = False) -> _Running:
        now = dict(positions)
        steps = checkpoint(self.source, self.outlets, self.snapshots, now, self.timeout_seconds, wait=wait)
        alerted, self._alerted = self._alerted, []
        return _Running(steps, now, alerted, self.clock.monotonic(), last)

    def _advance(self, running: _Running, until: float, *, whole: bool = False) -> None:
        try:
            with self.metrics.stage("checkpoint"):
                ended = (self._all if whole else self._some)(running.steps, until)
        except (SourceError, DeliveryError, StateError) as exc:
            self.abandon()
            self.metrics.worker.checkpoint_failures.inc()
            if isinstance(exc, SourceError):
                self.metrics.source.observe_error(exc.reason)
                if exc.retriable and not running.last:
                    # During a rebalance, commits are refused; the next checkpoint covers these offsets too.
                    self.log.warning("commit failed, the next checkpoint tries again", error=str(exc))
                    return
            raise
        if ended:
            self._running = None
            self._succeeded(running)

    def _all(self, steps: Iterator[bool], until: float) -> bool:
        """True when the last step is done, False if `until` comes first."""
        for _ in steps:
            self.progress()
            if self.clock.monotonic() >= until:
                return False
        return True

    def _some(self, steps: Iterator[bool], until: float) -> bool:
        """True when the last step is done. Takes at least one step, and none that is likely to last beyond `until`."""
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
    """No checkpoint follows to make up for a refused commit."""
