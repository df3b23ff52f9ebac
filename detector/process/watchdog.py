"""Ends a process that hangs, showing where, and detects that a process was frozen."""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Self

import structlog

from detector.clock import SUSPENSION_SECONDS
from detector.errors import DeliveryError, StateUnavailable
from detector.telemetry import Health

log = structlog.get_logger(__name__)

EXIT_STALLED = 70
"""Exit status of a process whose loop hung; 70 is an internal software error in sysexits.h."""

TICK_SECONDS = 1.0
_STDERR = 2


class Watchdog:
    """A thread that monitors the progress of a worker's loop.

    This one deadline covers every call that the loop makes to a broker, a disk or a sink: after `stall_seconds` without
    progress, every thread's stack goes to standard error and the process exits with `EXIT_STALLED`. Time during which
    the whole process was frozen (SIGSTOP, a paused virtual machine) does not count.
    """

    def __init__(
        self,
        stall_seconds: float,
        *,
        now: Callable[[], float] = monotonic,
        end: Callable[[], None] | None = None,
    ) -> None:
        self.stall_seconds = stall_seconds
        self._now = now
        self._end = end or self._dump_and_exit
        self._health: Health | None = None
        self._ticked_at = now()
        self._woke_at = float("-inf")
        self._forgiven_at = float("-inf")
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def watch(self, health: Health) -> None:
        """Monitor this worker's progress from now on."""
        health.progress()
        self._health = health

    def forgive(self, within_seconds: float) -> bool:
        """Whether a wait that just failed may have failed because the process was frozen meanwhile.

        True once per suspension, and only if that ended in the last `within_seconds`.
        """
        self.tick()
        with self._lock:
            excused = self._woke_at > self._forgiven_at and self._now() - self._woke_at <= within_seconds
            if excused:
                self._forgiven_at = self._woke_at
            return excused

    def outlive_suspensions(
        self, live: Callable[[], None], within_seconds: float, asked_to_stop: Callable[[], bool]
    ) -> None:
        """Run `live` to its end, and again whenever a suspension made its deliveries fail.

        Deadlines pass while a process is frozen, and otherwise healthy clients then give up what was in flight. A new
        worker resumes where the state ends.
        """
        while True:
            try:
                return live()
            except (DeliveryError, StateUnavailable) as exc:
                if asked_to_stop() or not self.forgive(within_seconds):
                    raise
                log.warning("the process was frozen, starting a new worker", error=str(exc))

    def tick(self) -> None:
        """Check once; the thread does this every second."""
        with self._lock:
            now = self._now()
            if now - self._ticked_at > TICK_SECONDS + SUSPENSION_SECONDS:
                self._woke_at = now
            self._ticked_at = now
            frozen_until = self._woke_at
        health = self._health
        if health is not None and now - max(health.progress_at, frozen_until) > self.stall_seconds:
            self._end()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(TICK_SECONDS):
            self.tick()

    def _dump_and_exit(self) -> None:
        # Take no lock that the hanging thread may hold, and do not wait for a reader of our output.
        with suppress(OSError):
            os.set_blocking(_STDERR, False)
            os.write(_STDERR, f"detector: no progress for {self.stall_seconds:g} s, every thread's stack:\n".encode())
            faulthandler.dump_traceback(file=_STDERR, all_threads=True)
        os._exit(EXIT_STALLED)
