"""Signals: the first stops in order, the deadline and the second force an exit. Fatal errors are logged."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.daemon import Daemon

SCRIPT = """
import sys, time
from detector.process.stopping import StoppingOnSignals
asked = []
def stop():
    asked.append(1)
    print("asked", flush=True)
with StoppingOnSignals(stop, {deadline}):
    print("up", flush=True)
    end = time.monotonic() + 300
    while time.monotonic() < end and not (asked and {obey}):
        time.sleep(0.02)
print("orderly", flush=True)
"""


def start(deadline: float, obey: bool) -> subprocess.Popen[str]:
    script = SCRIPT.format(deadline=deadline, obey=obey)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_stops_in_order(number: int) -> None:
    process = start(deadline=100.0, obey=True)
    process.send_signal(number)
    out, _ = process.communicate(timeout=200)
    assert (process.returncode, out) == (0, "asked\norderly\n")


def test_g12_missed_deadline_prints_stacks_and_exits_with_an_error() -> None:
    process = start(deadline=0.5, obey=False)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "most recent call first" in err


def test_second_signal_forces_an_exit() -> None:
    process = start(deadline=100.0, obey=False)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    end = time.monotonic() + 100.0
    while process.poll() is None and time.monotonic() < end:
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.1)
    process.communicate(timeout=200)
    assert process.returncode == 128 + signal.SIGTERM


TWICE = """
import signal
from detector.process.stopping import StoppingOnSignals
moments = iter([7.0, 7.9, 8.1])
with StoppingOnSignals(lambda: print("asked", flush=True), now=lambda: next(moments)):
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    print("goes on", flush=True)
    signal.raise_signal(signal.SIGTERM)
"""


def test_signal_sent_twice_at_once_counts_once() -> None:
    ended = subprocess.run([sys.executable, "-c", TWICE], stdout=subprocess.PIPE, text=True, timeout=200)
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "asked\ngoes on\n")


NOBODY = "127.0.0.1:9"


def test_g12_worker_waiting_for_its_brokers_stops_at_once(tmp_path: Path) -> None:
    brokers = {"bootstrap_servers": [NOBODY], "request_timeout_seconds": 600.0}
    with Daemon(tmp_path, {"kafka": brokers, "checkpoint": {"shutdown_timeout_seconds": 60.0}}) as daemon:
        assert daemon.terminate() == 0
        assert "Timeout (" not in daemon.log.read_text()


KEEPS_EXCEPTIONS = """
import signal
from detector.app import process
from detector.config import Config

def wait_for_brokers(*_, **__):
    for _ in range(2):
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:
            pass

process.build_worker = wait_for_brokers
process.run(Config(), Config)
"""


def test_g12_stop_works_although_other_code_swallows_exceptions() -> None:
    # For example a task of kafka-python in whose code the signal arrives.
    ended = subprocess.run([sys.executable, "-c", KEEPS_EXCEPTIONS], stderr=subprocess.PIPE, text=True, timeout=200)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_error_that_ends_a_worker_is_logged(tmp_path: Path) -> None:
    kafka = {"bootstrap_servers": [NOBODY], "request_timeout_seconds": 2.0}
    with Daemon(tmp_path, {"kafka": kafka, "telemetry": {"log_level": "debug"}}) as daemon:
        assert daemon.process.wait(200) == 1
        *attempts, logged, said = daemon.log.read_text().splitlines()
    told = json.loads(logged)
    assert (told["level"], told["event"]) == ("error", "ended by an error")
    assert said == f"detector: {told['error']}"
    assert f"no broker at {NOBODY} answers" in said
    events = [json.loads(line)["event"] for line in attempts]
    assert sum("Connection lost" in event for event in events) >= 2
    for once in ("Connection failed: ", "Bootstrap connection to ", " not ready; waiting "):
        assert sum(once in event for event in events) == 1, once
