"""G12: a process that hangs exits with stacks and a status of its own; a suspended one is not taken for hanging."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from detector.clock import SUSPENSION_SECONDS
from detector.errors import DeliveryError, StateUnavailable
from detector.process.watchdog import EXIT_STALLED, TICK_SECONDS, Watchdog
from detector.telemetry import Health
from detector.testing import ManualClock
from tests.integration.daemon import Daemon

HANGING = """
import threading, time
from detector.telemetry import Health
from detector.process.watchdog import Watchdog

def a_call_that_never_returns():
    threading.Event().wait()

with Watchdog(2.0) as watchdog:
    watchdog.watch(Health(1, time.monotonic))
    a_call_that_never_returns()
"""


class Looking:
    """A watchdog driven by hand; counts the exits it would have made."""

    def __init__(self, stall_seconds: float = 60.0) -> None:
        self.clock, self.ended = ManualClock(), 0
        self.watchdog = Watchdog(stall_seconds, now=self.clock.monotonic, end=self._end)
        self.health = Health(stall_seconds, self.clock.monotonic)
        self.watchdog.watch(self.health)

    def _end(self) -> None:
        self.ended += 1

    def seconds(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(1.0)
            self.watchdog.tick()


def test_g12_stalled_loop_ends_the_process_after_the_timeout() -> None:
    looking = Looking()
    looking.seconds(60)
    assert looking.ended == 0
    looking.seconds(1)
    assert looking.ended == 1


def test_g12_progress_keeps_the_process_alive() -> None:
    looking = Looking()
    for _ in range(10):
        looking.seconds(50)
        looking.health.progress()
    assert looking.ended == 0


def test_g12_suspended_time_does_not_count_as_a_stall() -> None:
    looking = Looking()
    looking.seconds(10)
    looking.clock.advance(3600.0)
    looking.watchdog.tick()
    looking.seconds(59)
    assert looking.ended == 0
    looking.seconds(2)
    assert looking.ended == 1


def test_g12_failed_wait_is_forgiven_once_and_only_soon_after_a_suspension() -> None:
    looking = Looking()
    looking.seconds(10)
    assert not looking.watchdog.forgive(60.0), "was never frozen"
    looking.clock.advance(SUSPENSION_SECONDS + 2.0)
    assert looking.watchdog.forgive(60.0), "even before the thread itself has looked"
    assert not looking.watchdog.forgive(60.0), "the same suspension excuses no second failure"
    looking.clock.advance(SUSPENSION_SECONDS + 2.0)
    looking.seconds(62)
    assert not looking.watchdog.forgive(60.0), "too long ago to be the reason"


@pytest.mark.parametrize(
    ("frozen", "asked", "lives"), [(True, False, 2), (False, False, 1), (True, True, 1)], ids=["", "awake", "ending"]
)
def test_g4_worker_whose_deliveries_failed_during_a_suspension_is_restarted_once(
    frozen: bool, asked: bool, lives: int
) -> None:
    looking, lived = Looking(), []

    def live() -> None:
        lived.append(looking.clock.now)
        looking.seconds(3)
        if len(lived) == 1:
            looking.clock.advance(60.0 if frozen else 1.0)
            raise StateUnavailable("no answer")

    if lives == 2:
        looking.watchdog.outlive_suspensions(live, 30.0, lambda: asked)
    else:
        with pytest.raises(StateUnavailable):
            looking.watchdog.outlive_suspensions(live, 30.0, lambda: asked)
    assert len(lived) == lives


def test_g4_worker_that_fails_again_without_a_suspension_is_not_restarted() -> None:
    looking = Looking()

    def live() -> None:
        raise DeliveryError("no answer")

    looking.clock.advance(60.0)
    with pytest.raises(DeliveryError):
        looking.watchdog.outlive_suspensions(live, 30.0, lambda: False)


def test_g12_call_that_never_returns_ends_the_process_with_its_stack_and_status() -> None:
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == EXIT_STALLED == 70
    assert "a_call_that_never_returns" in done.stderr
    assert "no progress for 2 s" in done.stderr


def test_g12_hanging_process_ends_although_nobody_reads_its_standard_error() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write_end, bytes(65_536))
    os.set_blocking(write_end, True)
    try:
        process = subprocess.Popen([sys.executable, "-c", HANGING], stderr=write_end)
        assert process.wait(300) == EXIT_STALLED
    finally:
        os.close(read_end)
        os.close(write_end)


def test_g12_real_suspension_is_noticed() -> None:
    script = """
import time
from detector.process.watchdog import Watchdog
with Watchdog(1e9) as watchdog:
    print("up", flush=True)
    input()
    print(watchdog.forgive(60.0), flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(TICK_SECONDS + SUSPENSION_SECONDS + 1.0)
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "True\n"


def test_g12_reader_of_standard_output_that_never_reads_ends_the_daemon_with_a_message(tmp_path: Path) -> None:
    """Alerts go to a full pipe: the write never returns."""
    first, *lines = [
        json.dumps(
            {"name": f"s{stream}", "timestamp": 1_700_000_000 + 60 * step, "value": step % 3 + 1e6 * (step > 69)}
        )
        for step in range(71)
        for stream in range(400)
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text(first + "\n")
    config = {
        "source": {"type": "file", "file": {"paths": [str(path)], "follow": True}},
        "sinks": {"kafka": {"enabled": False, "delivery_timeout_seconds": 1.0}, "stdout": {"enabled": True}},
        "state": {"flush_timeout_seconds": 1.0},
        "watchdog": {"stall_seconds": 20.0},  # a busy machine needs some of them to read its input
    }
    with Daemon(tmp_path, config, stdout=subprocess.PIPE) as daemon:
        daemon.wait_until_ready()  # a slow start is not a stall
        with path.open("a") as file:
            file.write("\n".join(lines) + "\n")
        assert daemon.process.wait(300) == EXIT_STALLED
        assert "stdout.py" in daemon.log.read_text(), "the stack says where"
