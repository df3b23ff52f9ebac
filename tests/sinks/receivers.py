"""A small HTTP server that takes posts, or fails to, as told; and what a sink says of it."""

from __future__ import annotations

import io
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Answer = Callable[[bytes], tuple[int, bytes] | None]
"""A body to the status, and what is said with it; None hangs up without a word."""


def accepted(body: bytes) -> tuple[int, bytes] | None:
    return 200, b""


class Receiver:
    """Answers as `answer` says. `hold` keeps it from answering until it is set."""

    server: type[HTTPServer] = ThreadingHTTPServer

    def __init__(self, identity: Path | None = None, port: int = 0) -> None:
        """With a file that holds key and certificate it speaks TLS."""
        self.answer: Answer = accepted
        self.hold = threading.Event()
        self.hold.set()
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self.headers: dict[str, str] = {}
        """Sent with every answer."""
        self._server = self.server(("127.0.0.1", port), self._handler())
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
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # whoever sent it has gone
                    return
                receiver.paths.append(self.path)
                receiver.authorizations.append(self.headers["Authorization"])
                receiver.bodies.append(body)
                receiver.hold.wait()
                answer = receiver.answer(body)
                if answer is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, said = answer
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None: ...

        return Handler


class Failures:
    """Counts them, whichever thread they are from."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.count += 1


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def identity(folder: Path, name: str, subject: str) -> Path:
    """A file with a key and a certificate of its own for `subject`."""
    path = folder / f"{name}.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -addext subjectAltName={subject}".split()
    subprocess.run(
        ["openssl", *words, "-keyout", str(folder / "key"), "-out", str(path)], check=True, capture_output=True
    )
    path.write_text(path.read_text() + (folder / "key").read_text())
    return path
