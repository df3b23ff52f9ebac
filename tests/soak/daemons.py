"""Daemons under a supervisor that restarts what ends, as systemd does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.kafka.broker import HOST, free_ports
from tests.sinks.hook import Hook
from tests.soak.machine import Machine

_LAUNCH = Path(__file__).parents[1] / "kafka" / "launch.py"
_ROOT = Path(__file__).parents[2]
_RESTART_SECONDS = 0.5
_LAST_WORDS = ("detector: ", "Timeout (")
"""Of a daemon that ends with 1: its own error, or the deadline for an end or for progress."""


@dataclass(frozen=True)
class End:
    """How a process ended: `status` as in subprocess, and the end of its log."""

    slot: str
    pid: int
    status: int
    asked: str
    """Why it was to end, as it was told first: `kill`, `terminate` or nothing."""
    lived_seconds: float
    said: str
    explained: bool
    """It ended in order, by a signal, or with a message of its own: not by an exception that nobody expected."""


class Process:
    """One daemon from its start to its end."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.asked = ""
        self.address = f"{HOST}:{free_ports(1)[0]}"
        self.began_at = time.monotonic()
        path = slot.folder / "config.yaml"
        path.write_text(yaml.safe_dump({**slot.settings, "telemetry": {"listen": self.address}}))
        self._log_start = slot.log.stat().st_size if slot.log.exists() else 0
        with slot.log.open("ab") as log:
            command = [sys.executable, str(_LAUNCH), str(os.getpid()), sys.executable, "-m", "detector", "run"]
            self.popen = subprocess.Popen(
                [*command, "-c", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=_ROOT,
                env={**os.environ, **slot.machine.environment, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def send(self, number: signal.Signals, asked: str = "") -> None:
        """Send a signal. A kill after SIGTERM may come too late, so the end still counts as asked for."""
        self.asked = self.asked or asked
        self.popen.send_signal(number)

    def end(self) -> End:
        with self.slot.log.open("rb") as log:
            log.seek(self._log_start)
            said = log.read().decode(errors="replace")
        lines = [line for line in said.splitlines() if line.startswith(_LAST_WORDS)]
        status = self.popen.returncode
        return End(
            slot=self.slot.name,
            pid=self.popen.pid,
            status=status,
            asked=self.asked,
            lived_seconds=round(time.monotonic() - self.began_at, 1),
            said=(lines or said.splitlines()[-1:] or [""])[-1][-400:],
            explained=status != 1 or bool(lines),
        )


class Slot:
    """A place for a daemon: its settings, its machine, and its present process."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, Any], machine: Machine, link: int) -> None:
        self.name = name
        self.folder = folder
        self.settings = settings
        self.machine = machine
        self.link = link
        self.log = folder / "daemon.log"
        self.wanted = True
        self.process: Process | None = None
        self.replaced: list[Process] = []
        """Frozen, and another was started in their place."""
        self.ends: list[End] = []
        self.most_resident_bytes = 0
        self._start_at = 0.0

    @property
    def running(self) -> Process | None:
        return self.process if self.process is not None and self.process.alive else None

    @property
    def processes(self) -> Iterator[Process]:
        """The processes that are alive."""
        for process in (self.process, *self.replaced):
            if process is not None and process.alive:
                yield process

    def supervise(self) -> None:
        """Record processes that ended, and start missing ones."""
        for process in list(self.replaced):
            if not process.alive:
                self.replaced.remove(process)
                self._note(process.end())
        if self.process is not None and not self.process.alive:
            self._note(self.process.end())
            self.process, self._start_at = None, time.monotonic() + _RESTART_SECONDS
        if self.process is None and self.wanted and time.monotonic() >= self._start_at:
            self.process = Process(self)

    def replace(self) -> None:
        """Freeze the process and let another take its place."""
        if self.process is not None:
            self.process.send(signal.SIGSTOP)
            self.replaced.append(self.process)
            self.process, self._start_at = None, 0.0

    def want(self, wanted: bool) -> None:
        """Set whether a daemon should run here; SIGTERM if not."""
        self.wanted = wanted
        if not wanted and self.process is not None:
            self.process.send(signal.SIGTERM, "terminate")

    def measure(self) -> None:
        for process in self.processes:
            try:
                resident = psutil.Process(process.popen.pid).memory_info().rss
            except psutil.Error:
                continue
            self.most_resident_bytes = max(self.most_resident_bytes, resident)

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            process.popen.kill()
            process.popen.wait()

    def _note(self, end: End) -> None:
        self.ends.append(end)
        with (self.folder / "ends.jsonl").open("a") as file:
            file.write(json.dumps(end.__dict__) + "\n")


@dataclass
class Group:
    """A consumer group: the same input, alerts and dead letters of its own, one kind of store."""

    name: str
    store: str
    slots: list[Slot]
    usual: int
    """So many of the slots are in use when nothing else is asked for."""
    settings: Mapping[str, Any]
    alerts: str
    dead_letters: str
    hook: Hook
    """Gets the alerts, too."""

    def scale(self, count: int) -> None:
        for number, slot in enumerate(self.slots):
            slot.want(number < count)
