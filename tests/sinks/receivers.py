"""A small HTTP server that accepts posts or fails as set, and the sink's counters and log."""

from __future__ import annotations

import io
import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.http_server import Said, Server

Answer = Callable[[bytes], tuple[int, bytes] | None]
"""A body to the status, and what is said with it; None hangs up without a word."""


def accepted(body: bytes) -> tuple[int, bytes] | None:
    return 200, b""


class Receiver(Server):
    """Answers with `answer`; no answer before `hold` is set."""

    def __init__(self, identity: Path | None = None, port: int = 0) -> None:
        super().__init__(identity, port)
        self.answer: Answer = accepted
        self.hold = threading.Event()
        self.hold.set()
        self.bodies: list[bytes] = []
        self.headers: dict[str, str] = {}
        """Sent with every answer."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hold.set()
        super().__exit__(kind, error, trace)

    def respond(self, path: str, body: bytes) -> Said | None:
        self.bodies.append(body)
        self.hold.wait()
        answer = self.answer(body)
        return answer and Said(*answer, self.headers)


class Failures:
    """Counts failures from any thread."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.count += 1


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    """The log lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def identity(folder: Path, name: str, subject: str) -> Path:
    """A file with a self-signed key and certificate for `subject`."""
    path = folder / f"{name}.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -addext subjectAltName={subject}".split()
    subprocess.run(
        ["openssl", *words, "-keyout", str(folder / "key"), "-out", str(path)], check=True, capture_output=True
    )
    path.write_text(path.read_text() + (folder / "key").read_text())
    return path
