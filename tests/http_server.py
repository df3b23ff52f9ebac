"""A small HTTP server with its own threads; subclasses decide the answers."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """`with Server() as server:` listens at `server.url`."""

    server: type[HTTPServer] = ThreadingHTTPServer

    def __init__(self, identity: Path | None = None, port: int = 0) -> None:
        """With a file that holds a key and a certificate, it serves TLS."""
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self._server = self.server(("127.0.0.1", port), self._handler())
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def respond(self, path: str, body: bytes) -> Said | None:
        """The answer to a request with this body (empty for a GET); None closes the connection without an answer."""
        raise NotImplementedError

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
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers["Content-Length"] or 0)
                body = self.rfile.read(length)
                if len(body) < length:  # the client has gone
                    return
                server.paths.append(self.path)
                server.authorizations.append(self.headers["Authorization"])
                said = server.respond(self.path, body)
                with suppress(OSError):  # the client may have gone, too
                    self.say(said)

            do_POST = do_GET

            def say(self, said: Said | None) -> None:
                if said is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

            def log_message(self, *_: object) -> None: ...

        return Handler
