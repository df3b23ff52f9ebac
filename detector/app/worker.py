"""Builds the worker of a configuration. Its parts are closed in reverse order."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial

import structlog

from detector.alerts import AlertRecord, Mutes
from detector.app.outlets import alert_boards, alert_outlets, reject_outlet
from detector.app.pipeline import build_forecaster, build_pipeline, configured_weights
from detector.clock import SystemClock
from detector.config import Config
from detector.decoders import make_decoder
from detector.errors import DetectorError
from detector.kafka.client import ATTEMPT_LINES
from detector.learning.continual import Learning, LearningSettings
from detector.learning.versions import Versions
from detector.models.fingerprint import fingerprint
from detector.models.weights import Weights
from detector.pipeline import Pipeline
from detector.process.reload import Reloads
from detector.process.watchdog import Watchdog
from detector.protocols import Clock, Source
from detector.records import Alert
from detector.routing import RoutingSource, behind_router, build_router
from detector.sources import SOURCES
from detector.state import STORES
from detector.telemetry import Health, Metrics, Notifier, Telemetry, TelemetryServer, configure_logging, new_registry
from detector.worker import Worker
from detector.worker.outlets import ALERT_EVENT, Outlet
from detector.worker.snapshots import Snapshots


def build_worker(
    config: Config,
    stack: ExitStack,
    source: Source | None = None,
    extra_alerts: tuple[Outlet[Alert], ...] = (),
    watchdog: Watchdog | None = None,
    reloads: Reloads | None = None,
) -> Worker:
    """A worker whose parts close with `stack`. `source` replaces the configured one; `extra_alerts` are additional."""

    def on_wait(problem: DetectorError | None) -> None:
        worker.on_wait(problem)  # created last

    clock = SystemClock()
    telemetry = _telemetry(config, clock, watchdog, reloads)
    metrics, log = telemetry.metrics, telemetry.log
    server = TelemetryServer(config.telemetry, metrics.registry, telemetry.health)
    server.start()
    stack.callback(server.close)

    weights = configured_weights(config)
    pipeline = build_pipeline(config, weights)
    _describe(config, pipeline, metrics)
    record = AlertRecord(config.alerts.labels, f"detector/{config.source.kafka.group_id}", config.alerts.annotations)
    alerts = (*alert_outlets(config, stack, record, metrics), *extra_alerts)
    boards = alert_boards(config, stack, record, metrics, clock)
    rejects = reject_outlet(config, stack)
    router, inner = None, config
    if source is None and config.is_routed:
        router = build_router(config, stack, rejects, metrics, log, clock, on_wait)
        inner = behind_router(config)
    versions = _versions(config, pipeline, weights)
    snapshots = None if source else _snapshots(inner, stack, pipeline, log, versions)
    source = source or SOURCES[inner.source.type](inner)
    source = RoutingSource(router, source) if router else source
    stack.callback(source.close, config.checkpoint.shutdown_timeout_seconds)
    decoder = make_decoder(inner.decoder, on_wait)
    log.info("started", listen="{}:{}".format(*server.address), model=pipeline.model, source=config.source.type)
    worker = Worker(
        source=source,
        decoder=decoder,
        pipeline=pipeline,
        alerts=alerts,
        rejects=rejects,
        telemetry=telemetry,
        clock=clock,
        checkpoint_interval_seconds=config.checkpoint.interval_seconds,
        flush_timeout_seconds=config.longest_flush_seconds,
        snapshots=snapshots,
        learning=_learning(config, stack, versions, metrics, log, clock, keeps_state=snapshots is not None),
        boards=boards,
    )
    return worker


def _telemetry(config: Config, clock: Clock, watchdog: Watchdog | None, reloads: Reloads | None) -> Telemetry:
    """The worker's telemetry, with what the process around it wants to know and to show."""
    metrics = Metrics(new_registry())
    health = Health(config.watchdog.stall_seconds, clock.monotonic)
    metrics.watch(health)
    if watchdog is not None:
        watchdog.watch(health)
    if reloads is not None:
        metrics.watch_reloads(lambda: reloads.successful, lambda: reloads.succeeded_at)
        health.when_first_ready(partial(reloads.note_ready, config))
    notifier = Notifier(os.environ, clock.monotonic)
    return Telemetry(metrics, health, notifier, _log(config, metrics, clock))


def _log(config: Config, metrics: Metrics, clock: Clock) -> structlog.typing.FilteringBoundLogger:
    """Configure the process's logging and return the worker's logger."""
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


def _snapshots(
    config: Config,
    stack: ExitStack,
    pipeline: Pipeline,
    log: structlog.typing.FilteringBoundLogger,
    versions: Versions | None,
) -> Snapshots | None:
    """None without a state store, and for sources other than Kafka, which start over every time."""
    store = STORES[config.state.type](config) if config.source.type == "kafka" else None
    if store is None:
        return None
    stack.callback(store.close, config.checkpoint.shutdown_timeout_seconds)
    ours = fingerprint(pipeline.model, config.model.device, config.model.threads)
    return Snapshots(store, pipeline.table, ours, config.state.on_foreign, log, versions)


def _versions(config: Config, pipeline: Pipeline, weights: Weights) -> Versions | None:
    """None if the pipeline's weights never change."""
    if config.learning.mode == "off":
        return None
    return Versions(pipeline, weights, partial(build_forecaster, config))


def _learning(
    config: Config,
    stack: ExitStack,
    versions: Versions | None,
    metrics: Metrics,
    log: structlog.typing.FilteringBoundLogger,
    clock: Clock,
    *,
    keeps_state: bool,
) -> Learning | None:
    if versions is None:
        return None
    settings = LearningSettings(**config.learning.model_dump(exclude={"mode"}))
    learning = Learning(settings, versions, metrics.learning, log, clock, keeps_state=keeps_state)
    stack.callback(learning.close)
    return learning
