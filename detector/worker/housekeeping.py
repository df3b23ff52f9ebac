"""What a worker checks from time to time, whatever it reads: how far it lags, and the condition of its streams."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detector.pipeline import Pipeline
from detector.process.garbage import LongLived
from detector.protocols import Clock, Source
from detector.records import AlertStatus, Partition, partition_names
from detector.scoring.interval import INTERVAL
from detector.series import SeriesKey
from detector.streams.membership import GROUP, IS_GROUP
from detector.streams.silence import heard
from detector.streams.table import LATEST
from detector.telemetry import StreamCounts, Telemetry

INTERVAL_SECONDS = 2.0
LARGEST_SHARE = 0.02
"""Share of the time that counting may take; it lengthens the interval when there are very many streams."""


class Housekeeping:
    """Regular checks of the partitions currently assigned."""

    def __init__(self, source: Source, pipeline: Pipeline, telemetry: Telemetry, clock: Clock) -> None:
        self._source = source
        self._pipeline = pipeline
        self._telemetry = telemetry
        self._clock = clock
        self._long_lived = LongLived()
        self._splits_reported = 0
        self._due_at = clock.monotonic()

    def turn(self, assigned: frozenset[Partition]) -> None:
        """Report, if it is due."""
        if self._clock.monotonic() >= self._due_at:
            self.report(assigned)

    def report(self, assigned: frozenset[Partition]) -> None:
        """Report the lag, the streams, the chosen streams' metrics, and series split over partitions."""
        metrics, table, began = self._telemetry.metrics, self._pipeline.table, self._clock.monotonic()
        metrics.source.observe_lag(self._source.lag())
        self._telemetry.observe_streams(stream_counts(self._pipeline, assigned))
        seconds = self._clock.monotonic() - began
        self._due_at = began + max(INTERVAL_SECONDS, seconds / LARGEST_SHARE)
        present = (assigned, table.streams, table.expired, table.evicted)
        metrics.shown.choose(lambda: self._streams(assigned), present, self._clock.monotonic)
        self.freeze_names()
        self._report_splits()

    def freeze_names(self) -> None:
        """Keep new names from the garbage collector."""
        table = self._pipeline.table
        self._long_lived.grown(table.streams, table.streams + table.expired + table.evicted)

    def _streams(self, assigned: frozenset[Partition]) -> Iterator[tuple[Partition, int, SeriesKey]]:
        table = self._pipeline.table
        for partition in sorted(assigned):
            for row in table.stream_rows(partition).tolist():
                yield partition, row, table.key(row)

    def _report_splits(self) -> None:
        splits = self._pipeline.table.splits
        if splits.count > self._splits_reported and splits.example is not None:
            self._splits_reported = splits.count
            self._telemetry.log.warning(
                "series on several partitions: each part is a stream of its own",
                streams=splits.count,
                example=str(splits.example),
                partitions=partition_names(splits.where(splits.example)),
                fix="have producers key records by series, or set source.kafka.partitioning to repartition",
            )


def stream_counts(pipeline: Pipeline, partitions: frozenset[Partition]) -> StreamCounts:
    """What the stream table holds for these partitions."""
    table = pipeline.table
    rows = np.concatenate([np.empty(0, dtype=np.int64), *(table.occupied(p) for p in sorted(partitions))])
    status = table.columns["alert.status"][rows]
    is_group = table.columns[GROUP.name][rows] == IS_GROUP
    rows = rows[~is_group]
    return StreamCounts(
        tracked=table.streams,
        limit=table.max_streams * len(partitions),
        fullest=max((table.places_of(partition) for partition in partitions), default=0) / table.max_streams,
        warmup=int(pipeline.scorer.warming(table.columns, rows).sum()),
        active=sum(_active(pipeline, partition) for partition in partitions),
        fallback=int((pipeline.forecaster.fallback(table.columns, rows) > 0).sum()),
        firing=int((status == AlertStatus.FIRING).sum()),
        pending=int((status == AlertStatus.PENDING).sum()),
        blocks=table.blocks,
        state_bytes=sum(column.nbytes for column in table.columns.values()),
        expired=table.expired,
        evicted=table.evicted,
        split=table.splits.count,
        partitions={one: (table.event_time(one).newest, table.streams_of(one)) for one in partitions},
        skill=pipeline.forecaster.skill(table.columns, rows),
    )


def _active(pipeline: Pipeline, partition: Partition) -> int:
    table = pipeline.table
    rows = table.stream_rows(partition)
    latest, interval = table.columns[LATEST.name][rows], table.columns[INTERVAL.name][rows]
    return int(heard(latest, interval, table.event_time(partition).newest).active.sum())
