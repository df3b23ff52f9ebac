"""Wiring: from a configuration to a worker that runs. Parts are built one after the other and closed in reverse."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import structlog

from detector.alerts import AlertRecord, Lifecycle, Mutes
from detector.clock import SystemClock
from detector.config import Config
from detector.decoders import make_decoder
from detector.errors import DetectorError
from detector.kafka.client import ATTEMPT_LINES
from detector.learning.continual import Learning, LearningSettings
from detector.learning.versions import Versions
from detector.models.fingerprint import fingerprint
from detector.models.forecaster import Forecaster
from detector.models.weights import Weights, load
from detector.pipeline import Pipeline
from detector.pipeline.groups import Groups, GroupSettings
from detector.process.garbage import let_go
from detector.process.reload import Reloads
from detector.process.stopping import StoppingOnSignals, end_at_once
from detector.process.watchdog import Watchdog
from detector.protocols import Clock, Sink, Source
from detector.routing import RoutingSource, behind_router, build_router, is_routed
from detector.scoring import GroupScorer, Scorer, ScorerSettings
from detector.sinks import BOARDS, SINKS, kafka_topic_sink
from detector.sinks.board import AlertBoard
from detector.sinks.dead_letter import ENVELOPE_BYTES, DeadLetterRecord
from detector.sources import SOURCES
from detector.state import STORES
from detector.telemetry import Health, Metrics, Notifier, Telemetry, TelemetryServer, configure_logging, new_registry
from detector.worker import Worker
from detector.worker.outlets import ALERT_EVENT, AlertOutlet, RejectOutlet
from detector.worker.snapshots import Snapshots


def build_pipeline(config: Config) -> Pipeline:
    """The pure core for a configuration. Raises ModelError."""
    forecaster = _forecaster(config, load(Path(config.model.weights) if config.model.weights else None))
    alerts = config.alerts
    scorer = Scorer(ScorerSettings(**config.scoring.model_dump()), compact=config.model.profile == "compact")
    lifecycle = Lifecycle(
        anomalous=alerts.trigger.anomalous,
        of=alerts.trigger.of,
        recovery_normal=alerts.recovery.normal,
        recovery_below=alerts.recovery.below,
        max_firing_seconds=alerts.max_firing_seconds,
        cooldown_seconds=alerts.cooldown_seconds,
        usual_change=scorer.usual_change,
    )
    return Pipeline(
        forecaster,
        scorer,
        lifecycle,
        max_streams=config.streams.max_streams_per_partition,
        evict_idle_seconds=config.streams.evict_idle_seconds,
        idle_expiry_seconds=config.streams.idle_expiry_seconds,
        max_future_seconds=config.streams.max_future_seconds,
        critical_score=alerts.critical_score,
        model=forecaster.name,
        freeze_seconds=config.model.readout.freeze_seconds,
        raw_counters=config.streams.counters == "raw",
        groups=_groups(config, lifecycle),
        mutes=Mutes(alerts),
    )


def _forecaster(config: Config, weights: Weights) -> Forecaster:
    model = config.model
    compact = model.profile == "compact"
    return Forecaster(
        weights, device=model.device, threads=model.threads, readout=model.readout.enabled, compact=compact
    )


def _groups(config: Config, lifecycle: Lifecycle) -> Groups | None:
    asked = config.groups
    if not asked.by:
        return None
    settings = GroupSettings(tuple(asked.by), asked.tick_seconds, asked.alert_members)
    compact = config.model.profile == "compact"
    scorer = GroupScorer(asked.alerts_per_group_week, config.scoring.warmup_samples, compact=compact)
    return Groups(settings, scorer, lifecycle)


def build_worker(
    config: Config,
    stack: ExitStack,
    source: Source | None = None,
    extra_alerts: tuple[AlertOutlet, ...] = (),
    watchdog: Watchdog | None = None,
    reloads: Reloads | None = None,
) -> Worker:
    """A worker whose parts close with `stack`. `source` stands in for the configured one, `extra_alerts` beside it."""

    def meanwhile(trouble: DetectorError | None) -> None:
        worker.meanwhile(trouble)  # which is made last

    clock = SystemClock()
    metrics = Metrics(new_registry())
    log = _log(config, metrics, clock)
    health = Health(config.watchdog.stall_seconds, clock.monotonic)
    metrics.watch(health)
    if watchdog is not None:
        watchdog.watch(health)
    if reloads is not None:
        metrics.watch_reloads(lambda: reloads.successful, lambda: reloads.succeeded_at)
        health.when_first_ready(partial(reloads.got_ready, config))
    server = TelemetryServer(config.telemetry, metrics.registry, health)
    server.start()
    stack.callback(server.close)

    pipeline = build_pipeline(config)
    _describe(config, pipeline, metrics)
    record = AlertRecord(config.alerts.labels, f"detector/{config.source.kafka.group_id}")
    alerts = (*_alert_outlets(config, stack, record, metrics), *extra_alerts)
    boards = dict(_alert_boards(config, stack, record, metrics, clock))
    rejects = _reject_outlet(config, stack)
    _count_from_zero(metrics, [outlet.name for outlet in alerts] + [*boards] + ([rejects.name] if rejects else []))
    router = None
    if source is None and is_routed(config):
        router = build_router(config, stack, rejects, metrics, log, clock, meanwhile)
        config = behind_router(config)
    versions = _versions(config, pipeline)
    snapshots = None if source else _snapshots(config, stack, pipeline, log, versions)
    source = source or SOURCES[config.source.type](config)
    source = RoutingSource(router, source) if router else source
    stack.callback(source.close, config.checkpoint.shutdown_timeout_seconds)
    decoder = make_decoder(config.decoder, meanwhile)
    log.info("started", listen="{}:{}".format(*server.address), model=pipeline.model, source=config.source.type)
    worker = Worker(
        source=source,
        decoder=decoder,
        pipeline=pipeline,
        alerts=alerts,
        rejects=rejects,
        telemetry=Telemetry(metrics, health, Notifier(os.environ, clock.monotonic), log),
        clock=clock,
        checkpoint_interval_seconds=config.checkpoint.interval_seconds,
        flush_timeout_seconds=config.longest_flush_seconds,
        snapshots=snapshots,
        learning=_learning(config, stack, versions, metrics, log, keeps_state=snapshots is not None),
        boards=boards,
    )
    return worker


def run(config: Config, read: Callable[[], Config]) -> None:
    """Run until SIGTERM or SIGINT, or until the source is exhausted. Raises DetectorError.

    SIGHUP calls `read`; where that gives a configuration, the worker ends in order and another begins with it. Where
    that one cannot begin, one with the configuration before goes on.

    An end that takes longer than `checkpoint.shutdown_timeout_seconds` is cut short: every thread's stack goes to
    standard error and the process exits with 1. A loop that hangs ends the process too, see `Watchdog`. A process that
    was frozen until its deliveries had failed begins again where its state ends.
    """
    workers: list[Worker] = []

    def stop(*, again: bool = False) -> None:
        if not workers and not again:
            end_at_once()  # it is still being built, and may wait for brokers: there is nothing to end in order
        for worker in workers[-1:]:
            worker.stop(again=again)

    stopping = StoppingOnSignals(stop)
    reloads = Reloads(read, partial(stop, again=True))

    def work(config: Config, watchdog: Watchdog) -> None:
        let_go(workers)
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
        with stopping, reloads:  # also between one worker and the next: a signal that nobody hears ends the process
            reloads.follow(config, live, lambda: stopping.asked)
    except (DetectorError, OSError) as exc:
        structlog.get_logger("detector").error("ended by an error", error=str(exc))
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()


def _log(config: Config, metrics: Metrics, clock: Clock) -> structlog.typing.FilteringBoundLogger:
    """The worker's logger, once the process's lines go where the configuration says."""
    configure_logging(
        config.telemetry.log_level,
        config.telemetry.log_format,
        sys.stderr,
        clock.monotonic,
        metrics.worker.observe_log_line,
        {ALERT_EVENT: config.telemetry.alert_lines_per_minute, **dict.fromkeys(ATTEMPT_LINES, 1)},
    )
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger("detector")
    return log


def _describe(config: Config, pipeline: Pipeline, metrics: Metrics) -> None:
    metrics.alerts.budget.set(config.scoring.alerts_per_stream_week)
    for name in Mutes(config.alerts).names:
        metrics.alerts.muted.labels(name)
    metrics.streams.model.info({"name": pipeline.model, "device": config.model.device})
    pipeline.onlooker = metrics.shown.see if metrics.shown.follow(config.telemetry.streams) else None


def _count_from_zero(metrics: Metrics, sinks: list[str]) -> None:
    """A counter that appears with its first failure shows no increase."""
    for name in sinks:
        metrics.worker.sink_failures.labels(name)
        metrics.worker.sink_messages.labels(name)


def _alert_outlets(config: Config, stack: ExitStack, encode: AlertRecord, metrics: Metrics) -> list[AlertOutlet]:
    outlets = []
    for name, build in SINKS.items():
        if getattr(config.sinks, name).enabled:
            sink = build(config, metrics.worker.sink_failures.labels(name).inc)
            stack.callback(sink.close, config.checkpoint.shutdown_timeout_seconds)
            outlets.append(AlertOutlet(name, sink, encode))
    return outlets


def _alert_boards(
    config: Config, stack: ExitStack, record: AlertRecord, metrics: Metrics, clock: Clock
) -> Iterator[tuple[str, AlertBoard]]:
    for name, build in BOARDS.items():
        if getattr(config.sinks, name).enabled:
            board = build(config, record.value, clock, metrics.worker.sink_failures.labels(name).inc)
            stack.callback(board.close, config.checkpoint.shutdown_timeout_seconds)
            metrics.worker.sink_waiting.labels(name).set_function(board.waiting)
            yield name, board


def _snapshots(
    config: Config,
    stack: ExitStack,
    pipeline: Pipeline,
    log: structlog.typing.FilteringBoundLogger,
    versions: Versions | None,
) -> Snapshots | None:
    """None where nothing remembers offsets either: files and hosts are read from their beginning every time."""
    store = STORES[config.state.type](config) if config.source.type == "kafka" else None
    if store is None:
        return None
    stack.callback(store.close, config.checkpoint.shutdown_timeout_seconds)
    ours = fingerprint(pipeline.model, config.model.device, config.model.threads)
    return Snapshots(store, pipeline.table, ours, config.state.on_foreign, log, versions)


def _versions(config: Config, pipeline: Pipeline) -> Versions | None:
    """None where the weights stay what they are."""
    if config.learning.mode == "off":
        return None
    base = load(Path(config.model.weights) if config.model.weights else None)
    return Versions(pipeline, base, partial(_forecaster, config))


def _learning(
    config: Config,
    stack: ExitStack,
    versions: Versions | None,
    metrics: Metrics,
    log: structlog.typing.FilteringBoundLogger,
    *,
    keeps_state: bool,
) -> Learning | None:
    if versions is None:
        return None
    settings = LearningSettings(**config.learning.model_dump(exclude={"mode"}))
    learning = Learning(settings, versions, metrics.learning, log, SystemClock(), keeps_state=keeps_state)
    stack.callback(learning.close)
    return learning


def _reject_outlet(config: Config, stack: ExitStack) -> RejectOutlet | None:
    if config.dead_letter.topic is None:
        return None
    largest = config.dead_letter.max_value_bytes
    sink: Sink = kafka_topic_sink(config, config.dead_letter.topic, largest + ENVELOPE_BYTES)
    stack.callback(sink.close, config.checkpoint.shutdown_timeout_seconds)
    return RejectOutlet("dead_letter", sink, DeadLetterRecord(largest))
