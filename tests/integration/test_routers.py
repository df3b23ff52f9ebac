"""Two workers with `partitioning: repartition`: a second one starts and stops under load."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from detector.alerts import AlertRecord
from detector.app import build_pipeline
from detector.config import Config
from detector.decoders import DECODERS
from detector.pipeline import Pipeline
from detector.records import Outcome, RawBatch
from detector.routing import behind_router
from detector.series import SeriesIndex
from tests.integration.daemon import Daemon
from tests.integration.test_state import assert_same, stored
from tests.kafka.endpoint import Endpoint, eventually

pytestmark = pytest.mark.integration

INPUTS, LANES, STREAMS = 3, 4, 30
START, STEP_SECONDS, STEPS_A_TICK = 1_700_000_000, 60, 5
OUTCOMES = {"scored": Outcome.SCORED, "warmup": Outcome.WARMUP, "late": Outcome.LATE, "duplicate": Outcome.DUPLICATE}
Sample = tuple[str, float, float]
"""Name, time, value."""


class Load:
    """A producer without keys, at work until the context ends: each sample is on any partition, in order of time."""

    def __init__(self, kafka: Endpoint, topic: str) -> None:
        self.kafka, self.topic = kafka, topic
        self.sent: list[Sample] = []
        self.counts = [0] * INPUTS
        self._rng = np.random.default_rng(7)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Idempotent."""
        self._ended.set()
        self._thread.join()

    def wait(self, samples: int) -> None:
        """Until so many more were sent."""
        end = len(self.sent) + samples
        eventually(lambda: len(self.sent) >= end, "samples are produced")

    def _run(self) -> None:
        step = 0
        while not self._ended.wait(0.05):
            parts: list[list[Sample]] = [[] for _ in range(INPUTS)]
            for at in range(step, step + STEPS_A_TICK):
                for stream in range(STREAMS):
                    value = 1e4 if at > 60 and self._rng.random() < 0.01 else float(self._rng.normal())
                    parts[self._rng.integers(INPUTS)].append((f"s{stream}", START + STEP_SECONDS * at, value))
            self.send(parts)
            step += STEPS_A_TICK

    def send(self, parts: list[list[Sample]]) -> None:
        """Write to each partition what is its."""
        for number, part in enumerate(parts):
            values = [json.dumps({"name": n, "timestamp": t, "value": v}).encode() for n, t, v in part]
            times = [round(1e3 * at) for _, at, _ in part]
            self.kafka.produce(self.topic, values, partition=number, timestamps_ms=times)
            self.counts[number] += len(part)
            self.sent += part


class Setting:
    """Topics and a configuration."""

    def __init__(self, kafka: Endpoint, folder: Path) -> None:
        self.kafka, self.group = kafka, kafka.name("group")
        # The times of records must not make the broker delete what it is given.
        self.input = kafka.create_topic(partitions=INPUTS, retention_ms=-1)
        self.lanes = kafka.create_topic(partitions=LANES, retention_ms=-1)
        self.alerts = kafka.create_topic()
        self.settings: dict[str, Any] = {
            "kafka": {"bootstrap_servers": [kafka.bootstrap]},
            "source": {
                "kafka": {
                    "topics": [self.input],
                    "group_id": self.group,
                    "start": "earliest",
                    "partitioning": "repartition",
                    "repartition_topic": self.lanes,
                    "session_timeout_seconds": 30.0,
                }
            },
            "scoring": {"warmup_samples": 20},
            "sinks": {"kafka": {"topic": self.alerts}},
            "state": {"directory": {"path": str(folder / "state")}},
            "checkpoint": {"interval_seconds": 0.2},
        }
        self.config = Config.model_validate(self.settings)

    def wait_until_read(self, counts: list[int]) -> None:
        def reached(group: str, topic: str, ends: list[int]) -> bool:
            return [self.kafka.committed(group, topic, number) for number in range(len(ends))] == ends

        eventually(lambda: reached(f"{self.group}-router", self.input, counts), "everything is routed")
        ends = [self.kafka.end_offset(self.lanes, lane) for lane in range(LANES)]
        eventually(lambda: reached(self.group, self.lanes, ends), "everything is read")

    def routed(self) -> list[RawBatch]:
        """What is on the internal topic."""
        ends = [self.kafka.end_offset(self.lanes, lane) for lane in range(LANES)]
        found = defaultdict(list)
        for message in self.kafka.read(self.lanes, sum(ends)):
            found[message.partition()].append(message.value())
        return [
            RawBatch(self.lanes, lane, np.arange(end), np.full(end, np.nan), found[lane], [None] * end)
            for lane, end in enumerate(ends)
        ]


