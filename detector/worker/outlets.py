"""Where alerts and dead letters go: sinks, each under the name that metrics and logs use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from detector.errors import DeliveryError
from detector.protocols import AlertBoard, Message, Sink
from detector.records import Alert, Partition, Reject, partition_name, rfc3339
from detector.telemetry.metrics import WorkerMetrics

TOMBSTONE = "tombstone"
NO_FAULTS = (TOMBSTONE, "no_numbers")
"""Reasons of rejects that are not faults: a null value, a record with only texts. Counted, not dead-lettered."""

ALERT_EVENT = "alert"
"""The log's name for an alert."""


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Outlet(Generic[Item]):
    """A sink for alerts or for rejects, under the name that metrics and logs use."""

    name: str
    sink: Sink
    encode: Callable[[Item], Message]


class Outlets:
    """Hands alerts and rejects to their sinks. Raises DeliveryError."""

    def __init__(
        self,
        alerts: Sequence[Outlet[Alert]],
        rejects: Outlet[Reject] | None,
        metrics: WorkerMetrics,
        log: FilteringBoundLogger,
        progress: Callable[[], None] = lambda: None,
        boards: Mapping[str, AlertBoard] | None = None,
    ) -> None:
        """`progress` is called after each message and each flush, as a sink may take long."""
        self.alerts = alerts
        self.rejects = rejects
        self.metrics = metrics
        self.log = log
        self.progress = progress
        self.boards = boards or {}
        self._outlets: tuple[Outlet[Any], ...] = (*alerts, *([rejects] if rejects else []))
        for name in (*self.boards, *(outlet.name for outlet in self._outlets)):
            # A counter that first appears with a failure shows no increase.
            metrics.sink_failures.labels(name)
            metrics.sink_messages.labels(name)

    def send_alerts(self, alerts: tuple[Alert, ...]) -> None:
        if not alerts:
            return
        for name, board in self.boards.items():
            board.update(alerts)
            self.metrics.sink_messages.labels(name).inc(len(alerts))
        for outlet in self.alerts:
            self._send(outlet, alerts)
        for alert in alerts:
            self.log.info(
                ALERT_EVENT,
                status=alert.status.name.lower(),
                series=str(alert.series),
                starts_at=rfc3339(alert.starts_at),
                anomaly_score=round(alert.anomaly_score, 3),
                value=alert.value,
                expected=alert.expected,
                id=alert.id,
            )

    def take_over(self, still_open: Iterable[Alert]) -> None:
        """Take over the open alerts of a newly assigned partition, which were sent before."""
        alerts = tuple(still_open) if self.boards else ()
        for board in self.boards.values():
            board.update(alerts, restored=True)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that are no longer ours; their alerts are another worker's."""
        for board in self.boards.values():
            board.forget(partitions)

    def send_rejects(self, rejects: tuple[Reject, ...]) -> None:
        dead = [reject for reject in rejects if reject.reason not in NO_FAULTS]
        if not dead:
            return
        if self.rejects is not None:
            self._send(self.rejects, dead)
        first = dead[0]
        self.log.warning(
            "records cannot be decoded",
            count=len(dead),
            reason=first.reason,
            detail=first.detail,
            partition=partition_name((first.topic, first.partition)),
            offset=first.offset,
        )

    def flush(self, timeout_seconds: float) -> None:
        """Wait until everything handed over is acknowledged, at most so long for each sink."""
        for outlet in self._outlets:
            with self._counting_failures(outlet.name):
                outlet.sink.flush(timeout_seconds)
            self.progress()

    def _send(self, outlet: Outlet[Item], items: Sequence[Item]) -> None:
        with self._counting_failures(outlet.name):
            for item in items:
                outlet.sink.send(outlet.encode(item))
                self.progress()
        self.metrics.sink_messages.labels(outlet.name).inc(len(items))

    @contextmanager
    def _counting_failures(self, name: str) -> Iterator[None]:
        try:
            yield
        except DeliveryError:
            self.metrics.sink_failures.labels(name).inc()
            raise
