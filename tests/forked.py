"""The command line in a process forked from one that has already imported it.

A new interpreter would first import torch, which takes two to three seconds of CPU time. The program is the same;
memory measurements are not, because pages are shared.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["detector.app", "detector.cli.commands"])


class Forked:
    """`detector ARGUMENTS...` in the present environment and folder: the part of `subprocess.Popen` that is needed."""

    stdout = None

    def __init__(self, arguments: Sequence[str], output: Path, errors: Path | None = None) -> None:
        """Standard output is appended to `output`, and standard error to `errors`, or to `output`, too."""
        streams = (output, errors or output)
        for path in streams:
            path.touch()
        self.args = ["detector", *arguments]
        given = (self.args, streams, Path.cwd(), dict(os.environ))
        self._process = _context.Process(target=_run, args=given, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self.returncode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], streams: tuple[Path, Path], folder: Path, environment: Mapping[str, str]) -> None:
    for number, path in enumerate(streams, start=1):
        with path.open("ab") as file:
            os.dup2(file.fileno(), number)
    # multiprocessing replaces sys.stdin but not file descriptor 0.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    from detector.cli import main

    main()
