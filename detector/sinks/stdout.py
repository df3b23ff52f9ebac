"""Writes messages as lines to standard output."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

from detector.errors import DeliveryError
from detector.protocols import Message


class StdoutSink:
    """One line per message: its value, which is JSON without line breaks. Keys and headers are not shown.

    If the reader is gone (`detector run | head`), raises a DeliveryError that is not `retriable`.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        if stream is None and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8, whatever the locale

    def send(self, message: Message) -> None:
        if message.value is None:
            return
        text = message.value.decode("utf-8", "backslashreplace").replace("\r", " ").replace("\n", " ")
        self._do(lambda: self._stream.write(text + "\n"))

    def flush(self, timeout_seconds: float) -> None:
        self._do(self._stream.flush)

    def close(self, timeout_seconds: float) -> None:
        """Does nothing: standard output is not ours to close."""

    def _do(self, write: Callable[[], object]) -> None:
        try:
            write()
        except BrokenPipeError as exc:
            self._leave_quietly()
            raise DeliveryError("standard output: the reader is gone", retriable=False) from exc
        except (OSError, ValueError) as exc:
            raise DeliveryError(f"standard output cannot be written: {exc}") from exc

    def _leave_quietly(self) -> None:
        """Redirect to /dev/null: otherwise the interpreter reports the broken pipe again when it flushes at exit."""
        if self._stream is sys.stdout:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
