"""An input whose producers write without keys, and the results of an undisturbed reader of a single partition."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from detector.config.decoder import Decoder as DecoderSettings
from detector.decoders import DECODERS
from detector.errors import DeliveryError
from detector.pipeline import Pipeline
from detector.protocols import Message
from detector.records import Partition, RawBatch, SampleBatch, ScoredBatch
from detector.routing import Router
from detector.routing.lanes import Lanes, lane_of
from detector.sinks.dead_letter import DeadLetterRecord
from detector.telemetry import Metrics, new_registry
from detector.testing import ListSink, LogSource, ManualClock, log_to
from detector.worker.outlets import Outlet, Outlets

START = 1_700_000_000.0
LANES = 3
NOT_ITS_OWN = ("alert.worst_offset", "table.sighted")
"""Columns that hold something else than what is known of the row's stream."""
Timed = tuple[float, bytes]
"""Record time and value."""


def make_input(seed: int, partitions: int = 3, streams: int = 7, steps: int = 60) -> dict[Partition, list[Timed]]:
    """Every series on every partition, in order of time within each; some late and broken records."""
    rng = np.random.default_rng(seed)
    log: dict[Partition, list[Timed]] = {("in", number): [] for number in range(partitions)}
    for step in range(steps):
        for turn, stream in enumerate(rng.permutation(streams).tolist()):
            at = START + 60 * step + 0.25 * turn
            shift = float(rng.choice([0, 0, 0, 0, -600]))
            value = 1e4 if step > 30 and rng.random() < 0.02 else float(rng.normal())
            name = f"s{stream}" + "_total" * (stream == 0)
            sample = {"name": name, "timestamp": START + 60 * step + stream + shift, "value": value}
            log["in", int(rng.integers(partitions))].append((at, json.dumps(sample).encode()))
        if rng.random() < 0.1:
            log["in", int(rng.integers(partitions))].append((at, b"{broken"))
    return log


class TimedLog(LogSource):
    """A topic of records with times."""

    def __init__(
        self, log: dict[Partition, list[Timed]], committed: dict[Partition, int], sizes: Callable[[], int]
    ) -> None:
        super().__init__({partition: [v for _, v in found] for partition, found in log.items()}, committed, sizes)
        self.times = {partition: np.array([time for time, _ in found]) for partition, found in log.items()}

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        return [
            RawBatch(
                batch.topic,
                batch.partition,
                batch.offsets,
                self.times[batch.topic, batch.partition][batch.offsets],
                batch.values,
                batch.keys,
            )
            for batch in super().poll(timeout_seconds)
        ]


@dataclass
class Topic:
    """The internal topic."""

    lanes: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(LANES)])

    def append(self, message: Message) -> None:
        assert message.partition is not None
        assert message.value is not None
        self.lanes[message.partition].append(message.value)


class TopicSink(ListSink):
    """Records reach the topic at a flush; at a crash, a first part of each lane's records."""

    def __init__(self, topic: Topic) -> None:
        super().__init__()
        self.topic = topic
        self.room = math.inf
        """How many more messages it accepts."""

    def send(self, message: Message) -> None:
        if self.room <= 0:
            raise DeliveryError("too many messages are not acknowledged")
        self.room -= 1
        super().send(message)

    def flush(self, timeout_seconds: float) -> None:
        super().flush(timeout_seconds)
        for message in self.sent:
            self.topic.append(message)
        self.sent = []

    def crash(self, rng: np.random.Generator) -> None:
        for lane in range(LANES):
            waiting = [message for message in self.sent if message.partition == lane]
            for message in waiting[: int(rng.integers(0, len(waiting) + 1))]:
                self.topic.append(message)


