"""The worker's reports about itself, passed to all channels at once."""

from __future__ import annotations

from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from detector.telemetry.detection_metrics import StreamCounts
from detector.telemetry.health import Health
from detector.telemetry.metrics import Metrics
from detector.telemetry.notify import Notifier


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Every channel through which the worker reports its state."""

    metrics: Metrics
    health: Health
    notifier: Notifier
    log: FilteringBoundLogger

    def progress(self) -> None:
        """Report progress, which satisfies the watchdogs."""
        self.health.progress()
        self.notifier.progress()

    def ready(self) -> None:
        """The worker is ready and reading."""
        self.health.set_ready()
        self.notifier.ready()

    def not_ready(self, reason: str) -> None:
        """The worker is not reading, for this reason."""
        self.health.set_not_ready(reason)
        self.notifier.status(reason)

    def stopping(self, *, again: bool) -> None:
        """The worker is shutting down; with `again`, another one follows in this process."""
        self.not_ready("stopping")
        if not again:
            self.notifier.stopping()

    def observe_streams(self, now: StreamCounts) -> None:
        """Report what the stream table holds. While the worker is not ready, its status keeps saying why."""
        self.metrics.observe_streams(now)
        if self.health.ready:
            self.notifier.status(f"{len(now.partitions)} partitions, {now.tracked} streams, {now.firing} alerts firing")
