"""Metrics of the state store: what is written, and how long a restore took."""

from __future__ import annotations

from detector.telemetry.families import Families


class StateMetrics:
    """Snapshots of stream state."""

    def __init__(self, make: Families) -> None:
        self.blocks = make.counter("state_blocks_written", "Blocks of streams written to the state store.")
        self.bytes = make.counter("state_written_bytes", "Bytes written to the state store.")
        self.damaged = make.counter("state_snapshots_damaged", "Damaged snapshots that were skipped.")
        self.restore_seconds = make.gauge("state_restore_seconds", "Duration of the last restore of a partition.")
        self.restoring = make.gauge(
            "partitions_restoring", "Partitions that are not read yet, because their state is not restored."
        )
        self._blocks = 0
        self._bytes = 0
        self._damaged = 0

    def observe_restored(self, seconds: float, damaged: int) -> None:
        """Note that a partition was restored; `damaged` snapshots were skipped since the start."""
        self.restore_seconds.set(seconds)
        self.damaged.inc(damaged - self._damaged)
        self._damaged = damaged

    def observe_written(self, blocks: int, size_bytes: int) -> None:
        """Count what was written; both numbers are totals since the start."""
        self.blocks.inc(blocks - self._blocks)
        self.bytes.inc(size_bytes - self._bytes)
        self._blocks, self._bytes = blocks, size_bytes
