"""A store with the state of real streams, as workers write it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from detector.app import build_pipeline
from detector.config import Config
from detector.models.fingerprint import fingerprint
from detector.pipeline import Pipeline
from detector.protocols import StateStore
from detector.records import Alert, Lineage, Partition, SampleBatch
from detector.series import SeriesKey
from detector.state import STORES
from detector.telemetry import Metrics, new_registry
from detector.testing import LogSource, log_to
from detector.worker.checkpoint import checkpoint
from detector.worker.outlets import Outlets
from detector.worker.snapshots import Snapshots

START = 1_700_000_000.0
PARTITIONS: list[Partition] = [("metrics", 0), ("metrics", 1)]
LINEAGE = Lineage("11111111-2222-3333-4444-555555555555", 4)
STREAMS = {("metrics", 0): 300, ("metrics", 1): 3}


def directory_config(folder: Path, **more: Any) -> Config:
    return Config.model_validate({"state": {"type": "directory", "directory": {"path": str(folder)}}, **more})


def key(number: int) -> SeriesKey:
    return SeriesKey.of("cpu", {"host": f"h{number}"})


class Stock:
    """A worker's pipeline and snapshots, driven by hand."""

    def __init__(self, config: Config, store: StateStore | None = None) -> None:
        made = store or STORES[config.state.type](config)
        assert made is not None
        self.config, self.store = config, made
        self.pipeline: Pipeline = build_pipeline(config)
        ours = fingerprint(self.pipeline.model, config.model.device, config.model.threads)
        log = log_to(io.StringIO())
        self.snapshots = Snapshots(self.store, self.pipeline.table, ours, "refuse", log)
        self.outlets = Outlets((), None, Metrics(new_registry()).worker, log)
        self.positions = dict.fromkeys(PARTITIONS, 0)
        self.source = LogSource({partition: [] for partition in PARTITIONS}, {})
        self.source.lineages = dict.fromkeys(PARTITIONS, LINEAGE)

    def feed(self, steps: int, spike: float = 0.0, silent: int = 0) -> list[Alert]:
        """So many samples of each stream, a minute apart; the last one with something on top for stream 0.

        The last `silent` streams of a partition have none.
        """
        alerts: list[Alert] = []
        for step in range(steps):
            for partition, known in STREAMS.items():
                count = known - silent
                index, at = self.pipeline.table.series(partition), START + 60.0 * self.positions[partition]
                values = np.sin(np.arange(count) + at / 600.0)
                values[0] += spike if step == steps - 1 else 0.0
                handles = np.array([index.intern(key(number)) for number in range(count)], dtype=np.int64)
                batch = _batch(partition, handles, np.full(count, at), values)
                alerts += self.pipeline.process(batch, expire=True).alerts
                self.positions[partition] += 1
        return alerts

    def checkpoint(self) -> None:
        for _ in checkpoint(self.source, self.outlets, self.snapshots, dict(self.positions), 60.0):
            pass

    def two_snapshots(self) -> None:
        """At offsets 70 and 80; an alert of stream 0 of each partition is open in the newer one."""
        self.feed(70)
        self.checkpoint()
        self.feed(10, spike=1e3)
        self.checkpoint()
        self.store.close(5.0)


def _batch(partition: Partition, handles: np.ndarray, times: np.ndarray, values: np.ndarray) -> SampleBatch:
    count = len(handles)
    return SampleBatch(
        *partition,
        series=handles,
        times=times,
        values=values,
        kinds=np.zeros(count, np.uint8),
        outcomes=np.zeros(count, np.uint8),
        offsets=np.arange(count),
        record_times=np.full(count, np.nan),
    )
