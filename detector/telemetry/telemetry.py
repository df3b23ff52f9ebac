"""What the worker says of itself goes to everybody who listens."""

from __future__ import annotations

from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from detector.telemetry.detection_metrics import StreamCounts
from detector.telemetry.health import Health
from detector.telemetry.metrics import Metrics
from detector.telemetry.notify import Notifier


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Everything through which the worker says how it fares."""

    metrics: Metrics
    health: Health
    notifier: Notifier
    log: FilteringBoundLogger

    def progress(self) -> None:
        """Something was done: the watchdogs may rest."""
        self.health.progress()
        self.notifier.progress()

    def ready(self) -> None:
        """It has what it needs and reads."""
        self.health.set_ready()
        self.notifier.ready()

    def not_ready(self, reason: str) -> None:
        """It does not read, for this reason."""
        self.health.set_not_ready(reason)
        self.notifier.status(reason)

    def observe_streams(self, now: StreamCounts) -> None:
        """What the stream table holds now. While it does not read, why not is what matters."""
        self.metrics.observe_streams(now)
        if self.health.ready:
            self.notifier.status(f"{len(now.partitions)} partitions, {now.tracked} streams, {now.firing} alerts firing")