class RouterLife:
    """One process with a router."""

    def __init__(
        self,
        log: dict[Partition, list[Timed]],
        committed: dict[Partition, int],
        topic: Topic,
        rng: np.random.Generator,
        *,
        interval_seconds: float = 1e9,
        max_pending: int = 50,
        max_series: int = 1_000,
    ) -> None:
        self.sink, self.rejects, self.clock = TopicSink(topic), ListSink(), ManualClock(START + 86_400.0)
        self.source = TimedLog(log, committed, lambda: max(0, int(rng.integers(-20, 40))))
        self.metrics, self.log = Metrics(new_registry()), io.StringIO()
        logger = log_to(self.log)
        outlets = Outlets((), Outlet("dead_letter", self.rejects, DeadLetterRecord(64)), self.metrics.worker, logger)
        self.router = Router(
            self.source,
            DECODERS["json"](DecoderSettings()),
            self.sink,
            Lanes(LANES, max_series),
            outlets,
            self.metrics,
            logger,
            self.clock,
            interval_seconds=interval_seconds,
            timeout_seconds=1.0,
            max_pending=max_pending,
        )

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.router.turn()
            self.clock.advance(0.1)

    def run(self) -> None:
        """Run to the end of the input."""
        while any(self.source.lag().values()) or self.source.pending_changes:
            self.turns(1)
        self.router.checkpoint(1.0)


def scored(pipeline: Pipeline, topic: Topic, cut: Callable[[], int] = lambda: 1_000) -> list[ScoredBatch]:
    """The results of a worker that reads the internal topic."""
    decoder, found = DECODERS["routed"](DecoderSettings()), []
    for lane, values in enumerate(topic.lanes):
        first = 0
        while first < len(values):
            part = values[first : first + cut()]
            batch = RawBatch(
                "lanes",
                lane,
                np.arange(first, first + len(part)),
                np.full(len(part), np.nan),
                list(part),
                [None] * len(part),
            )
            samples = decoder.decode(batch, pipeline.table.series(("lanes", lane)))
            assert not samples.rejects
            found.append(pipeline.process(samples, expire=True))
            first += len(part)
    return found


def undisturbed(
    pipeline: Pipeline,
    log: dict[Partition, list[Timed]],
    settings: DecoderSettings | None = None,
    topic: str = "lanes",
) -> list[ScoredBatch]:
    """Results for the same records on a single partition, in order of their times, without a router."""
    config = settings or DecoderSettings()
    records = sorted(
        ((time, number, value) for (_, number), found in log.items() for time, value in found),
        key=lambda record: record[:2],
    )
    batch = RawBatch(
        "lanes",
        0,
        np.arange(len(records)),
        np.array([time for time, _, _ in records]),
        [value for *_, value in records],
        [None] * len(records),
    )
    series = pipeline.table.series(("all", 0))
    samples = DECODERS[config.type](config).decode(batch, series)
    lanes = np.array([lane_of(series.key(handle), LANES) for handle in samples.series.tolist()])
    found = []
    for lane in range(LANES):
        picks, index = np.flatnonzero(lanes == lane), pipeline.table.series((topic, lane))
        handles = [index.intern(series.key(handle)) for handle in samples.series[picks].tolist()]
        columns = {
            name: getattr(samples, name)[picks]
            for name in ("times", "values", "kinds", "outcomes", "offsets", "record_times")
        }
        found.append(
            pipeline.process(SampleBatch(topic, lane, series=np.array(handles, dtype=np.int64), **columns), expire=True)
        )
    return found


def states(pipeline: Pipeline, topic: str = "lanes") -> dict[tuple[int, str], dict[str, bytes]]:
    """(lane, series) -> its state."""
    found = {}
    for lane in range(LANES):
        for row in pipeline.table.occupied((topic, lane)).tolist():
            columns = {
                name: column[row].tobytes()
                for name, column in pipeline.table.columns.items()
                if name not in NOT_ITS_OWN
            }
            found[lane, str(pipeline.table.key(row))] = columns
    return found


def alerts(batches: list[ScoredBatch]) -> list[tuple[str, str, float, float]]:
    return sorted(
        (alert.id, alert.status.name, alert.time, alert.anomaly_score) for each in batches for alert in each.alerts
    )
