"""A process that hangs ends, and says where it hung; one that was frozen is known to have been."""

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

from detector.errors import DeliveryError, StateUnavailable
from detector.telemetry import Health

log = structlog.get_logger(__name__)

EXIT_STALLED = 70
"""Exit status of a process whose loop did not come round; 70 is what sysexits.h calls an internal software error."""

TICK_SECONDS = 1.0
SUSPENSION_SECONDS = 5.0
"""A watchdog that sleeps this much longer than it meant to was not running, and so was nobody else in the process."""
_STDERR = 2


class Watchdog:
    """A thread of its own that looks at the progress of a worker's loop.

    Every call that the loop makes, to a broker, a disk or a sink, is under this one deadline: after `stall_seconds`
    without progress every thread's stack goes to standard error and the process exits with `EXIT_STALLED`. Time for
    which the whole process was frozen (SIGSTOP, a paused virtual machine) does not count.
    """

    def __init__(
        self,
        stall_seconds: float,
        *,
        now: Callable[[], float] = monotonic,
        end: Callable[[], None] | None = None,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self.stall_seconds = stall_seconds
        self._now = now
        self._end = end or self._dump_and_exit
        self._tick_seconds = tick_seconds
        self._health: Health | None = None
        self._ticked_at = now()
        self._woke_at = float("-inf")
        self._forgiven_at = float("-inf")
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def watch(self, health: Health) -> None:
        """From now on, this worker's progress is looked at."""
        health.progress()
        self._health = health

    def forgive(self, within_seconds: float) -> bool:
        """Whether a wait that failed just now may have failed because the process was frozen in the midst of it.

        True once a suspension, and only where that ended in the last `within_seconds`.
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
        """Run `live` to its end, and once more where a suspension made its deliveries fail.

        Deadlines pass while a process is frozen, and what was on its way then is given up by clients that are sound
        otherwise: a worker that begins anew goes on where its state ends.
        """
        while True:
            try:
                return live()
            except (DeliveryError, StateUnavailable) as exc:
                if asked_to_stop() or not self.forgive(within_seconds):
                    raise
                log.warning("the process was frozen, beginning anew", error=str(exc))

    def tick(self) -> None:
        """Look once; what the thread does every second."""
        with self._lock:
            now = self._now()
            if now - self._ticked_at > self._tick_seconds + SUSPENSION_SECONDS:
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
        while not self._closed.wait(self._tick_seconds):
            self.tick()

    def _dump_and_exit(self) -> None:
        # Nothing may take a lock that the hanging thread holds, or wait for whoever does not read our output.
        with suppress(OSError):
            os.set_blocking(_STDERR, False)
            os.write(_STDERR, f"detector: no progress for {self.stall_seconds:g} s, every thread's stack:\n".encode())
            faulthandler.dump_traceback(file=_STDERR, all_threads=True)
        os._exit(EXIT_STALLED)
