"""An HTTP connection with one deadline for connecting, TLS, the request and its response together.

Socket timeouts apply to a single step and restart with every byte: a server that sends a byte now and then could hold a
thread forever.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from contextlib import suppress
from typing import Any


class Deadline:
    """When the time is up, and which step was last begun."""

    def __init__(self, seconds: float) -> None:
        self.step = "connecting"
        self._at = time.monotonic() + seconds

    def left(self, step: str) -> float:
        """Seconds left for this step. Raises TimeoutError, without an errno, like a socket timeout."""
        self.step = step
        seconds = self._at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds


class TimedConnection(http.client.HTTPConnection):
    """A connection for one request, whose time starts when this is created.

    Looking up the host name counts, but cannot be interrupted; only the system's resolver bounds it.
    """

    def __init__(self, host: str, port: int, seconds: float, context: ssl.SSLContext | None) -> None:
        """Uses TLS if there is a context."""
        super().__init__(host, port)
        self.default_port = 80 if context is None else 443
        self.deadline = Deadline(seconds)
        self._context = context
        self._socket: socket.socket | None = None

    def connect(self) -> None:
        """Raises OSError."""
        self._socket = self._reached()
        self._use(self._socket)
        if self._context is not None:
            self._socket = self._context.wrap_socket(
                self._socket, server_hostname=self.host, do_handshake_on_connect=False
            )
            self._use(self._socket)
            self._socket.settimeout(self.deadline.left("negotiating TLS"))
            self._socket.do_handshake()

    def abort(self) -> None:
        """Make whatever is going on over the connection fail. Callable from any thread."""
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS shutdown would wait for the peer

    def _use(self, connected: socket.socket) -> None:
        """Send and receive through this socket, which `close` then closes."""
        self.sock = _TimedSocket(connected, self.deadline)  # all that http.client needs

    def _reached(self) -> socket.socket:
        """A socket connected to the first address that answers; each address gets its share of the time left."""
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        problem = OSError("no address")
        for place, (family, kind, protocol, _, address) in enumerate(found):
            left = self.deadline.left("connecting")
            try:
                reached = socket.socket(family, kind, protocol)
            except OSError as exc:  # there may be no IPv6 here
                problem = exc
                continue
            try:
                reached.settimeout(left / (len(found) - place))
                reached.connect(address)
                reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return reached
            except OSError as exc:
                reached.close()
                problem = exc
        raise problem


class _TimedSocket:
    """The part of a socket that http.client needs; each step gets the time that is left."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def sendall(self, data: Any) -> None:
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(self._deadline.left("sending the request"))
            rest = rest[self._socket.send(rest) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._socket, self._deadline))

    def close(self) -> None:
        self._socket.close()


class _TimedReader(io.RawIOBase):
    """Reads within the deadline, and keeps the socket open until it is itself closed."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._raw = connected.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._deadline.left("receiving the answer"))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
