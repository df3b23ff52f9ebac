"""G1 and G2 with everything real: the daemon is killed again and again under load, by `kill -9`."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.alerts import AlertRecord
from detector.app import build_pipeline
from detector.columns import BlockState
from detector.config import Config
from detector.config.schema import Kafka
from detector.decoders import DECODERS
from detector.errors import StateUnavailable
from detector.models.fingerprint import fingerprint
from detector.pipeline import Pipeline
from detector.records import Partition, RawBatch
from detector.state import STORES
from detector.state.history import newest
from detector.state.kafka import KafkaStore
from tests.integration.daemon import Daemon
from tests.kafka.endpoint import Endpoint, eventually

pytestmark = pytest.mark.integration

PARTITIONS, STREAMS, STEPS = 2, 300, 200
START = 1_700_000_000
KILLS = 5


def records(seed: int) -> list[list[bytes]]:
    rng = np.random.default_rng(seed)
    found: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for step in range(STEPS):
        for stream in rng.permutation(STREAMS).tolist():
            value = float(rng.normal() + (500.0 if step > 70 and rng.random() < 0.002 else 0.0))
            sample = {"name": f"s{stream}", "timestamp": START + 60 * step, "value": value}
            found[stream % PARTITIONS].append(json.dumps(sample).encode())
    return found


def oracle(config: Config, topic: str, log: list[list[bytes]]) -> tuple[Pipeline, dict[str, bytes]]:
    """The pipeline after the whole log, and the alerts by id, without any daemon."""
    pipeline, decoder = build_pipeline(config), DECODERS["json"](config.decoder)
    encode = AlertRecord({}, f"detector/{config.source.kafka.group_id}")
    alerts = {}
    for number, values in enumerate(log):
        batch = RawBatch(
            topic, number, np.arange(len(values)), np.full(len(values), np.nan), list(values), [None] * len(values)
        )
        samples = decoder.decode(batch, pipeline.table.series((topic, number)))
        for alert in pipeline.process(samples, expire=True).alerts:
            message = encode(alert)
            alerts[dict(message.headers)["ce_id"].decode()] = message.value or b""
    return pipeline, alerts


def stored(config: Config, pipeline: Pipeline, partition: Partition) -> tuple[int, list[BlockState]]:
    """What the store holds of a partition, which must be whole."""
    store = STORES[config.state.type](config)
    assert store is not None
    try:
        ours = fingerprint(pipeline.model, config.model.device, config.model.threads)
        damage: list[str] = []
        found = newest(
            store.open(partition), partition, pipeline.table.fields, ours, lambda name, exc: damage.append(name)
        )
        assert found is not None
        assert not damage
        return found.manifest.offset, found.blocks
    finally:
        store.close(5.0)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["directory", "kafka"])
def test_g1_g2_kill_9_under_load_leaves_state_and_alerts_as_if_nothing_had_been(
    kafka: Endpoint, tmp_path: Path, kind: str
) -> None:
    topic, alerts, group = kafka.create_topic(partitions=PARTITIONS), kafka.create_topic(), kafka.name("group")
    state_topic = kafka.create_topic(partitions=PARTITIONS, cleanup_policy="compact")
    settings: dict[str, Any] = {
        "kafka": {"bootstrap_servers": [kafka.bootstrap]},
        "source": {
            "kafka": {
                "topics": [topic],
                "group_id": group,
                "group_instance_id": "one",
                "start": "earliest",
                "max_poll_records": 300,
            }
        },
        "sinks": {"kafka": {"topic": alerts}},
        "state": {"type": kind, "directory": {"path": str(tmp_path / "state")}, "kafka": {"topic": state_topic}},
        "checkpoint": {"interval_seconds": 0.1},
    }
    config = Config.model_validate(settings)
    log = records(7)
    for number, values in enumerate(log):
        kafka.produce(topic, values, partition=number)
    pipeline, expected = oracle(config, topic, log)
    assert len(expected) > 20

    chance = random.Random(7)
    for _ in range(KILLS):
        with Daemon(tmp_path, settings) as daemon:
            daemon.wait_until_ready()
            time.sleep(chance.uniform(0.05, 0.8))
            daemon.process.kill()
            daemon.process.wait()
    ends = [len(values) for values in log]
    at_last_kill = [kafka.committed(group, topic, number) for number in range(PARTITIONS)]
    with Daemon(tmp_path, settings) as daemon:
        eventually(
            lambda: [kafka.committed(group, topic, number) for number in range(PARTITIONS)] == ends,
            "everything is committed",
            60.0,
        )
        assert daemon.terminate() == 0
    print(f"committed at the last kill: {at_last_kill} of {ends}")

    for number in range(PARTITIONS):
        offset, blocks = stored(config, pipeline, (topic, number))
        assert offset == ends[number]
        assert_same(blocks, pipeline, (topic, number))
    delivered = kafka.read(alerts, kafka.end_offset(alerts))
    found: dict[str, set[bytes]] = {}
    for message in delivered:
        found.setdefault(dict(message.headers())["ce_id"].decode(), set()).add(message.value())
    assert found == {identity: {value} for identity, value in expected.items()}


def assert_same(blocks: list[BlockState], pipeline: Pipeline, partition: Partition) -> None:
    """The stored blocks are the oracle's, bit for bit."""
    ours = [pipeline.table.take(partition, number) for number in pipeline.table.cut(partition)]
    assert [block.keys for block in blocks] == [block.keys for block in ours]
    for one, other in zip(blocks, ours, strict=True):
        for name, column in one.columns.items():
            assert column.tobytes() == other.columns[name].tobytes(), name


def test_a_state_topic_that_would_lose_state_is_refused(kafka: Endpoint) -> None:
    connection = Kafka(bootstrap_servers=[kafka.bootstrap], request_timeout_seconds=10)
    metrics = kafka.create_topic(partitions=2)

    def store(topic: str) -> None:
        KafkaStore(connection, topic, [metrics], "group", timeout_seconds=10)

    with pytest.raises(StateUnavailable, match=r"does not exist; create it: kafka-topics\.sh .* --partitions 2"):
        store("nowhere")
    with pytest.raises(StateUnavailable, match=r"cleanup\.policy=delete"):
        store(kafka.create_topic(partitions=2))
    with pytest.raises(StateUnavailable, match="has 1 partitions, the input has 2"):
        store(kafka.create_topic(partitions=1, cleanup_policy="compact"))
    with pytest.raises(StateUnavailable, match=r"max\.message\.bytes=1000"):
        store(kafka.create_topic(partitions=2, cleanup_policy="compact", max_message_bytes=1000))
