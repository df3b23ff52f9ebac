"""Metrics of the input: records, assignment, lag, offsets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from detector.protocols import AssignmentChanges, SkippedRange
from detector.records import Partition, RawBatch, Reject
from detector.telemetry.families import PARTITION, BoundedWords, Families, partition_labels

CHANGES = ("assigned", "revoked", "lost")


class SourceMetrics:
    """Per-partition series exist for assigned partitions only."""

    def __init__(self, make: Families) -> None:
        self.records = make.counter("records_consumed", "Records read from the source.")
        self.record_bytes = make.counter("consumed_bytes", "Bytes of the values of the records read.")
        self.rejected = make.counter("records_rejected", "Records that could not be decoded.", "reason")
        self.skipped = make.counter("records_skipped", "Offsets skipped because no client can read them.", "reason")
        self.errors = make.counter("source_errors", "Failed calls to the source.", "reason")
        self.rebalances = make.counter("rebalances", "Rebalances that changed the assignment.")
        self.changes = make.counter("partition_changes", "Partitions assigned, revoked or lost.", "change")
        self.assigned = make.gauge("partitions_assigned", "Partitions that this worker owns.")
        self.lag = make.gauge("lag_records", "Records between the position and the partition's end.", *PARTITION)
        self.committed = make.gauge("committed_offset", "Offset at which reading would resume.", *PARTITION)
        self._reject_words = BoundedWords()
        self._skip_words = BoundedWords()
        self._error_words = BoundedWords()
        for change in CHANGES:
            self.changes.labels(change)

    def observe_records(self, batch: RawBatch) -> None:
        """Count records that were read."""
        self.records.inc(len(batch))
        self.record_bytes.inc(sum(map(len, filter(None, batch.values))))

    def observe_rejects(self, rejects: Iterable[Reject]) -> None:
        """Count records that could not be decoded."""
        for reject in rejects:
            self.rejected.labels(self._reject_words(reject.reason)).inc()

    def observe_skipped(self, ranges: Iterable[SkippedRange]) -> None:
        """Count offsets that the source stepped past."""
        for gap in ranges:
            self.skipped.labels(self._skip_words(gap.reason)).inc(gap.last - gap.first + 1)

    def observe_error(self, reason: str) -> None:
        """Count a failed call; `reason` is the error's."""
        self.errors.labels(self._error_words(reason)).inc()

    def observe_changes(self, changes: AssignmentChanges, assigned: int) -> None:
        """Note changes of the assignment, if any; it now has `assigned` partitions. Drop the series of the others."""
        if not (changes.assigned or changes.gone):
            return
        self.rebalances.inc()
        for change, partitions in zip(CHANGES, (changes.assigned, changes.revoked, changes.lost), strict=True):
            self.changes.labels(change).inc(len(partitions))
        self.assigned.set(assigned)
        self.forget(changes.gone - changes.assigned)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop the series of partitions that this worker no longer owns."""
        for partition in partitions:
            self.lag.remove_by_labels(partition_labels(partition))
            self.committed.remove_by_labels(partition_labels(partition))

    def observe_lag(self, lag: Mapping[Partition, int]) -> None:
        """Set how far behind each partition is."""
        for partition, records in lag.items():
            self.lag.labels(*partition).set(records)

    def observe_commit(self, offsets: Mapping[Partition, int]) -> None:
        """Note that these offsets are durable."""
        for partition, offset in offsets.items():
            self.committed.labels(*partition).set(offset)
