"""The process around workers: signals, configuration reloads, and the watchdog that ends it when it hangs."""

from __future__ import annotations

import faulthandler
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import structlog

from detector.app.worker import build_worker
from detector.config import Config
from detector.errors import DetectorError
from detector.process.garbage import release
from detector.process.reload import Reloads
from detector.process.stopping import StoppingOnSignals, end_at_once
from detector.process.watchdog import Watchdog
from detector.worker import Worker


def run(config: Config, read: Callable[[], Config]) -> None:
    """Run until SIGTERM or SIGINT, or until the source is exhausted. Raises DetectorError.

    SIGHUP calls `read`. If that returns a configuration, the worker shuts down in order and another starts with it. If
    that one cannot start, a worker with the previous configuration does.

    A shutdown that takes longer than `checkpoint.shutdown_timeout_seconds` is cut short: every thread's stack goes to
    standard error and the process exits with 1. A loop that hangs also ends the process, see `Watchdog`. A process that
    was frozen for so long that its deliveries failed starts again where its state ends.
    """
    workers: list[Worker] = []

    def stop(*, again: bool = False) -> None:
        if not workers and not again:
            end_at_once()  # the worker is still being built, maybe waiting for brokers: nothing to shut down in order
        for worker in workers[-1:]:
            worker.stop(again=again)

    stopping = StoppingOnSignals(stop)
    reloads = Reloads(read, partial(stop, again=True))

    def work(config: Config, watchdog: Watchdog) -> None:
        release(workers)
        with ExitStack() as stack:
            workers.append(build_worker(config, stack, watchdog=watchdog, reloads=reloads))
            if stopping.asked or reloads.config:
                stop(again=not stopping.asked)
            workers[-1].run()

    def live(config: Config) -> None:
        stopping.deadline_seconds = config.checkpoint.shutdown_timeout_seconds
        patience = 2 * config.longest_flush_seconds
        with Watchdog(config.watchdog.stall_seconds) as watchdog:
            watchdog.outlive_suspensions(partial(work, config, watchdog), patience, lambda: stopping.asked)

    try:
        with stopping, reloads:  # also between two workers: a signal without a handler ends the process
            reloads.follow(config, live, lambda: stopping.asked)
    except (DetectorError, OSError) as exc:
        structlog.get_logger("detector").error("ended by an error", error=str(exc))
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()
