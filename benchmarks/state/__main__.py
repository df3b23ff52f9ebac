"""`python -m benchmarks.state [--streams N ...] [--partitions P] [--kafka | --memory] [--json FILE]`: its costs.

Per number of streams: bytes of a full checkpoint, the pauses that it puts between batches while every stream changes,
how long all of it takes, and how long a restore takes. `--kafka` adds the topic store, with a broker that is started
for the run (Java and Maven are needed). `--memory` measures the memory of a stream instead, names and index included,
also during a checkpoint, which copies blocks: a million streams take 10 GB.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import structlog

from benchmarks import json_file
from detector.app import build_pipeline
from detector.clock import SystemClock
from detector.columns import BlockState
from detector.config import Config
from detector.config.schema import Kafka
from detector.models.fingerprint import fingerprint
from detector.pipeline import Pipeline
from detector.process.garbage import LongLived
from detector.protocols import StateStore
from detector.records import Partition, SampleBatch
from detector.series import SeriesKey
from detector.state.directory import DirectoryStore
from detector.state.kafka import KafkaStore
from detector.state.steps import complete
from detector.streams.table import StreamTable
from detector.telemetry import Metrics, new_registry
from detector.testing import LogSource
from detector.worker.checkpoint import Checkpoints
from detector.worker.outlets import Outlets
from detector.worker.snapshots import Snapshots
from tests.kafka.cluster import Cluster

TOPIC = "metrics"
BATCH = 20_000
MIB = 1 << 20


class Load:
    """Samples of all streams, one after the other, in batches of one partition."""

    def __init__(self, streams: int, partitions: int) -> None:
        self.pipeline = build_pipeline(Config.model_validate({"streams": {"max_streams_per_partition": streams}}))
        self.partitions: list[Partition] = [(TOPIC, number) for number in range(partitions)]
        self.positions = dict.fromkeys(self.partitions, 0)
        self.batches: list[SampleBatch] = []
        for partition in self.partitions:
            count, index = streams // partitions, self.pipeline.table.series(partition)
            keys = [SeriesKey.of("cpu_usage", {"host": f"host-{n:06d}", "core": "0"}) for n in range(count)]
            handles = np.array([index.intern(key) for key in keys], dtype=np.int64)
            for first in range(0, count, BATCH):
                self.batches.append(_batch(partition, handles[first : first + BATCH]))
        self.at = 0

    def step(self) -> float:
        """Process the next batch; its seconds."""
        one = self.batches[self.at % len(self.batches)]
        times = one.times + 60.0 * (self.at // len(self.batches))
        self.at += 1
        began = perf_counter()
        self.pipeline.process(_with_times(one, times), expire=True)
        self.positions[one.topic, one.partition] += len(one)
        return perf_counter() - began


def _batch(partition: Partition, handles: np.ndarray) -> SampleBatch:
    count = len(handles)
    return SampleBatch(
        *partition,
        series=handles,
        times=np.full(count, 1.7e9),
        values=np.random.default_rng(0).normal(size=count),
        kinds=np.zeros(count, np.uint8),
        outcomes=np.zeros(count, np.uint8),
        offsets=np.arange(count),
        record_times=np.full(count, np.nan),
    )


def _with_times(one: SampleBatch, times: np.ndarray) -> SampleBatch:
    return SampleBatch(
        one.topic, one.partition, one.series, times, one.values, one.kinds, one.outcomes, one.offsets, one.record_times
    )


class Copies:
    """Time that processing spends on copying blocks because a checkpoint was promised them."""

    def __init__(self, table: StreamTable) -> None:
        self.seconds = 0.0
        self._copy = table._copies._copy
        table._copies._copy = self

    def __call__(self, block: int) -> BlockState:
        began = perf_counter()
        copy = self._copy(block)
        self.seconds += perf_counter() - began
        return copy


def snapshots_of(pipeline: Pipeline, store: StateStore) -> Snapshots:
    return Snapshots(store, pipeline.table, fingerprint(pipeline.model, "cpu", 1), "refuse", structlog.get_logger())


def checkpoint(load: Load, store: StateStore) -> dict[str, float]:
    """A full checkpoint under load."""
    snapshots, copies = snapshots_of(load.pipeline, store), Copies(load.pipeline.table)
    source = LogSource({partition: [] for partition in load.partitions}, {})
    metrics, log = Metrics(new_registry()), structlog.get_logger()
    checkpoints = Checkpoints(
        source,
        Outlets((), None, metrics.worker, log),
        snapshots,
        metrics,
        log,
        SystemClock(),
        interval_seconds=0.0,
        timeout_seconds=600.0,
    )
    pauses, began = [], perf_counter()
    while not source.committed:
        before, start = copies.seconds, perf_counter()
        checkpoints.turn(load.positions)
        slice_seconds, taken = perf_counter() - start, copies.seconds
        load.step()
        # A pause is what a batch waits for: the slice before it, and the copies that it makes itself.
        pauses.append(slice_seconds + copies.seconds - taken)
        assert copies.seconds >= before
    seconds = perf_counter() - began
    checkpoints.abandon()
    return {
        "checkpoint_mib": snapshots.bytes_written / MIB,
        "longest_pause_ms": 1e3 * max(pauses),
        "median_pause_ms": 1e3 * float(np.median(pauses)),
        "turns": len(pauses),
        "checkpoint_seconds": seconds,
    }


def restore(streams: int, load: Load, store: StateStore) -> float:
    """Seconds until a fresh process has all partitions."""
    pipeline = build_pipeline(Config.model_validate({"streams": {"max_streams_per_partition": streams}}))
    snapshots = snapshots_of(pipeline, store)
    began = perf_counter()
    for partition in load.partitions:
        assert complete(snapshots.restore(partition)) is not None
    seconds = perf_counter() - began
    assert pipeline.table.streams == load.pipeline.table.streams
    return seconds


def resident_bytes() -> int:
    """Of this process, now."""
    return psutil.Process().memory_info().rss


def peak_bytes() -> int:
    """Of this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory(streams: int, partitions: int, store: StateStore) -> dict[str, float]:
    """Bytes a stream, in a process that has the program and torch loaded already."""
    build_pipeline(Config())
    before = resident_bytes()
    load = Load(streams, partitions)
    named = resident_bytes()
    for _ in range(2 * len(load.batches)):
        load.step()
    resident, growing = resident_bytes(), peak_bytes()
    checkpoint(load, store)
    store.close(10.0)
    return {
        "streams": load.pipeline.table.streams,
        "partitions": partitions,
        "state_bytes_per_stream": load.pipeline.table.bytes_per_stream,
        "name_bytes_per_stream": (named - before) / streams,
        "resident_bytes_per_stream": (resident - before) / streams,
        "peak_bytes_per_stream_while_growing": (growing - before) / streams,
        "peak_bytes_per_stream_at_a_checkpoint": (peak_bytes() - before) / streams,
    }


