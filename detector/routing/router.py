"""The router: reads the input topics and writes each sample to its series' partition of an internal topic."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

from detector.errors import DeliveryError, DetectorError, SourceError
from detector.protocols import AssignmentChanges, Clock, Decoder, PausableSource, Sink, SkippedRange, Source
from detector.records import UNKNOWN_LINEAGE, Lineage, Partition, RawBatch, SampleBatch, partition_names
from detector.routing.lanes import Lanes
from detector.routing.merge import Merge
from detector.telemetry import Metrics
from detector.worker.outlets import Outlets

POLL_SECONDS = 0.05
"""Longest time either consumer waits while the other may have records."""
PATIENCE_SECONDS = 5.0
"""A partition that has records but delivers none for this long is no longer waited for."""
LONGEST_TURN_SECONDS = 1.0
"""Most of a turn that counts as a partition's silence: in a longer one, this process was busy or frozen."""
LAST_FLUSH_SECONDS = 5.0
MAX_AHEAD_SECONDS = 3600.0
"""A record time further ahead of the clock than this is wrong."""


class Router:
    """Decodes the input, merges its partitions by record time, and writes every sample to its series' partition.

    Offsets are committed once the samples before them are acknowledged. Samples routed again after a crash are late or
    duplicates for their streams and change nothing there.
    """

    def __init__(
        self,
        source: PausableSource,
        decoder: Decoder,
        sink: Sink,
        lanes: Lanes,
        outlets: Outlets,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: Clock,
        *,
        interval_seconds: float,
        timeout_seconds: float,
        max_pending: int,
    ) -> None:
        """A partition is paused when more than `max_pending` of its samples wait for other partitions."""
        self.source = source
        self.decoder = decoder
        self.sink = sink
        self.lanes = lanes
        self.outlets = outlets
        self.metrics = metrics
        self.log = log
        self.clock = clock
        self.interval_seconds = interval_seconds
        self.timeout_seconds = timeout_seconds
        self.max_pending = max_pending
        self.merge = Merge()
        self._unsent = 0
        """Samples taken from `merge` that the sink has not accepted as a whole; more than 0 after it failed."""
        self._assigned: frozenset[Partition] = frozenset()
        self._paused: frozenset[Partition] = frozenset()
        self._rebalance_is_imminent = False
        """The next poll joins a rebalance; until then, what was routed can be committed."""
        self._silence: dict[Partition, float] = {}
        """Seconds since each partition last delivered anything."""
        self._looked_at = clock.monotonic()
        self._due_at = clock.monotonic() + interval_seconds

    def turn(self) -> None:
        """Poll once and route what can be routed. Raises SourceError, DeliveryError.

        A checkpoint covers the turns before: the ranges that their polls skipped have been reported by now.
        """
        if self._rebalance_is_imminent or self.clock.monotonic() >= self._due_at:
            self.checkpoint(self.timeout_seconds)
        batches = self.source.poll(POLL_SECONDS)
        self._listen()
        self._follow_assignment()
        for batch in batches:
            if (batch.topic, batch.partition) in self._assigned:
                self._take_in(batch)
        merged = self.merge.take(self._behind())
        if merged is not None:
            self._send(merged)
        self._hold_back()

    def checkpoint(self, timeout_seconds: float) -> None:
        """Wait until everything routed is acknowledged, then commit it. Raises SourceError, DeliveryError."""
        if self._unsent:
            raise DeliveryError(f"{self._unsent} samples were not handed to the internal topic, nothing is committed")
        self._due_at = self.clock.monotonic() + self.interval_seconds
        self.sink.flush(timeout_seconds)
        self.outlets.progress()
        self.outlets.flush(timeout_seconds)
        positions = self.merge.positions()
        try:
            if positions:
                self.source.commit(positions)
        except SourceError as exc:
            if not exc.retriable:
                raise
            self.metrics.source.observe_error(exc.reason)
            self.log.warning("commit of the router failed, the next one covers it", error=str(exc))
            return
        self.metrics.source.observe_commit(positions)

    def _send(self, merged: SampleBatch) -> None:
        """Hand over samples that have left `merge`, whose positions lie behind them. Raises DeliveryError."""
        self._unsent = len(merged)
        for message in self.lanes.records(merged):
            self.sink.send(message)
            self.outlets.progress()
        self._unsent = 0
        self.metrics.samples.routed.inc(len(merged))
        self.lanes.trim(self.merge.series)

    def _follow_assignment(self) -> None:
        changes = self.source.changes()
        gone = changes.gone
        self._rebalance_is_imminent = changes.imminent
        if not (gone or changes.assigned):
            return
        self._assigned = (self._assigned - gone) | changes.assigned
        self._paused -= gone | changes.assigned
        for partition in gone:
            self.merge.drop(partition)
            self._silence.pop(partition, None)
        self.metrics.source.forget(gone - changes.assigned)
        self._silence |= dict.fromkeys(changes.assigned, 0.0)
        self.source.resume(changes.assigned)
        assigned = partition_names(changes.assigned)
        self.log.info("partitions to route changed", assigned=assigned, now=len(self._assigned))

    def _take_in(self, batch: RawBatch) -> None:
        self.metrics.source.observe_records(batch)
        samples = self.decoder.decode(batch, self.lanes.series)
        self.metrics.observe_rejects(samples.rejects)
        self.outlets.send_rejects(samples.rejects)
        self.merge.add(samples, int(batch.offsets[-1]) + 1, self.clock.time() + MAX_AHEAD_SECONDS)
        self._silence[batch.topic, batch.partition] = 0.0

    def _listen(self) -> None:
        before, self._looked_at = self._looked_at, self.clock.monotonic()
        seconds = min(self._looked_at - before, LONGEST_TURN_SECONDS)
        self._silence = {partition: silence + seconds for partition, silence in self._silence.items()}

    def _behind(self) -> frozenset[Partition]:
        """Partitions that have unread records and are worth waiting for."""
        lag = self.source.lag()
        return frozenset(
            partition
            for partition in self._assigned
            if lag.get(partition) != 0
            and (self.merge.pending(partition) or self._silence[partition] < PATIENCE_SECONDS)
        )

    def _hold_back(self) -> None:
        """Pause partitions that are far ahead of others, and resume the rest."""
        full = frozenset(p for p in self._assigned if self.merge.pending(p) > self.max_pending)
        if full - self._paused:
            self.source.pause(full - self._paused)
        if self._paused - full:
            self.source.resume(self._paused - full)
        self._paused = full


