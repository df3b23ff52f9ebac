"""The HTTP server: /metrics, /-/healthy, /-/ready.

It runs in threads beside the worker and costs it only a scrape's share of the interpreter. When there are too many
connections, the oldest is cut, so neither idle nor slow clients can keep a scraper out.
"""

from __future__ import annotations

import gzip
import socket
import socketserver
import ssl
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from threading import BoundedSemaphore, Lock, Thread
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from detector.config.telemetry import Telemetry as Settings
from detector.errors import ConfigError
from detector.telemetry.health import Health
from detector.telemetry.web import WebAccess

MAX_CONNECTIONS = 16
CLIENT_TIMEOUT_SECONDS = 5.0
TEXT = "text/plain; charset=utf-8"

OPEN_PATHS = ("/-/healthy", "/-/ready")
"""Answered without a password."""

Answer = tuple[HTTPStatus, dict[str, str], bytes]


class TelemetryServer:
    """Listens from `start` to `close`, both idempotent. Without `web_config_file` it answers anyone who can connect."""

    def __init__(self, settings: Settings, registry: CollectorRegistry, health: Health) -> None:
        self._listen = settings.listen
        self._web_config_file = settings.web_config_file
        self._routes = {
            "/metrics": lambda headers: _metrics(registry, headers),
            "/-/healthy": lambda _: _verdict("healthy", health.stalled),
            "/-/ready": lambda _: _verdict("ready", health.waiting_for),
        }
        self._server: _Server | None = None
        self._thread: Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it actually listens on. Only while started."""
        if self._server is None:
            raise RuntimeError("the telemetry server is not started")
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Start answering. Raises ConfigError if the address or a file cannot be used."""
        if self._server is not None:
            return
        access = WebAccess(self._web_config_file) if self._web_config_file else None
        host, _, port = self._listen.rpartition(":")
        try:
            self._server = _Server(host.strip("[]"), int(port), self._routes, access)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise ConfigError(
                "telemetry.listen", [f"cannot listen at {self._listen}: {reason}; choose another, or port 0"]
            ) from exc
        self._thread = Thread(target=self._server.serve_forever, args=(0.2,), name="telemetry", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and cut open connections; takes about a second at most."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is None or thread is None:
            return
        server.shutdown()
        thread.join(1.0)
        server.server_close()
        server.cut_all()


class _Server(socketserver.TCPServer):
    """One thread per connection, at most `MAX_CONNECTIONS`."""

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self, host: str, port: int, routes: dict[str, Callable[[Any], Answer]], access: WebAccess | None
    ) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        self.routes = routes
        self.access = access
        self._open: dict[socket.socket, None] = {}
        self._lock = Lock()
        self._slots = BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(found[0][4], _Handler)  # type: ignore[arg-type]

    def get_request(self) -> tuple[Any, Any]:
        """Accept the next client. Its TLS handshake takes place in its own thread."""
        request, address = super().get_request()
        context = self.access.context() if self.access else None
        if context is None:
            return request, address
        return context.wrap_socket(request, server_side=True, do_handshake_on_connect=False), address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand over to a thread. If all are taken, cut the oldest connection, which ends its thread at once."""
        while not self._slots.acquire(blocking=False):
            self._cut_oldest()
            if self._slots.acquire(timeout=0.05):
                break
        with self._lock:
            self._open[request] = None
        try:
            Thread(target=self._serve, args=(request, client_address), name="telemetry-client", daemon=True).start()
        except RuntimeError:  # no thread available: this client gets no answer, the next one may
            self._done(request)

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            if isinstance(request, ssl.SSLSocket):
                request.settimeout(CLIENT_TIMEOUT_SECONDS)
                request.do_handshake()
            self.finish_request(request, client_address)
        except OSError:
            pass  # the client went away, was too slow, or was cut
        finally:
            self._done(request)

    def _done(self, request: socket.socket) -> None:
        with self._lock:
            self._open.pop(request, None)
        self.shutdown_request(request)
        self._slots.release()

    def _cut_oldest(self) -> None:
        with self._lock:
            oldest = next(iter(self._open), None)
            if oldest is not None:
                _cut(oldest)
                # Move it to the end, so that the next call cuts another one.
                self._open[oldest] = self._open.pop(oldest)

    def cut_all(self) -> None:
        with self._lock:
            for request in self._open:
                _cut(request)


def _cut(request: socket.socket) -> None:
    try:
        # SSLSocket.shutdown would drop the TLS state with which the connection's thread is still reading.
        socket.socket.shutdown(request, socket.SHUT_RDWR)
    except OSError:
        return  # already closed


class _Handler(BaseHTTPRequestHandler):
    """One request per connection (HTTP/1.0), so that no client holds a thread between scrapes."""

    server: _Server
    timeout = CLIENT_TIMEOUT_SECONDS
    server_version = "detector"
    sys_version = ""
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = TEXT

    def do_GET(self) -> None:
        path, access = self.path.partition("?")[0], self.server.access
        if access and path not in OPEN_PATHS and not access.admits(self.headers["Authorization"]):
            self._answer(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Basic"}, b"")
            return
        route = self.server.routes.get(path)
        if route is None:
            page = f"404 Not Found; there are {', '.join(self.server.routes)}\n"
            self._answer(HTTPStatus.NOT_FOUND, {"Content-Type": TEXT}, page.encode())
            return
        self._answer(*route(self.headers))

    def _answer(self, status: HTTPStatus, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def end_headers(self) -> None:
        for name, value in (self.server.access.headers() if self.server.access else {}).items():
            self.send_header(name, value)
        super().end_headers()

    def _refuse(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"}, b"")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not worth a log line."""


def _metrics(registry: CollectorRegistry, headers: Any) -> Answer:
    try:
        encode, content_type = choose_encoder(headers.get("Accept", ""))
    except (TypeError, ValueError):  # an invalid version in Accept, which the library fails to compare
        encode, content_type = choose_encoder("")
    body = encode(registry)
    answer = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if "gzip" in headers.get("Accept-Encoding", ""):
        answer["Content-Encoding"] = "gzip"
        body = gzip.compress(body, compresslevel=3)
    return HTTPStatus.OK, answer, body


def _verdict(word: str, fault: str | None) -> Answer:
    status = HTTPStatus.OK if fault is None else HTTPStatus.SERVICE_UNAVAILABLE
    text = word if fault is None else f"not {word}: {fault}"
    return status, {"Content-Type": TEXT, "Cache-Control": "no-store"}, f"{text}\n".encode()
