"""A small server that speaks Alertmanager's API, or fails to, as told; and alerts to show it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from detector.alerts import AlertRecord
from detector.records import Alert, AlertStatus
from detector.series import SeriesKey
from detector.sinks.alertmanager_alert import Notice, notice
from tests.telemetry.populate import alert

Answer = Callable[[list[dict[str, Any]]], tuple[int, bytes]]
RECORD = AlertRecord({}, "test").value


def accepted(alerts: list[dict[str, Any]]) -> tuple[int, bytes]:
    return 200, b""


def firing(host: str = "a", partition: int = 0, starts_at: float = 1_000.0, **changes: Any) -> Alert:
    series = SeriesKey.of("cpu", {"host": host})
    return replace(alert(AlertStatus.FIRING), series=series, partition=partition, starts_at=starts_at, **changes)


def resolved(host: str = "a", partition: int = 0, starts_at: float = 1_000.0, ends_at: float = 1_060.0) -> Alert:
    return replace(firing(host, partition, starts_at), status=AlertStatus.RESOLVED, ends_at=ends_at)


def noticed(one: Alert) -> Notice:
    return notice(one, RECORD(one))


class FakeAlertmanager:
    """Answers as `answer` says of the alerts in a request. `hold` keeps it from answering until it is set."""

    def __init__(self, identity: Path | None = None, port: int = 0) -> None:
        """With a file that holds key and certificate it speaks TLS."""
        self.answer: Answer = accepted
        self.hold = threading.Event()
        self.hold.set()
        self.posts: list[list[dict[str, Any]]] = []
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self.location: str | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def hosts(self) -> list[list[str]]:
        """Whose alerts each request was about."""
        return [[one["labels"]["host"] for one in post] for post in self.posts]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                alerts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.paths.append(self.path)
                fake.authorizations.append(self.headers["Authorization"])
                fake.posts.append(alerts)
                fake.hold.wait()
                status, said = fake.answer(alerts)
                self.send_response(status)
                if fake.location is not None:
                    self.send_header("Location", fake.location)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None: ...

        return Handler
