"""The loop: poll, decode, pipeline, sinks, checkpoint. One thread, one place to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from detector.errors import DetectorError, Interrupted, SourceError
from detector.learning.continual import Learning
from detector.pipeline import Pipeline
from detector.protocols import AlertBoard, Clock, Decoder, SkippedRange, Source
from detector.records import Alert, Partition, RawBatch, Reject, partition_name, partition_names
from detector.telemetry import Telemetry
from detector.worker.checkpoint import Checkpoints
from detector.worker.housekeeping import Housekeeping
from detector.worker.outlets import Outlet, Outlets
from detector.worker.portions import Portions
from detector.worker.restoring import Restores
from detector.worker.snapshots import Snapshots

POLL_SECONDS = 0.5
POLL_BUSY_SECONDS = 0.02
"""While a checkpoint or a restore is under way: its next slice must not wait for records."""
FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 10.0


class Worker:
    """Reads until told to stop, its source is exhausted, or an error is raised that a retry cannot fix."""

    def __init__(
        self,
        *,
        source: Source,
        decoder: Decoder,
        pipeline: Pipeline,
        alerts: Sequence[Outlet[Alert]],
        rejects: Outlet[Reject] | None,
        telemetry: Telemetry,
        clock: Clock,
        checkpoint_interval_seconds: float,
        flush_timeout_seconds: float,
        snapshots: Snapshots | None = None,
        learning: Learning | None = None,
        boards: Mapping[str, AlertBoard] | None = None,
    ) -> None:
        self.source = source
        self.decoder = decoder
        self.pipeline = pipeline
        pipeline.progress = telemetry.progress
        self.outlets = Outlets(alerts, rejects, telemetry.metrics.worker, telemetry.log, telemetry.progress, boards)
        self.telemetry = telemetry
        self.clock = clock
        self.learning = learning
        self.checkpoints = Checkpoints(
            source,
            self.outlets,
            snapshots,
            telemetry.metrics,
            telemetry.log,
            clock,
            interval_seconds=checkpoint_interval_seconds,
            timeout_seconds=flush_timeout_seconds,
            progress=telemetry.progress,
        )
        self._restores = Restores(snapshots, telemetry.metrics.state, telemetry.log, clock)
        self.positions: dict[Partition, int] = {}
        self._assigned: frozenset[Partition] = frozenset()
        self._is_settled = False
        """Whether the assignment is known."""
        self._portions = Portions(clock)
        self._housekeeping = Housekeeping(source, pipeline, telemetry, clock)
        self._rebalance_is_imminent = False
        self._stopping = self._again = False
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._source_failed = False

    def stop(self, *, again: bool = False) -> None:
        """Ask for an orderly end; with `again`, of this worker only: the process continues with a new one.

        Safe to call from a signal handler.
        """
        self._stopping, self._again = True, again

    def on_wait(self, problem: DetectorError | None) -> None:
        """The decoder waits, perhaps because of `problem`; if so, raises Interrupted when the worker is to stop."""
        self.telemetry.progress()
        if problem is not None:
            self.telemetry.metrics.source.observe_error(problem.reason)
            if self._stopping:
                raise Interrupted(str(problem))

    def run(self) -> None:
        """Work, then make everything durable. Raises DetectorError; what was not made durable is read again."""
        try:
            while not self._stopping and not self.source.exhausted:
                with suppress(Interrupted):
                    self.turn()
        finally:
            self._restores.drop(self._assigned)
        self.telemetry.stopping(again=self._again)
        self.telemetry.log.info("stopping")
        self.checkpoints.finish(self.positions)
        self._housekeeping.report(self._assigned)
        offsets = {partition_name(partition): offset for partition, offset in sorted(self.positions.items())}
        self.telemetry.log.info("stopped", samples=self.telemetry.metrics.samples.totals(), offsets=offsets)

    def turn(self) -> None:
        """One turn of the loop. If asked to stop, it leaves the rest of what was read to whoever reads next.

        Checkpoints do not wait for its end: if it takes longer than the group waits for a poll, the work done by then
        is not lost.
        """
        for portion in self._portions.of(self._poll()):
            self._process(portion)
            if self._stopping:
                break
            self._housekeeping.turn(self._assigned)
            if not self._rebalance_is_imminent:
                self.checkpoints.turn(self.positions)
            self.telemetry.progress()
        self._housekeeping.turn(self._assigned)
        if self.learning is not None:
            self.learning.turn(self._reading)
        if self._rebalance_is_imminent:
            self.checkpoints.settle(self.positions)
        else:
            self.checkpoints.turn(self.positions)
        self.telemetry.progress()

    @property
    def _reading(self) -> frozenset[Partition]:
        return self._assigned - self._restores.waiting

    def _poll(self) -> list[RawBatch]:
        busy = self.checkpoints.under_way or self._restores.waiting
        try:
            with self.telemetry.metrics.stage("poll"):
                batches = self.source.poll(POLL_BUSY_SECONDS if busy else POLL_SECONDS)
        except SourceError as exc:
            if not exc.retriable:
                raise
            self._wait_after(exc)
            batches = []
        else:
            self._retry_seconds = FIRST_RETRY_SECONDS
            if batches and self._source_failed:
                self._source_failed = False
                self.telemetry.log.info("records are read again")
        gone = self._follow_assignment()
        self._restore()
        skipped = self.source.skipped()
        if skipped:
            self._report_skipped(skipped)
        # What was read of a partition before it went is now another's, or comes again from where its state ends.
        ours = self._assigned - gone
        return [batch for batch in batches if (batch.topic, batch.partition) in ours]

    def _wait_after(self, exc: SourceError) -> None:
        self._source_failed = True
        self.telemetry.metrics.source.observe_error(exc.reason)
        self.telemetry.log.warning("source failed, trying again", error=str(exc), retry_seconds=self._retry_seconds)
        self._sleep(self._retry_seconds)
        self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)

    def _sleep(self, seconds: float) -> None:
        """Sleep in steps, since a signal does not end a sleep: the worker stops soon when asked to."""
        end = self.clock.monotonic() + seconds
        while not self._stopping and (left := end - self.clock.monotonic()) > 0:
            self.clock.sleep(min(left, POLL_SECONDS))

    def _follow_assignment(self) -> frozenset[Partition]:
        """Drop the state of partitions that went, queue those that came for a restore; returns those that went."""
        changes = self.source.changes()
        gone = changes.gone
        self._rebalance_is_imminent = changes.imminent
        if not (gone or changes.assigned or changes.settled):
            return gone
        self.checkpoints.abandon()
        self._assigned = (self._assigned - gone) | changes.assigned
        self._is_settled = changes.settled
        self._restores.drop(gone)
        self._restores.add(changes.assigned)
        self.outlets.forget(gone)
        for partition in gone:
            if self.learning is not None:
                self.learning.forget(partition)
            self.pipeline.table.drop(partition)
            self.positions.pop(partition, None)
            self.checkpoints.forget(partition)
        self.telemetry.metrics.observe_changes(changes, len(self._assigned))
        self.telemetry.log.info(
            "partitions changed",
            assigned=partition_names(changes.assigned),
            revoked=partition_names(changes.revoked),
            lost=partition_names(changes.lost),
            now=len(self._assigned),
        )
        self._report_readiness()
        return gone

    def _restore(self) -> None:
        """Restore for a slice. Streams resume where their last snapshot ends, whatever offset is committed."""
        if not self._restores.waiting:
            return
        for partition, snapshot in self._restores.turn():
            if snapshot is not None:
                self.source.seek(partition, snapshot.offset, snapshot.lineage)
                self.positions[partition] = snapshot.offset
                self.outlets.take_over(self.pipeline.notifications.open(partition))
            self.source.resume(frozenset({partition}))
            self._housekeeping.freeze_names()
        self._report_readiness()

    def _report_readiness(self) -> None:
        if self._restores.waiting:
            self.telemetry.not_ready(self._restores.status)
        elif self._is_settled:
            self.telemetry.ready()
        else:
            self.telemetry.not_ready("waiting for an assignment")

    def _process(self, portion: list[RawBatch]) -> None:
        """Process records of distinct partitions together."""
        metrics, table = self.telemetry.metrics, self.pipeline.table
        for batch in portion:
            metrics.source.observe_records(batch)
        with metrics.stage("decode"):
            decoded = [self.decoder.decode(batch, table.series((batch.topic, batch.partition))) for batch in portion]
        for samples in decoded:
            metrics.observe_decoded(samples)
        with metrics.stage("pipeline"):
            scored = self.pipeline.process_together(decoded, expire=True)
        with metrics.stage("sink"):
            for samples, found in zip(decoded, scored, strict=True):
                self.outlets.send_alerts(found.alerts)
                self.outlets.send_rejects(samples.rejects)
        self.checkpoints.note_alerts(alert.time for found in scored for alert in found.alerts)
        now = self.clock.time()
        for batch, samples, found in zip(portion, decoded, scored, strict=True):
            metrics.observe_scored(samples, found, now)
            self.positions[batch.topic, batch.partition] = int(batch.offsets[-1]) + 1

    def _report_skipped(self, skipped: list[SkippedRange]) -> None:
        self.telemetry.metrics.source.observe_skipped(skipped)
        for gap in skipped:
            self.telemetry.log.error(
                "offsets skipped",
                partition=partition_name((gap.topic, gap.partition)),
                first=gap.first,
                last=gap.last,
                reason=gap.reason,
            )
        rejects = (Reject(gap.topic, gap.partition, gap.first, gap.reason, _range(gap), None, None) for gap in skipped)
        self.outlets.send_rejects(tuple(rejects))


def _range(gap: SkippedRange) -> str:
    return f"offsets {gap.first} to {gap.last}"
