"""Keeps Alertmanagers informed of open alerts by repeating each one while it is open. Nothing here is durable.

Open alerts are part of a stream's state, so the owner of a partition knows them. Alertmanager resolves an alert that is
no longer repeated. Each Alertmanager has its own thread; neither detection nor a checkpoint ever waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import structlog

from detector.clock import SUSPENSION_SECONDS
from detector.config.alertmanager import Alertmanager
from detector.errors import DeliveryError
from detector.protocols import Clock
from detector.records import Alert, Partition
from detector.sinks.alertmanager_alert import Notice, body, notice
from detector.sinks.alertmanager_http import AlertmanagerClient
from detector.sinks.alertmanager_schedule import Schedule

BATCH = 128
"""Alerts in one request."""
LASTING = 4
"""Intervals for which an alert stays open without being repeated."""
SETTLING = 0.25
"""Share of the interval for which alerts open in restored state are held back: later records may have ended them."""
TICK_SECONDS = 0.5
FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Client(Protocol):
    """One Alertmanager."""

    url: str
    timeout_seconds: float
    """Longest time a request may take."""

    def post(self, alerts: bytes) -> None:
        """Raises DeliveryError, `retriable` unless these very alerts were refused."""
        ...


class Sender:
    """One Alertmanager, and the thread that posts to it."""

    def __init__(
        self, client: Client, resend_seconds: float, most: int, clock: Clock, failed: Callable[[], object]
    ) -> None:
        """`failed` is called for each failed request and for each alert that was refused or did not fit."""
        self.schedule = Schedule(resend_seconds, most)
        self._client = client
        self._clock = clock
        self._failed = failed
        self._changed = threading.Condition()
        self._closing = False
        self._closed_at = float("inf")
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._not_before = float("-inf")
        self._thread = threading.Thread(target=self._run, name="alertmanager", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Alerts whose last change has not been accepted yet."""
        with self._changed:
            return self.schedule.waiting

    def update(self, notices: Sequence[Notice], delay_seconds: float) -> None:
        """Schedule these to be sent after the delay."""
        now = self._clock.monotonic()
        with self._changed:
            left_out = [one for one in notices if not self.schedule.update(one, now, delay_seconds)]
            self._changed.notify()
        for _ in left_out:
            self._failed()
        if left_out:
            log.error(
                "alerts not sent, too many are open or waiting",
                url=self._client.url,
                alerts=len(left_out),
                labels=dict(left_out[0].labels),
                fix="raise sinks.alertmanager.max_alerts, or lower scoring.alerts_per_stream_week",
            )

    def forget(self, partitions: Collection[Partition]) -> None:
        """Stop sending the alerts of these partitions."""
        with self._changed:
            self.schedule.forget(partitions, self._clock.monotonic())

    def ask_to_close(self, within_seconds: float) -> None:
        """Make the thread try waiting alerts once more, if it can start in time, and then end."""
        with self._changed:
            self._closing = True
            self._closed_at = self._clock.monotonic() + within_seconds
            self._changed.notify()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the thread to end. A request that hangs is abandoned."""
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while notices := self._next():
            self._post(notices)
        while self._clock.monotonic() < self._closed_at and (last := self._due(news_only=True)) and self._post(last):
            """Stop at the first failure."""
        if waiting := len(self._due(self.schedule.most, news_only=True)):
            log.warning("stopped with alerts that were not accepted", url=self._client.url, alerts=waiting)

    def _next(self) -> list[Notice]:
        """Wait for notices to send; empty once closing."""
        while not self._closing:
            if self._clock.monotonic() >= self._not_before and (notices := self._due()):
                return notices
            began = self._clock.monotonic()
            with self._changed:
                if not self._closing:
                    self._changed.wait(TICK_SECONDS)
            self._pause_if_frozen(began, TICK_SECONDS)
        return []

    def _pause_if_frozen(self, began: float, meant_seconds: float) -> None:
        """If a step overran because of a freeze, pause: the worker must first learn which partitions it has lost."""
        now = self._clock.monotonic()
        if now > began + meant_seconds + SUSPENSION_SECONDS:
            self._not_before = max(self._not_before, now + SETTLING * self.schedule.resend_seconds)

    def _due(self, most: int = BATCH, *, news_only: bool = False) -> list[Notice]:
        """Without alerts of restored state that are held back: the next owner of their partition repeats them."""
        with self._changed:
            return self.schedule.due(self._clock.monotonic(), most, news_only=news_only)

    def _post(self, notices: list[Notice]) -> bool:
        """True once all are settled. A refused batch is split, so that one bad alert does not block the others."""
        try:
            self._request(notices)
        except DeliveryError as exc:
            if exc.retriable:
                self._back_off(exc)
                return False
            if len(notices) > 1:
                half = len(notices) // 2
                return self._post(notices[:half]) and self._post(notices[half:])
            self._failed()
            log.error("alert refused", url=self._client.url, error=str(exc), labels=dict(notices[0].labels))
        else:
            if self._retry_seconds > FIRST_RETRY_SECONDS:
                log.info("alerts are accepted again", url=self._client.url)
            self._retry_seconds = FIRST_RETRY_SECONDS
        with self._changed:
            self.schedule.settle(notices, self._clock.monotonic())
        return True

    def _request(self, notices: list[Notice]) -> None:
        began = self._clock.monotonic()
        try:
            self._client.post(body(notices, self._clock.time(), LASTING * self.schedule.resend_seconds))
        finally:
            self._pause_if_frozen(began, self._client.timeout_seconds)

    def _back_off(self, exc: DeliveryError) -> None:
        self._failed()
        log.warning(
            "alerts are not accepted, trying again",
            error=str(exc),
            waiting=self.waiting,
            retry_seconds=self._retry_seconds,
        )
        self._not_before = max(self._not_before, self._clock.monotonic() + self._retry_seconds)
        self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)


class AlertmanagerBoard:
    """Every configured Alertmanager, each served independently: an outage of one does not affect the others."""

    def __init__(
        self,
        section: Alertmanager,
        record: Callable[[Alert], Mapping[str, Any]],
        clock: Clock,
        failed: Callable[[], object],
    ) -> None:
        """`record` turns an alert into what subscribers read; for `failed` see `Sender`."""
        self._record = record
        self._settling_seconds = SETTLING * section.resend_seconds
        self._senders = [
            Sender(AlertmanagerClient(url, section), section.resend_seconds, section.max_alerts, clock, failed)
            for url in section.urls
        ]

    def waiting(self) -> int:
        """An alert that several Alertmanagers have not accepted counts once for each."""
        return sum(sender.waiting for sender in self._senders)

    def update(self, alerts: Sequence[Alert], *, restored: bool = False) -> None:
        notices = [notice(alert, self._record(alert)) for alert in alerts]
        for sender in self._senders:
            sender.update(notices, self._settling_seconds if restored else 0.0)

    def forget(self, partitions: Collection[Partition]) -> None:
        for sender in self._senders:
            sender.forget(partitions)

    def close(self, timeout_seconds: float) -> None:
        """Try once more, within a third of the time, to send what was not accepted.

        Open alerts stay open until the partition's next owner repeats them, or they expire because nobody does.
        """
        until = time.monotonic() + timeout_seconds / 3
        for sender in self._senders:
            sender.ask_to_close(until - time.monotonic())
        for sender in self._senders:
            sender.join(max(0.0, until - time.monotonic()))
