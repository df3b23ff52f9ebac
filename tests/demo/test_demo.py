"""The whole demo on a clock that runs as fast as the machine allows."""

from __future__ import annotations

import io
import re
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import pytest
from rich.console import Console

from detector.app import build_worker
from detector.config import Config
from detector.demo import DemoOptions, demo
from detector.demo.scoreboard import DemoSummary
from detector.errors import ConfigError
from detector.protocols import Source
from detector.records import Alert
from detector.testing import ManualClock
from detector.worker import Worker
from detector.worker.outlets import Outlet


@contextmanager
def taken_port() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield "{}:{}".format(*listener.getsockname())


def run(options: DemoOptions, console: Console) -> tuple[DemoSummary, float]:
    clock = ManualClock(0.0)
    summary = demo(options, build_worker, lambda stop: nullcontext(), console, clock)
    return summary, clock.now


def test_one_minute_catches_nine_of_ten_faults_with_at_most_two_false_alerts() -> None:
    console = Console(file=io.StringIO(), width=120)
    summary, seconds = run(DemoOptions(60.0), console)
    assert summary.faults >= 20
    assert summary.caught >= 0.9 * summary.faults
    assert summary.false_alerts <= 2
    assert seconds == pytest.approx(60.0, abs=1.0)

    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    caught = [line for line in lines if " caught after " in line]
    assert len(caught) == summary.caught
    assert float(caught[0].split()[0]) < 15.0
    assert re.search(r"metrics at http://127\.0\.0\.1:\d+/metrics$", lines[0])
    assert lines[-1].startswith(f"faults {summary.faults}, caught {summary.caught}, median delay ")


def test_terminal_shows_a_live_view_and_keeps_the_summary() -> None:
    console = Console(file=io.StringIO(), width=140, force_terminal=True)
    summary, _ = run(DemoOptions(20.0, seed=2), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "200 simulated + " in text
    assert "samples/s" in text
    summarized, then = text.splitlines()[-2:]
    assert f"faults {summary.faults}, caught {summary.caught}" in summarized
    assert "backtest" in then


def test_quiet_prints_nothing() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    run(DemoOptions(20.0, quiet=True), console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""


class Visitor(ManualClock):
    """Reads `/metrics` when the demo first sleeps, then sends the signal to stop."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.address = ""
        self.seen = ""
        self.stop: Callable[[], None] = lambda: None

    def build(self, config: Config, stack: ExitStack, source: Source, alerts: tuple[Outlet[Alert], ...] = ()) -> Worker:
        self.address = config.telemetry.listen
        return build_worker(config, stack, source, alerts)

    def on_signals(self, stop: Callable[[], None]) -> AbstractContextManager[None]:
        self.stop = stop
        return nullcontext()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.now > 5.0 and not self.seen:
            with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=60) as answer:
                self.seen = answer.read().decode()
            self.stop()


def test_metrics_are_served_and_a_signal_ends_the_demo() -> None:
    clock = Visitor()
    summary = demo(DemoOptions(30.0, quiet=True), clock.build, clock.on_signals, Console(file=io.StringIO()), clock)
    assert clock.now < 10.0
    assert 1 <= summary.faults <= 4
    assert "detector_samples_consumed_total" in clock.seen


def test_port_option_is_used_or_is_an_error() -> None:
    with taken_port() as listen, pytest.raises(ConfigError, match="cannot listen"):
        run(DemoOptions(20.0, quiet=True, listen=listen), Console(file=io.StringIO()))


def test_too_short_a_duration_is_an_error() -> None:
    with pytest.raises(ConfigError, match="duration: must be at least 20 s"):
        run(DemoOptions(5.0), Console(file=io.StringIO()))