def samples_of(batches: list[RawBatch]) -> set[Sample]:
    """Every sample that these records of the internal topic hold."""
    found: set[Sample] = set()
    for batch in batches:
        series = SeriesIndex()
        samples = DECODERS["routed"](behind_router(Config()).decoder).decode(batch, series)
        names = [series.key(handle).name for handle in samples.series.tolist()]
        found |= set(zip(names, samples.times.tolist(), samples.values.tolist(), strict=True))
    return found


def undisturbed(config: Config, batches: list[RawBatch]) -> tuple[Pipeline, Counter[int], dict[str, set[bytes]]]:
    """State, outcomes and alerts of a single worker that reads the internal topic."""
    pipeline, decoder = build_pipeline(config), DECODERS["routed"](behind_router(config).decoder)
    encode = AlertRecord({}, f"detector/{config.source.kafka.group_id}")
    outcomes: Counter[int] = Counter()
    alerts: dict[str, set[bytes]] = {}
    for batch in batches:
        samples = decoder.decode(batch, pipeline.table.series((batch.topic, batch.partition)))
        scored = pipeline.process(samples, expire=True)
        outcomes.update(scored.outcomes.tolist())
        for message in map(encode, scored.alerts):
            alerts[dict(message.headers)["ce_id"].decode()] = {message.value or b""}
    return pipeline, outcomes, alerts


def final_outcomes(daemon: Daemon) -> Counter[str]:
    """Outcomes of a daemon that has ended, from its last log line."""
    lines = map(json.loads, daemon.log.read_text().splitlines())
    (found,) = [Counter(line["samples"]) for line in lines if line["event"] == "stopped"]
    assert found.keys() <= OUTCOMES.keys()
    return found


def test_g1_g2_g16_no_sample_is_lost_or_counted_twice_when_a_second_router_starts_and_stops(
    kafka: Endpoint, tmp_path: Path
) -> None:
    setting = Setting(kafka, tmp_path)
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with Daemon(folders[0], setting.settings) as first, Load(kafka, setting.input) as load:
        first.wait_until_ready()
        with Daemon(folders[1], setting.settings) as second:
            second.wait_until_ready()
            eventually(lambda: second.metric("detector_samples_routed_total") > 500, "the second one routes")
            eventually(lambda: second.metric("detector_samples_consumed_total") > 500, "and scores")
            # A member so slow that it misses the generation loses everything: another test covers that.
            eventually(lambda: 0 < first.metric("detector_partitions_assigned") < LANES, "the first one has given some")
            assert second.terminate() == 0
        load.wait(1_000)
        load.end()
        newest = max(at for _, at, _ in load.sent)
        for number, at in enumerate([newest, newest - 7.0]):  # nobody waits for what is not there yet
            load.send([[("s0", at + 3_600, 1.0)] if number == part else [] for part in range(INPUTS)])
            setting.wait_until_read(load.counts)
        consumed = partial(first.metric, "detector_samples_consumed_total")
        eventually(lambda: first.metric("detector_samples_total") == consumed() > 0, "each sample has one outcome")
        assert first.terminate() == 0
    outcomes = final_outcomes(first) + final_outcomes(second)
    assert outcomes["late"] > 0

    routed = setting.routed()
    assert samples_of(routed) == set(load.sent)
    pipeline, expected, alerts = undisturbed(setting.config, routed)
    assert outcomes == Counter({name: expected[outcome] for name, outcome in OUTCOMES.items()})
    for lane in range(LANES):
        offset, blocks = stored(behind_router(setting.config), pipeline, (setting.lanes, lane))
        assert offset == kafka.end_offset(setting.lanes, lane)
        assert_same(blocks, pipeline, (setting.lanes, lane))
    found: dict[str, set[bytes]] = defaultdict(set)
    for message in kafka.read(setting.alerts, kafka.end_offset(setting.alerts)):
        found[dict(message.headers())["ce_id"].decode()].add(message.value())
    assert len(alerts) > 5
    assert found == alerts
