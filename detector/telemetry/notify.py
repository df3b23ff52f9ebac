"""systemd's notify protocol: datagrams to the socket named in the environment, if there is one."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

Monotonic = Callable[[], float]


class Notifier:
    """Reports the worker's status to the service manager. Never raises: a deaf manager must not stop the worker."""

    def __init__(self, environment: Mapping[str, str], monotonic: Monotonic) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # In the variable, a leading @ marks an abstract socket.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._monotonic = monotonic
        self.watchdog_seconds = _watchdog_seconds(environment)
        self._pinged_at = float("-inf")

    def ready(self) -> None:
        """The worker is ready and reading."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The worker is shutting down."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split()))

    def progress(self) -> None:
        """The processing loop came round: ping the watchdog, at most four times per interval."""
        now = self._monotonic()
        if self.watchdog_seconds and now - self._pinged_at >= self.watchdog_seconds / 4:
            self._pinged_at = now
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
                datagram.setblocking(False)
                datagram.sendto(message.encode(), self._address)
        except OSError:
            return


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """Interval within which the manager expects a ping; 0 if it expects none from this process."""
    text = environment.get("WATCHDOG_USEC", "")
    meant_for = environment.get("WATCHDOG_PID", "")
    if not text.isdigit() or (meant_for and meant_for != str(os.getpid())):
        return 0.0
    return int(text) / 1e6
