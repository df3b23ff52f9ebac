"""What `partitioning: repartition` turns a configuration into: one for the router, one for the worker behind it."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from structlog.typing import FilteringBoundLogger

from detector.config import Config
from detector.config.decoder import Decoder
from detector.config.schema import KafkaSource
from detector.decoders import make_decoder
from detector.decoders.schema_registry import OnWait
from detector.protocols import Clock
from detector.records import Reject
from detector.routing.lanes import Lanes
from detector.routing.router import Router
from detector.sources import kafka_source
from detector.telemetry import Metrics
from detector.worker.outlets import Outlet, Outlets

MAX_IN_FLIGHT = 100
"""Records of up to half a MiB."""
MAX_PENDING = 200_000
"""Samples per partition, about 60 bytes each."""
SERIES_PER_LIMIT = 8
"""Series that a router knows at a time, as a multiple of the streams a worker keeps per partition."""


def before_router(config: Config) -> Config:
    """What the router reads: the input, as a separate consumer group."""
    kafka = config.source.kafka
    return _reading(config, kafka.model_copy(update={"group_id": f"{kafka.group_id}-router"}))


def behind_router(config: Config) -> Config:
    """What the worker reads: the internal topic, from its beginning, since only routers write to it."""
    kafka = config.source.kafka
    inner = _reading(config, kafka.model_copy(update={"topics": [kafka.repartition_topic], "start": "earliest"}))
    return inner.model_copy(update={"decoder": Decoder(type="routed")})


def build_router(
    config: Config,
    stack: ExitStack,
    rejects: Outlet[Reject] | None,
    metrics: Metrics,
    log: FilteringBoundLogger,
    clock: Clock,
    on_wait: OnWait,
) -> Router:
    """A router whose parts close with `stack`. `on_wait` is called while its decoder waits and for each message.

    Raises SourceError, SchemaUnavailable.
    """
    from detector.sinks.kafka import KafkaSink

    timeout_seconds = config.sinks.kafka.delivery_timeout_seconds
    sink = KafkaSink(
        config.kafka,
        config.source.kafka.repartition_topic,
        max_in_flight=MAX_IN_FLIGHT,
        delivery_timeout_seconds=timeout_seconds,
    )
    stack.callback(sink.close, config.checkpoint.shutdown_timeout_seconds)
    source = kafka_source(before_router(config))
    stack.callback(source.close, config.checkpoint.shutdown_timeout_seconds)
    return Router(
        source,
        make_decoder(config.decoder, on_wait),
        sink,
        Lanes(sink.partitions, SERIES_PER_LIMIT * config.streams.max_streams_per_partition, config.groups.by),
        Outlets((), rejects, metrics.worker, log, partial(on_wait, None)),
        metrics,
        log,
        clock,
        interval_seconds=config.checkpoint.interval_seconds,
        timeout_seconds=timeout_seconds,
        max_pending=MAX_PENDING,
    )


def _reading(config: Config, kafka: KafkaSource) -> Config:
    return config.model_copy(update={"source": config.source.model_copy(update={"kafka": kafka})})