def measure(streams: int, partitions: int, make: Callable[[], StateStore]) -> dict[str, float]:
    load = Load(streams, partitions)
    for _ in range(2 * len(load.batches)):
        load.step()
    LongLived().grown(load.pipeline.table.streams, load.pipeline.table.streams)  # as the worker does
    store = make()
    checkpoint(load, store)
    figures: dict[str, float] = {
        "streams": load.pipeline.table.streams,
        "partitions": partitions,
        "state_bytes_per_stream": load.pipeline.table.bytes_per_stream,
        **checkpoint(load, store),  # the second one: the first also makes the memory for copies
    }
    store.close(10.0)
    again = make()
    figures["restore_seconds"] = restore(streams, load, again)
    again.close(10.0)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", type=json_file.destination)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def report(row: dict[str, Any]) -> None:
        rows.append(row)
        print(", ".join(f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(Cluster(folder / "kafka")) if options.kafka else None
        for streams in options.streams:
            make: Callable[[], StateStore] = partial(DirectoryStore, folder / str(streams), "benchmark")
            if options.memory:
                report(memory(streams, options.partitions, make()))
                continue
            report({"store": "directory", **measure(streams, options.partitions, make)})
            if cluster is not None:
                topic = cluster.endpoint.create_topic(partitions=options.partitions, cleanup_policy="compact")
                connection = Kafka(bootstrap_servers=[cluster.bootstrap])
                make = partial(KafkaStore, connection, topic, [], "benchmark", timeout_seconds=120.0)
                report({"store": "kafka", **measure(streams, options.partitions, make)})
    json_file.write(options.json, rows)


if __name__ == "__main__":
    main()
