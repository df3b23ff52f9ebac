"""Posts alerts to one address over HTTP, in order, each acknowledged with a 2xx response or reported as undelivered."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Protocol

import structlog

from detector.clock import SUSPENSION_SECONDS
from detector.config.webhook import Webhook
from detector.errors import DeliveryError
from detector.protocols import Message
from detector.sinks.webhook_body import body, head
from detector.sinks.webhook_http import WebhookClient
from detector.sinks.webhook_pace import Pace

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 10.0

NO_PROBLEM = "the receiver has not answered yet"
LONGEST_JOIN_SECONDS = 1.0
"""A thread still connecting after this is abandoned; it will not send anything."""

log = structlog.get_logger(__name__)


class Client(Protocol):
    """The receiver of the posts."""

    def post(self, body: bytes) -> None:
        """Raises DeliveryError, `retriable` unless this very body was refused."""
        ...

    def abort(self) -> None:
        """Make the request in progress fail, and every later one."""
        ...


class WebhookSink:
    """A thread posts queued alerts, one request at a time; an alert refused for its content is dropped.

    Once the receiver has not accepted the first alert in the queue for `delivery_timeout_seconds`, the sink accepts no
    more: the sender must start again with a new sink, from the last point at which everything was acknowledged. Raises
    DeliveryError if a file that it needs cannot be used.
    """

    def __init__(
        self,
        section: Webhook,
        failed: Callable[[], object],
        client: Client | None = None,
        *,
        first_retry_seconds: float = FIRST_RETRY_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`failed` is called for each failed request and each refused alert."""
        self._section = section
        self._failed = failed
        self._client = client or WebhookClient(section)
        self._first_retry_seconds = first_retry_seconds
        self._now = now
        self._pace = Pace(
            section.max_alerts_per_request,
            section.max_in_flight,
            section.timeout_seconds,
            section.delivery_timeout_seconds,
        )
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._turn_began_at = 0.0
        """When the alert at the head of the queue got there."""
        self._problem = NO_PROBLEM
        self._failure: str | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    @property
    def in_flight(self) -> int:
        """Alerts sent but not acknowledged."""
        with self._changed:
            return len(self._waiting)

    def send(self, message: Message) -> None:
        """Waits while the queue holds all that the receiver can accept in time, or `max_in_flight`."""
        if message.value is None:
            return
        with self._changed:
            self._wait(lambda: len(self._waiting) < self._pace.room, self._section.given_up_after_seconds)
            if not self._waiting:
                self._turn_began_at = self._now()
            self._waiting.append(message.value)
            self._changed.notify_all()

    def flush(self, timeout_seconds: float) -> None:
        """A timeout leaves the sink usable, and `flush` may be called again; a failed delivery does not."""
        with self._changed:
            self._wait(lambda: not self._waiting, timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Alerts still queued are not sent: by the time they arrived, another worker might have taken over."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            if self._waiting:
                log.warning("closing with alerts that were not accepted", alerts=len(self._waiting))
        self._client.abort()
        self._thread.join(min(LONGEST_JOIN_SECONDS, timeout_seconds / 3))

    def _wait(self, done: Callable[[], bool], timeout_seconds: float) -> None:
        self._changed.wait_for(lambda: done() or self._failure is not None, timeout_seconds)
        if self._failure is not None:
            raise DeliveryError(self._failure, retriable=False)
        if not done():
            raise DeliveryError(f"webhook: {len(self._waiting)} alerts are not accepted in time; {self._problem}")

    def _run(self) -> None:
        retry_seconds = self._first_retry_seconds
        while records := self._next():
            began_at = self._now()
            try:
                self._client.post(body(records, grouped=self._section.max_alerts_per_request == 1))
            except DeliveryError as exc:
                if not exc.retriable:
                    self._leave_out(records, exc)
                elif self._try_again(records, exc, retry_seconds):
                    retry_seconds = min(2 * retry_seconds, LONGEST_RETRY_SECONDS)
                else:
                    return
            else:
                if retry_seconds > self._first_retry_seconds:
                    log.info("the webhook accepts alerts again")
                retry_seconds = self._first_retry_seconds
                self._settle(len(records), self._now() - began_at)

    def _next(self) -> list[bytes]:
        """Wait for alerts to post; empty once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return [] if self._closed else list(islice(self._waiting, self._pace.batch))

    def _settle(self, count: int, seconds: float | None = None) -> None:
        """Remove the first `count` from the queue; `seconds` is how long the request took if they were accepted."""
        with self._changed:
            for _ in range(count):
                self._waiting.popleft()
            if seconds is not None:
                self._pace.accepted(count, seconds)
            self._problem, self._turn_began_at = NO_PROBLEM, self._now()
            self._changed.notify_all()

    def _leave_out(self, records: list[bytes], exc: DeliveryError) -> None:
        """Drop an alert that was refused on its own. After a refused batch, try a smaller one to spare the others."""
        with self._changed:
            self._pace.failed(len(records))
        if len(records) == 1:
            refused = head(records[0])
            self._failed()
            log.error("alert refused", error=str(exc), id=refused.id, status=refused.status, labels=refused.labels)
            self._settle(1)

    def _try_again(self, records: list[bytes], exc: DeliveryError, retry_seconds: float) -> bool:
        """Wait before the next attempt; False if there is none because time is up or the sink is closed."""
        self._failed()
        with self._changed:
            self._problem = str(exc)
            self._pace.failed(len(records))
            until = self._turn_began_at + self._section.delivery_timeout_seconds
            left = until - self._now()
            if left > 0 and not self._closed:
                pause = min(max(retry_seconds, exc.retry_after_seconds), left)
                waiting = len(self._waiting)
                log.warning(
                    "the webhook does not accept alerts, trying again",
                    error=str(exc),
                    waiting=waiting,
                    retry_seconds=round(pause, 1),
                )
                self._changed.wait_for(lambda: self._closed, pause)
                if self._now() <= until + SUSPENSION_SECONDS:
                    return not self._closed
            if not self._closed:
                self._failure = f"webhook: {len(self._waiting)} alerts are not accepted; {exc}"
                log.error("delivery failed", error=self._failure)
                self._changed.notify_all()
            return False
