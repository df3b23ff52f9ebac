"""Messages as lines on standard output."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

from detector.errors import DeliveryError
from detector.protocols import Message


class StdoutSink:
    """One line a message: its value, which is JSON without line breaks. Keys and headers are not shown.

    A reader that has gone (`detector run | head`) is a DeliveryError that no retry can mend.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        if stream is None and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # as JSON is, whatever the locale's encoding

    def send(self, message: Message) -> None:
        if message.value is None:
            return
        text = message.value.decode("utf-8", "backslashreplace").replace("\r", " ").replace("\n", " ")
        self._do(lambda: self._stream.write(text + "\n"))

    def flush(self, timeout_seconds: float) -> None:
        self._do(self._stream.flush)

    def close(self, timeout_seconds: float) -> None:
        """Standard output is not ours to close."""

    def _do(self, write: Callable[[], object]) -> None:
        try:
            write()
        except BrokenPipeError as exc:
            self._leave_quietly()
            error = DeliveryError("standard output: its reader has gone")
            error.retriable = False
            raise error from exc
        except (OSError, ValueError) as exc:
            raise DeliveryError(f"standard output cannot be written: {exc}") from exc

    def _leave_quietly(self) -> None:
        """Without this, the interpreter complains of the broken pipe once more when it flushes at exit."""
        if self._stream is sys.stdout:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
