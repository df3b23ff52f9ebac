"""SIGHUP: reads the configuration again. Either all of it takes effect, or the previous one stays in use."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import structlog

from detector.config import Config
from detector.errors import ConfigError, DetectorError

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""Between two attempts to start a worker with the old configuration; each pause is twice the one before."""
LOOK_SECONDS = 0.1
"""How often a pause looks for a request to stop, or for a new configuration."""


class Reloads:
    """As a context manager, reads the configuration at SIGHUP; if valid, it is in `config` until taken.

    A separate thread does the reading: a signal handler must not wait for a lock that the interrupted code may hold.
    """

    def __init__(
        self,
        read: Callable[[], Config],
        restart: Callable[[], None],
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`read` raises ConfigError; `restart` requests an orderly shutdown, after which `config` is to be used."""
        self.config: Config | None = None
        self.successful = True
        """False after a reload whose file had errors, or with which no worker could start."""
        self.succeeded_at = 0.0
        """When a worker last became ready with a new configuration, in unix seconds."""
        self._refused = False
        """Whether the file had errors when it was last read."""
        self._newest: Config | None = None
        self._proven: Config | None = None
        """The last one with which a worker became ready."""
        self._is_ready = False
        """Whether the current worker became ready."""
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._read = read
        self._restart = restart
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self._before: Any = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._before = signal.signal(signal.SIGHUP, lambda number, frame: self._asked.put(True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGHUP, self._before)
        self._asked.put(False)
        self._thread.join()

    def take(self) -> Config | None:
        """The newest configuration that was read but not yet taken, if any."""
        with self._lock:
            taken, self.config = self.config, None
        self._newest = taken or self._newest
        return taken

    def follow(self, first: Config, live: Callable[[Config], None], asked_to_stop: Callable[[], bool]) -> None:
        """Run `live` with `first`, then with each configuration that was read.

        `live` has `note_ready` called. If it raises a DetectorError or OSError before that, the last configuration with
        which a worker became ready is used again. If that one fails too (a broker that is away for a moment), it is
        tried until it works, there is a newer one, or `asked_to_stop`: a supervisor would restart the process with the
        new file. If there is no such configuration, or the worker was ready, the error is raised.
        """
        current: Config | None = first
        self._newest = first
        pause_seconds = FIRST_PAUSE_SECONDS
        while current is not None:
            self._is_ready = False
            try:
                live(current)
            except (DetectorError, OSError) as exc:
                if asked_to_stop() or self._proven is None or self._is_ready:
                    raise
                log = structlog.get_logger("detector")
                if current is self._proven:
                    log.error("no worker can start with the old configuration either, trying again", error=str(exc))
                    self._pause(pause_seconds, asked_to_stop)
                    pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
                else:
                    self.successful = False
                    log.error("no worker can start with the new configuration, keeping the old one", error=str(exc))
                    pause_seconds = FIRST_PAUSE_SECONDS
                current = None if asked_to_stop() else self.take() or self._proven
            else:
                current = None if asked_to_stop() else self.take()

    def _pause(self, seconds: float, asked_to_stop: Callable[[], bool]) -> None:
        """Wait so long, or until asked to stop, or for a new configuration."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            if asked_to_stop() or self.config is not None:
                return
            self._sleep(LOOK_SECONDS)

    def note_ready(self, config: Config) -> None:
        """A worker is reading records with this configuration."""
        self._proven, self._is_ready = config, True
        if config is self._newest:
            with self._lock:
                self.successful, self.succeeded_at = not self._refused, self._now()

    def _run(self) -> None:
        while self._is_asked():
            log = structlog.get_logger("detector")  # each worker sets up logging again
            try:
                found = self._read()
            except ConfigError as exc:
                log.error("configuration has errors, nothing changes", error=str(exc))
                with self._lock:
                    self.successful, self._refused = False, True
            else:
                log.info("configuration read, starting a new worker with it")
                with self._lock:
                    self.config, self._refused = found, False
                self._restart()

    def _is_asked(self) -> bool:
        """Wait for a request; several that arrived meanwhile count as one. False at the end."""
        asked = self._asked.get()
        while asked and not self._asked.empty():
            asked = self._asked.get()
        return asked
