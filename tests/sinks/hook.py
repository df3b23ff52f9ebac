"""A webhook receiver that can fail, hang, die and come back, and records what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Literal, Self

import msgspec

from tests.http_server import Said, Server
from tests.kafka.broker import HOST, free_ports

_ADDED = b',"generatorURL":""}'


class Body(msgspec.Struct):
    """The body of a request, with its alerts as raw bytes."""

    alerts: list[msgspec.Raw]


def alerts_in(bodies: Iterable[bytes]) -> list[bytes]:
    """The records that were posted, byte for byte."""
    posted = [bytes(one) for body in bodies for one in msgspec.json.decode(body, type=Body).alerts]
    return [one.removesuffix(_ADDED) + b"}" for one in posted]


class Change(msgspec.Struct, frozen=True):
    """Stream, alert and status of a record."""

    id: str
    status: str
    fingerprint: str


def change(record: bytes) -> Change:
    return msgspec.json.decode(record, type=Change)


def disordered(due: Iterable[bytes], posted: Iterable[bytes]) -> list[str]:
    """Streams whose changes first arrived in a wrong order.

    Repetitions do not count: a worker that was suspended may repeat earlier changes.
    """
    came, all_due = dict.fromkeys(map(change, posted)), dict.fromkeys(map(change, due))
    first = _by_stream(one for one in came if one in all_due)
    return [
        stream for stream, told in _by_stream(one for one in all_due if one in came).items() if first[stream] != told
    ]


def _by_stream(changes: Iterable[Change]) -> dict[str, list[Change]]:
    streams: dict[str, list[Change]] = {}
    for one in changes:
        streams.setdefault(one.fingerprint, []).append(one)
    return streams


class Hook:
    """`with Hook() as hook:` accepts what is posted to `hook.url`, until `fail`, `hang` or `die`."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        """Records of the topic, in the order in which they came. Every other one that is not acknowledged is taken."""
        self.requests = 0
        self._port = free_ports(1)[0]
        self._state: Literal["well", "failing", "hanging"] = "well"
        self._changed = threading.Condition()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}/hook"

    def fail(self) -> None:
        """Answer requests with 503."""
        self._be("failing")

    def hang(self) -> None:
        """Answer no request until `mend`."""
        self._be("hanging")

    def die(self) -> None:
        """Refuse connections, and close open ones without an answer."""
        server, self._server = self._server, None
        if server is not None:
            server.alive = False
            server.__exit__(None, None, None)
        with self._changed:
            self._changed.notify_all()

    def mend(self) -> None:
        self._be("well")
        if self._server is None:
            self._server = _Server(self, self._port)
            self._server.__enter__()

    def take(self, server: _Server, body: bytes) -> Said | None:
        with self._changed:
            self.requests += 1
            early = self.requests % 2 == 1
            if early:
                self.taken += alerts_in([body])
            if self._state == "failing":
                return Said(503, b"told to fail")
            self._changed.wait_for(lambda: self._state != "hanging" or not server.alive)
            if not server.alive:
                return None
            if not early:
                self.taken += alerts_in([body])
            return Said(200)

    def _be(self, state: Literal["well", "failing", "hanging"]) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()


class _Server(Server):
    def __init__(self, hook: Hook, port: int) -> None:
        super().__init__(port=port)
        self.alive = True
        self._hook = hook

    def respond(self, path: str, body: bytes) -> Said | None:
        return self._hook.take(self, body)
