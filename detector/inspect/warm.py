"""`detector state warm`: turns history in files into the state of streams, as if a worker had read it.

The samples of all files are sorted by time, go through the pipeline under the partition where the worker will find
their series, and are stored as a snapshot at the offset where the group resumes. Alerts that begin in history are held
back; one that is still open is sent at its stream's first sample, as after `alerts.not_before`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from structlog.typing import FilteringBoundLogger

from detector.config import Config
from detector.decoders import make_decoder
from detector.errors import SourceError, StateOccupied
from detector.inspect.move import store_of
from detector.pipeline import Pipeline
from detector.records import Lineage, Partition, SampleBatch
from detector.routing import behind_router
from detector.routing.lanes import lane_of
from detector.series import SeriesIndex, SeriesKey
from detector.sources.file import SUFFIXES, FileSource
from detector.state.block import Fingerprint
from detector.state.steps import complete
from detector.worker.snapshots import Snapshots

BATCH_SAMPLES = 100_000
END_OF_HISTORY = datetime(2200, 1, 1, tzinfo=UTC)
"""No sample is newer."""
COLUMNS = ("series", "times", "values", "kinds", "outcomes", "offsets", "record_times")


def quiet(config: Config) -> Config:
    """The configuration of a pipeline that sends no alerts."""
    return config.model_copy(update={"alerts": config.alerts.model_copy(update={"not_before": END_OF_HISTORY})})


def warm_from(
    config: Config,
    files: Sequence[Path],
    pipeline: Pipeline,
    fingerprint: Fingerprint,
    log: FilteringBoundLogger,
    *,
    force: bool,
    while_running: bool,
) -> list[str]:
    """Load the lines of `files`, decoded as configured, into the configured store; returns what was done.

    `pipeline` is that of `quiet(config)`. All samples are held in memory, about 60 bytes each. Raises SourceError,
    StateError.
    """
    from detector.sources.kafka.places import places

    target = behind_router(config) if config.is_routed else config
    topic = _only_topic(target)
    index = SeriesIndex()
    history = _read(config, files, index)
    with ExitStack() as stack:
        store = stack.enter_context(store_of(target, while_running=while_running))
        found = places(target.kafka, target.source.kafka, topic)
        lane_of_series = _lanes(config, len(found), index)
        before = {partition: set(complete(store.opening(partition))) for partition in found}
        full = [f"{name}/{number}" for (name, number), blobs in before.items() if blobs]
        if full and not force:
            raise StateOccupied(f"there is state of {', '.join(full)} in the store; --force replaces it")
        lanes_N = lane_of_series[history.series]
        for lane in np.unique(lanes_N).tolist():
            _play(pipeline, (topic, lane), history, np.flatnonzero(lanes_N == lane), index)
        snapshots = Snapshots(store, pipeline.table, fingerprint, "rewarm", log)
        _store(snapshots, found, config.state.flush_timeout_seconds)
        for partition, names in before.items():
            store.delete(partition, names)
        store.flush(config.state.flush_timeout_seconds)
    return [
        f"{name}/{number} resumes at offset {offset}, {pipeline.table.streams_of((name, number))} streams"
        for (name, number), (offset, _) in found.items()
    ]


def _only_topic(target: Config) -> str:
    kafka = target.source.kafka
    if target.source.type != "kafka" or len(kafka.topics) != 1:
        raise SourceError(
            "history can be loaded for one topic: set source.type to kafka, and one of source.kafka.topics"
        )
    return kafka.topics[0]


def _lanes(config: Config, partitions: int, index: SeriesIndex) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """[series] the partition where a worker will find it."""
    if config.is_routed:
        by = config.groups.by
        return np.array([lane_of(index.key(handle), partitions, by) for handle in range(len(index))], dtype=np.int64)
    if partitions == 1:
        return np.zeros(len(index), dtype=np.int64)
    raise SourceError(
        f"the topic has {partitions} partitions, and only its producers know which one a series is on: let the group "
        "begin in the past instead (source.kafka.start), or use source.kafka.partitioning: repartition"
    )


def _read(config: Config, files: Sequence[Path], index: SeriesIndex) -> SampleBatch:
    """All samples of the files, sorted by time."""
    source = FileSource([str(path) for path in files], time, suffixes=SUFFIXES[config.decoder.type])
    decoder = make_decoder(config.decoder)
    parts: list[SampleBatch] = []
    rejects: list[str] = []
    source.resume(source.changes().assigned)
    while not source.exhausted:
        for batch in source.poll(0.0):
            samples = decoder.decode(batch, index)
            parts.append(samples)
            rejects += [f"line {one.offset} of {batch.topic} ({one.reason}: {one.detail})" for one in samples.rejects]
    if rejects:
        raise SourceError(
            f"{', '.join(map(str, files))}: {len(rejects)} lines cannot be decoded with decoder.type "
            f"{config.decoder.type}, the first is {rejects[0]}; history is loaded completely or not at all"
        )
    if not any(map(len, parts)):
        raise SourceError(f"{', '.join(map(str, files))}: no sample to start with")
    times = np.concatenate([part.times for part in parts])
    order = np.argsort(times, kind="stable")
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in COLUMNS}
    return SampleBatch("history", 0, **columns)


def _play(
    pipeline: Pipeline,
    partition: Partition,
    history: SampleBatch,
    picks: np.ndarray[tuple[int], np.dtype[np.int64]],
    index: SeriesIndex,
) -> None:
    """Run these samples through the pipeline, as records of the partition."""
    theirs = pipeline.table.series(partition)
    for first in range(0, len(picks), BATCH_SAMPLES):
        some = picks[first : first + BATCH_SAMPLES]
        columns: dict[str, Any] = {name: getattr(history, name)[some] for name in COLUMNS}
        handles, which = np.unique(columns["series"], return_inverse=True)
        keys: list[SeriesKey] = [index.key(handle) for handle in handles.tolist()]
        columns["series"] = np.array([theirs.intern(key) for key in keys], dtype=np.int64)[which]
        pipeline.process(SampleBatch(*partition, **columns), expire=True)


def _store(snapshots: Snapshots, found: Mapping[Partition, tuple[int, Lineage]], timeout_seconds: float) -> None:
    """Write a snapshot of each partition: the blocks, then the manifest that makes them a snapshot."""
    offsets = {partition: offset for partition, (offset, _) in found.items()}
    lineages = {partition: lineage for partition, (_, lineage) in found.items()}
    with snapshots.cut(offsets, lineages, swap=False) as cuts:
        for cut in cuts:
            for _ in snapshots.write_blocks(cut):
                pass
        snapshots.store.flush(timeout_seconds)
        for cut in cuts:
            snapshots.write_manifest(cut)
        snapshots.store.flush(timeout_seconds)
        for cut in cuts:
            snapshots.settle(cut)
