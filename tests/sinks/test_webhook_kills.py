"""G2 for the webhook: random kills of receiver and worker, and every fault between them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import HTTPServer

import pytest

from detector.alerts import AlertRecord
from detector.config.webhook import Webhook
from detector.errors import DeliveryError
from detector.protocols import Message
from detector.sinks.webhook import WebhookSink
from tests.kafka.broker import free_ports
from tests.sinks.alertmanagers import firing, resolved
from tests.sinks.receivers import Receiver

ALERTS, STREAMS = 300, 7
ENCODE = AlertRecord({}, "test")


def shuffled(rng: random.Random, parts: dict[str, int]) -> Iterator[str]:
    """Endlessly, in random order, each equally often."""
    while True:
        block = [name for name, count in parts.items() for _ in range(count)]
        rng.shuffle(block)
        yield from block


class InOrder(Receiver):
    """Handles requests one after the other, in the order of arrival."""

    server = HTTPServer


class Unreliable:
    """A receiver that is killed and restarted, and the numbers of the alerts that it accepted."""

    def __init__(self, rng: random.Random) -> None:
        self.taken: list[int] = []
        self.records: dict[int, set[bytes]] = {}
        self.faults = dict.fromkeys(("refused", "cut", "unheard", "slow"), 0)
        self._next = shuffled(rng, {"take": 12, **dict.fromkeys(self.faults, 1)})
        self._port = free_ports(1)[0]
        self._running: InOrder | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    @property
    def up(self) -> bool:
        return self._running is not None

    def start(self) -> None:
        self._running = InOrder(port=self._port)
        self._running.answer = self._answer
        self._running.__enter__()

    def kill(self) -> None:
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None

    def _answer(self, body: bytes) -> tuple[int, bytes] | None:
        what = next(self._next)
        if what == "take":
            self._take(body)
            return 200, b""
        self.faults[what] += 1
        if what == "refused":
            return 503, b"later"
        if what == "cut":
            return None
        self._take(body)
        if what == "slow":
            time.sleep(0.3)
            return 200, b""
        return None

    def _take(self, body: bytes) -> None:
        for one in json.loads(body)["alerts"]:
            number = int(one["id"], 16)
            self.taken.append(number)
            self.records.setdefault(number, set()).add(json.dumps(one).encode())


def alert(number: int) -> Message:
    make = firing if (number // STREAMS) % 2 == 0 else resolved
    return ENCODE(replace(make(f"host-{number % STREAMS}"), id=f"{number:032x}"))


class Work:
    """The worker's part: sends alerts, commits what was flushed, and starts there again after a crash."""

    def __init__(self, url: str) -> None:
        settings = {"enabled": True, "url": url, "timeout_seconds": 0.2, "delivery_timeout_seconds": 0.5}
        self._section = Webhook.model_validate({**settings, "max_alerts_per_request": 10, "max_in_flight": 40})
        self.committed = self._position = self.crashes = 0
        self._sink = self._begin()

    def _begin(self) -> WebhookSink:
        self._position = self.committed
        return WebhookSink(self._section, lambda: None, first_retry_seconds=0.02)

    def crash(self) -> None:
        self.crashes += 1
        self._sink.close(1.0)
        self._sink = self._begin()

    def hand_over(self, count: int) -> None:
        try:
            for _ in range(min(count, ALERTS - self._position)):
                self._sink.send(alert(self._position))
                self._position += 1
        except DeliveryError:
            self.crash()

    def commit(self) -> None:
        try:
            self._sink.flush(5.0)
            self.committed = self._position
        except DeliveryError:
            self.crash()

    def end(self) -> None:
        self._sink.close(1.0)


@pytest.mark.parametrize("seed", range(4))
def test_g2_webhook_gets_every_alert_in_order_with_the_same_bytes(seed: int) -> None:
    rng = random.Random(seed)
    receiver = Unreliable(random.Random(seed))
    receiver.start()
    acts = shuffled(rng, {"hand over": 6, "commit": 3, "crash": 1, "kill or start the receiver": 2})
    work = Work(receiver.url)
    try:
        while work.committed < ALERTS:
            act = next(acts)
            if act == "hand over":
                work.hand_over(rng.randrange(1, 25))
            elif act == "commit":
                work.commit()
                assert set(receiver.taken) >= set(range(work.committed)), "what is committed was received"
            elif act == "crash":
                work.crash()
            elif receiver.up:
                receiver.kill()
            else:
                receiver.start()
    finally:
        work.end()
        receiver.kill()
    firsts = list(dict.fromkeys(receiver.taken))
    lasts = list(dict.fromkeys(reversed(receiver.taken)))[::-1]
    assert firsts == lasts == list(range(ALERTS)), "in order, and what comes again is followed by what came after it"
    assert len(receiver.taken) > ALERTS, "some of it came again"
    assert work.crashes > 0
    assert all(receiver.faults.values()), receiver.faults
    assert all(len(records) == 1 for records in receiver.records.values())
