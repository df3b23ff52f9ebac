"""Continual learning with a real broker: the daemon learns, swaps weights and is killed; a repeated commit."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from detector.alerts import AlertRecord
from detector.app import build_pipeline
from detector.config import Config
from detector.decoders import DECODERS
from detector.errors import MemberFenced
from detector.learning.versions import Chain, Versions
from detector.models.fingerprint import fingerprint
from detector.models.forecaster import Forecaster
from detector.models.weights import load, save
from detector.pipeline import Pipeline
from detector.records import RawBatch
from detector.state import STORES
from detector.state.history import Restored, newest
from detector.state.steps import complete
from tests.integration.daemon import Daemon
from tests.integration.driving import MakeSource, drive, read
from tests.integration.test_state import assert_same
from tests.kafka.endpoint import Endpoint, eventually
from tests.learning.fleet import START, untrained, values

pytestmark = pytest.mark.integration

PARTITIONS, STREAMS, STEPS = 2, 24, 200
A_STEP = STREAMS // PARTITIONS
"""Records of a partition in which each of its streams has one sample."""
REMEMBERED = 128
LEARN = {"mode": "continual", "cpu_share": 1.0, "streams": STREAMS, "samples": REMEMBERED, "learning_rate": 0.01}


class Fleet:
    """Streams of two partitions, a daemon's configuration for them, and what an undisturbed run makes of them."""

    def __init__(self, kafka: Endpoint, folder: Path) -> None:
        self.kafka = kafka
        self.topic, self.alerts = kafka.create_topic(partitions=PARTITIONS), kafka.create_topic()
        self.group = kafka.name("group")
        # A network that thinks that its errors are far larger than they are: there is something to learn.
        save(untrained(log_scale=2.0).backbone, folder / "weights.safetensors", {})
        self.settings: dict[str, Any] = {
            "kafka": {"bootstrap_servers": [kafka.bootstrap]},
            "source": {
                "kafka": {
                    "topics": [self.topic],
                    "group_id": self.group,
                    "group_instance_id": "one",
                    "start": "earliest",
                    "max_poll_records": 100,
                }
            },
            "sinks": {"kafka": {"topic": self.alerts}},
            "model": {"weights": str(folder / "weights.safetensors")},
            "learning": {**LEARN, "interval_seconds": 6.0},
            "state": {"directory": {"path": str(folder / "state")}},
            "checkpoint": {"interval_seconds": 0.1},
        }
        self.produced = 0
        wave_ST = values(STREAMS, STEPS, seed=3)
        rng = np.random.default_rng(3)
        wave_ST[:, 120:] += 300.0 * (rng.random((STREAMS, STEPS - 120)) < 0.01)
        self.log: list[list[bytes | None]] = [[] for _ in range(PARTITIONS)]
        for step in range(STEPS):
            for stream in range(STREAMS):
                sample = {"name": f"s{stream}", "timestamp": START + 60 * step, "value": wave_ST[stream, step]}
                self.log[stream % PARTITIONS].append(json.dumps(sample).encode())

    def produce(self, count: int) -> None:
        """The next records of every partition."""
        for number, records in enumerate(self.log):
            self.kafka.produce(self.topic, records[self.produced : self.produced + count], partition=number)
        self.produced += count

    def wait_until_read(self) -> None:
        """Until all that was produced is committed."""
        for number in range(PARTITIONS):
            eventually(
                lambda n=number: self.kafka.committed(self.group, self.topic, n) == self.produced,  # type: ignore[misc]
                "all is committed",
            )

    def stored(self, number: int) -> Restored:
        """What the store holds of a partition, which must be whole."""
        config = Config.model_validate(self.settings)
        pipeline, partition = build_pipeline(config), (self.topic, number)
        store = STORES["directory"](config)
        assert store is not None
        damage: list[str] = []
        ours = fingerprint(pipeline.model, config.model.device, config.model.threads)
        try:
            stored, fields = complete(store.opening(partition)), pipeline.table.fields
            found = complete(newest(stored, partition, fields, ours, lambda *_: damage.append("!")))
        finally:
            store.close(5.0)
        assert found is not None
        assert not damage
        return found

    def undisturbed(self, swaps: list[tuple[int, Chain]]) -> tuple[Pipeline, dict[str, bytes]]:
        """The pipeline after the whole log, each partition's weights swapped at its offset, and the alerts by id."""
        config = Config.model_validate(self.settings)
        pipeline, decoder = build_pipeline(config), DECODERS["json"](config.decoder)
        versions = Versions(pipeline, load(Path(self.settings["model"]["weights"])), Forecaster)
        encode, alerts = AlertRecord({}, f"detector/{self.group}"), {}
        for number, (records, (swap, chain)) in enumerate(zip(self.log, swaps, strict=True)):
            for first, end in ((0, swap), (swap, len(records))):
                if first:
                    versions.use((self.topic, number), chain)
                some = records[first:end]
                offsets, no_times = np.arange(first, end), np.full(len(some), np.nan)
                batch = RawBatch(self.topic, number, offsets, no_times, some, [None] * len(some))
                samples = decoder.decode(batch, pipeline.table.series((self.topic, number)))
                for alert in pipeline.process(samples, expire=True).alerts:
                    message = encode(alert)
                    alerts[dict(message.headers)["ce_id"].decode()] = message.value or b""
        return pipeline, alerts