class RoutingSource:
    """The internal topic as a source that routes at every poll: still one loop in one thread."""

    def __init__(self, router: Router, routed: Source) -> None:
        self.router = router
        self.routed = routed
        self._closed = False

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        """Also raises DeliveryError."""
        self.router.turn()
        return self.routed.poll(min(timeout_seconds, POLL_SECONDS))

    def changes(self) -> AssignmentChanges:
        return self.routed.changes()

    def skipped(self) -> list[SkippedRange]:
        return self.router.source.skipped() + self.routed.skipped()

    def resume(self, partitions: frozenset[Partition]) -> None:
        self.routed.resume(partitions)

    def lineage(self, partition: Partition) -> Lineage:
        return self.routed.lineage(partition)

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        self.routed.seek(partition, offset, lineage)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.routed.commit(offsets)

    def lag(self) -> Mapping[Partition, int]:
        return {**self.router.source.lag(), **self.routed.lag()}

    def ends(self) -> Mapping[Partition, int]:
        return self.routed.ends()

    @property
    def exhausted(self) -> bool:
        return self.routed.exhausted and self.router.source.exhausted

    def close(self, timeout_seconds: float) -> None:
        """Commit what was routed, if possible; what cannot be committed is routed again by the next owner."""
        if not self._closed:
            self._closed = True
            with suppress(DetectorError):
                self.router.checkpoint(min(timeout_seconds, LAST_FLUSH_SECONDS))
        self.router.source.close(timeout_seconds)
        self.routed.close(timeout_seconds)
