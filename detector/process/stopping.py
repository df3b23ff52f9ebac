"""Signals that end a worker: the first one asks, the second one forces."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

SAME_SECONDS = 1.0
"""A signal repeated within this time is not a second request."""


class StoppingOnSignals:
    """The first SIGTERM or SIGINT asks for an orderly end within the deadline; a second one forces it.

    A repetition within `SAME_SECONDS` is ignored: `timeout`, and programs that forward what the terminal already sent
    to everyone, signal twice in quick succession.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        deadline_seconds: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = stop
        self._now = now
        self._asked_at = 0.0
        self.deadline_seconds = deadline_seconds
        self._before: dict[int, Any] = {}
        self.asked = False

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            if self._now() - self._asked_at < SAME_SECONDS:
                return
            # 128 + signal number, as a shell reports a process that the signal killed.
            os._exit(128 + number)
        self.asked, self._asked_at = True, self._now()
        if self.deadline_seconds is not None:
            faulthandler.dump_traceback_later(self.deadline_seconds, exit=True)
        self._stop()


def end_at_once() -> NoReturn:
    """End the process with exit code 0, from within a signal handler.

    An exception would be raised in whatever code the signal interrupts, and tasks of kafka-python swallow those.
    """
    os._exit(0)