def learning_seconds(daemon: Daemon) -> list[float]:
    """CPU time of the rounds in progress.

    They run at the lowest priority, which on a busy machine is next to none, and with the usual one where it may be
    raised.
    """
    found = []
    for child in psutil.Process(daemon.process.pid).children():
        with suppress(psutil.Error):
            with suppress(psutil.AccessDenied):
                child.nice(0)
            found.append(child.cpu_times().user)
    return found


def test_g1_g2_state_and_alerts_after_kills_while_learning_equal_an_undisturbed_run(
    kafka: Endpoint, tmp_path: Path
) -> None:
    fleet = Fleet(kafka, tmp_path)
    with Daemon(tmp_path, fleet.settings) as daemon:
        daemon.wait_until_ready()
        while not daemon.metric("detector_learning_buffer_samples"):  # until it has chosen what to remember
            fleet.produce(A_STEP)
            fleet.wait_until_read()  # it chooses every few seconds: the log is long enough, however slow it reads
            time.sleep(0.2)
        fleet.produce(REMEMBERED // 2 * A_STEP)
        fleet.wait_until_read()
        accepted = partial(daemon.metric, "detector_learning_rounds_total", result="accepted")
        eventually(lambda: accepted() >= 1, "it learns", progress=lambda: learning_seconds(daemon))
        fleet.produce(1)  # weights change with the position: right behind this record
        eventually(lambda: daemon.metric("detector_learning_partitions") == PARTITIONS, "they are in use")
        daemon.process.kill()
        daemon.process.wait()
    snapshots = [fleet.stored(number) for number in range(PARTITIONS)]
    assert [one.manifest.offset for one in snapshots] == [fleet.produced] * PARTITIONS

    fleet.settings["learning"]["interval_seconds"] = 1e6
    fleet.produce(STEPS * A_STEP - fleet.produced)
    for seconds in (0.3, 0.6):
        with Daemon(tmp_path, fleet.settings) as daemon:
            daemon.wait_until_ready()
            time.sleep(seconds)
            daemon.process.kill()
            daemon.process.wait()
    with Daemon(tmp_path, fleet.settings) as daemon:
        daemon.wait_until_ready()  # the one before may have read all: it would be told to end before it listens
        fleet.wait_until_read()
        assert daemon.terminate() == 0

    swaps = [(one.manifest.offset, one.weights) for one in snapshots]
    pipeline, expected = fleet.undisturbed(swaps)
    for number, chain in enumerate(weights for _, weights in swaps):
        found = fleet.stored(number)
        assert (found.manifest.offset, found.weights) == (len(fleet.log[number]), chain)
        assert_same(found.blocks, pipeline, (fleet.topic, number))
    delivered: dict[str, set[bytes]] = {}
    for message in kafka.read(fleet.alerts, kafka.end_offset(fleet.alerts)):
        delivered.setdefault(dict(message.headers())["ce_id"].decode(), set()).add(message.value())
    assert delivered == {identity: {value} for identity, value in expected.items()}
    learnt = {chain[0].sha256[:12] for _, chain in swaps}
    assert {json.loads(value)["anomaly"]["model"][-12:] for value in expected.values()} >= learnt


def test_g4_repeated_commit_of_a_replaced_worker_is_refused(kafka: Endpoint, make_source: MakeSource) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"1", b"2"])
    first = make_source(topic, group_instance_id="one")
    read(first, 2)
    first.commit({(topic, 0): 2})
    kafka.produce(topic, [b"3"])
    read(first, 1)
    first.commit({(topic, 0): 2})  # still ours

    second = make_source(topic, group_instance_id="one")
    drive(second, lambda: bool(second._consumer.assignment()))
    with pytest.raises(MemberFenced):
        first.commit({(topic, 0): 2})
