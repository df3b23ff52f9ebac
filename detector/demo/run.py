"""What the demo simulates, and when: history first, then one fault after another."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.live import Live

from detector.config import Config, checked
from detector.demo.scoreboard import DemoSummary, Scoreboard
from detector.demo.source import FleetSource
from detector.demo.view import View
from detector.errors import ConfigError
from detector.protocols import Clock, Message, Source
from detector.records import Alert
from detector.sources.host import HostSource
from detector.synthetic import START
from detector.synthetic.fleet import Fleet, fleet
from detector.worker import Worker
from detector.worker.outlets import Outlet

STREAMS = 200
STEP_SECONDS = 10.0
"""Simulated time between two rounds."""
HISTORY_ROUNDS = 400
ROUNDS_PER_SECOND = 4.0
START_SECONDS = 8.0
"""Part of the duration spent on the start and the history."""
LEAST_SECONDS = 20.0
MOST_SECONDS = 6 * 3_600.0
"""The whole fleet is generated beforehand: 23 MB per hour."""
LAST_ROUNDS = 20
"""No fault begins this close to the end: it could not be caught in time."""
FIRST_ROUNDS = 4
SECONDS_PER_FAULT = 2.25
HOST_INTERVAL_SECONDS = 0.5
LISTEN = "127.0.0.1:9464"
NEXT = 'Next: `detector backtest SERIES` on your own CSV files, or your own Kafka topic: README.md, "Use it".'

Build = Callable[[Config, ExitStack, Source, tuple[Outlet[Alert], ...]], Worker]
OnSignals = Callable[[Callable[[], None]], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How long to run, and what to show."""

    duration_seconds: float = 300.0
    seed: int = 1
    quiet: bool = False
    """Show nothing; the caller wants only the summary."""
    listen: str | None = None
    """Where to serve /metrics; None for the usual port, or a free one if that is taken."""


def demo(
    options: DemoOptions, build: Build, on_signals: OnSignals, console: Console | None = None, clock: Clock = time
) -> DemoSummary:
    """Run the demo to its end or until a signal; `build` makes the worker. Raises DetectorError."""
    if not LEAST_SECONDS <= options.duration_seconds <= MOST_SECONDS:
        needed = f"must be at least {LEAST_SECONDS:.0f} s, to learn and to show anything"
        raise ConfigError("demo", [f"duration: {needed}, and at most {MOST_SECONDS:.0f} s"])
    console = console or Console()
    lively = console.is_terminal and not options.quiet
    started = clock.monotonic()
    deadline = started + options.duration_seconds

    def say(text: str) -> None:
        if not options.quiet and not lively:
            console.print(
                f"{clock.monotonic() - started:6.1f} s  {text}", markup=False, highlight=False, soft_wrap=True
            )

    board = Scoreboard(_fleet(options), HISTORY_ROUNDS, say)
    config = _config(options.listen or _free(LISTEN))
    url = f"http://{config.telemetry.listen}/metrics"
    with ExitStack() as stack:
        source = FleetSource(
            board.fleet,
            HostSource(HOST_INTERVAL_SECONDS, clock),
            clock,
            history_rounds=HISTORY_ROUNDS,
            deadline=deadline,
            on_rounds=board.observe_rounds,
            on_records=board.observe_records,
        )
        worker = build(config, stack, source, (Outlet("demo", _NullSink(), board.encode),))
        say(f"{STREAMS} simulated streams and this machine's own; metrics at {url}")
        view = View(board, url, deadline, clock, lambda: console.width)
        shown = Live(get_renderable=view.__rich__, console=console, refresh_per_second=4, transient=True)
        with on_signals(worker.stop), shown if lively else nullcontext():
            worker.run()
    if not options.quiet:
        console.print(_closing(board.summary), markup=False, highlight=False, soft_wrap=True)
    if lively:
        console.print(NEXT, style="dim", markup=False, highlight=False)
    return board.summary


def _fleet(options: DemoOptions) -> Fleet:
    """History without a fault, then one fault after another, spaced evenly but for a little chance.

    Nothing here depends on when the demo runs.
    """
    live_seconds = options.duration_seconds - START_SECONDS
    live = round(live_seconds * ROUNDS_PER_SECOND)
    count = min(STREAMS // 2, int(live_seconds / SECONDS_PER_FAULT))
    rng = np.random.default_rng([options.seed, 3])
    spread = np.linspace(0.0, 1.0, count + 1)[:count] + rng.uniform(0.0, 1.0 / (2 * count), count)
    first = HISTORY_ROUNDS + FIRST_ROUNDS + spread * (live - FIRST_ROUNDS - LAST_ROUNDS)
    rounds = HISTORY_ROUNDS + live
    begins = np.sort(first.astype(np.int64)).tolist()
    return fleet(options.seed, STREAMS, rounds, STEP_SECONDS, start=START, faults=begins)


def _config(listen: str) -> Config:
    """Every default, except for the log level and what would need brokers."""
    return checked(
        Config,
        {"sinks": {"kafka": {"enabled": False}}, "telemetry": {"listen": listen, "log_level": "error"}},
        "demo",
    )


def _free(listen: str) -> str:
    """`listen`, or a free port of the same host if that one is taken."""
    host, _, port = listen.rpartition(":")
    for candidate in (int(port), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return f"{host}:{probe.getsockname()[1]}"
    return listen


def _closing(summary: DemoSummary) -> str:
    delay = summary.median_delay_seconds
    after = "" if delay is None else f", median delay {delay:.0f} s of simulated time"
    return f"faults {summary.faults}, caught {summary.caught}{after}; false alerts {summary.false_alerts}"


class _NullSink:
    """Drops alerts: the scoreboard saw them when they were encoded."""

    def send(self, message: Message) -> None: ...

    def flush(self, timeout_seconds: float) -> None: ...

    def close(self, timeout_seconds: float) -> None: ...
