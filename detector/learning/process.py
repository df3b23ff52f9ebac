"""The learning process as the worker sees it: started, polled, and ended with the worker."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
MESSAGE_BYTES = 2_000
NICEST = 19


class Process(Protocol):
    """The process of a round in progress."""

    def poll(self) -> int | None:
        """Exit status, or None while it runs; never blocks."""
        ...

    def complaint(self) -> str:
        """Its last error output, after it failed."""
        ...

    def kill(self) -> None:
        """Kill it; idempotent."""
        ...


class ChildProcess:
    """`python -m detector.learning` on a folder. Raises OSError if it cannot be started."""

    def __init__(self, folder: Path, nice: int = NICEST) -> None:
        self._errors = folder / "errors"
        with self._errors.open("wb") as errors:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "detector.learning", str(folder), str(nice)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, **ONE_THREAD},
            )

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    def poll(self) -> int | None:
        return self._child.poll()

    def complaint(self) -> str:
        try:
            lines = self._errors.read_bytes()[-MESSAGE_BYTES:].decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()
        if self._child.stdin is not None:
            self._child.stdin.close()  # not before the kill: the child would exit by itself, with another status


def children_seconds() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def discard(folder: Path) -> None:
    """Remove a round's files."""
    shutil.rmtree(folder, ignore_errors=True)
