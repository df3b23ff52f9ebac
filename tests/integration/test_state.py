"""G1 and G2 with a real broker and daemon: repeated `kill -9` under load."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer

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
from detector.state.manifest import manifest_name
from detector.state.steps import complete
from tests.integration.daemon import Daemon
from tests.kafka.endpoint import Endpoint, eventually

pytestmark = pytest.mark.integration

PARTITIONS, STREAMS, STEPS = 2, 300, 200
START = 1_700_000_000
KILLS = 5


def records(seed: int, steps: int) -> list[list[bytes]]:
    rng = np.random.default_rng(seed)
    found: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for step in range(steps):
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
        stored, fields = complete(store.opening(partition)), pipeline.table.fields
        found = complete(newest(stored, partition, fields, ours, lambda name, exc: damage.append(name)))
        assert found is not None
        assert not damage
        return found.manifest.offset, found.blocks
    finally:
        store.close(5.0)


class Setting:
    """Topics, a configuration, a log and what an undisturbed run makes of it."""

    def __init__(self, kafka: Endpoint, folder: Path, kind: str, steps: int = STEPS) -> None:
        self.kafka = kafka
        self.topic, self.alerts = kafka.create_topic(partitions=PARTITIONS), kafka.create_topic()
        self.group = kafka.name("group")
        state_topic = kafka.create_topic(partitions=PARTITIONS, cleanup_policy="compact")
        self.settings: dict[str, Any] = {
            "kafka": {"bootstrap_servers": [kafka.bootstrap]},
            "source": {
                "kafka": {
                    "topics": [self.topic],
                    "group_id": self.group,
                    "start": "earliest",
                    "max_poll_records": 300,
                }
            },
            "sinks": {"kafka": {"topic": self.alerts}},
            "state": {"type": kind, "directory": {"path": str(folder / "state")}, "kafka": {"topic": state_topic}},
            "checkpoint": {"interval_seconds": 0.1},
        }
        self.config = Config.model_validate(self.settings)
        self.log = records(7, steps)
        self.pipeline, self.expected = oracle(self.config, self.topic, self.log)
        assert len(self.expected) > 20, "the log has alerts"

    def produce(self, first: float, end: float) -> None:
        """These shares of the log."""
        for number, values in enumerate(self.log):
            part = values[int(first * len(values)) : int(end * len(values))]
            self.kafka.produce(self.topic, part, partition=number)

    def committed(self) -> list[int | None]:
        return [self.kafka.committed(self.group, self.topic, number) for number in range(PARTITIONS)]

    def wait_until_read(self, share: float = 1.0) -> None:
        ends = [int(share * len(values)) for values in self.log]
        eventually(lambda: self.committed() == ends, f"{share:.0%} is committed")

    def judge(self) -> None:
        """State and alerts are the oracle's."""
        for number, values in enumerate(self.log):
            offset, blocks = stored(self.config, self.pipeline, (self.topic, number))
            assert offset == len(values)
            assert_same(blocks, self.pipeline, (self.topic, number))
        found: dict[str, set[bytes]] = {}
        for message in self.kafka.read(self.alerts, self.kafka.end_offset(self.alerts)):
            found.setdefault(dict(message.headers())["ce_id"].decode(), set()).add(message.value())
        assert found == {identity: {value} for identity, value in self.expected.items()}


@pytest.mark.parametrize("kind", ["directory", "kafka"])
def test_g1_g2_state_and_alerts_after_kill_9_under_load_equal_an_undisturbed_run(
    kafka: Endpoint, tmp_path: Path, kind: str
) -> None:
    setting, chance = Setting(kafka, tmp_path, kind), random.Random(7)
    setting.settings["source"]["kafka"]["group_instance_id"] = "one"
    setting.produce(0, 1)
    for _ in range(KILLS):
        with Daemon(tmp_path, setting.settings) as daemon:
            daemon.wait_until_ready()
            time.sleep(chance.uniform(0.05, 0.8))
            daemon.process.kill()
            daemon.process.wait()
    print(f"committed at the last kill: {setting.committed()} of {[len(values) for values in setting.log]}")
    with Daemon(tmp_path, setting.settings) as daemon:
        setting.wait_until_read()
        assert daemon.terminate() == 0
    setting.judge()


@pytest.mark.parametrize("kind", ["directory", "kafka"])
def test_g4_suspended_worker_changes_nothing_after_another_took_over(
    kafka: Endpoint, tmp_path: Path, kind: str
) -> None:
    setting = Setting(kafka, tmp_path, kind)
    setting.settings["source"]["kafka"]["session_timeout_seconds"] = 6.0
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    setting.produce(0, 0.4)
    with Daemon(folders[0], setting.settings) as first:
        first.wait_until_ready()
        eventually(lambda: None not in setting.committed(), "the first one works")
        first.process.send_signal(signal.SIGSTOP)
        with Daemon(folders[1], setting.settings) as second:
            setting.wait_until_read(0.4)
            setting.produce(0.4, 0.7)
            setting.wait_until_read(0.7)
            first.process.send_signal(signal.SIGCONT)
            setting.produce(0.7, 1)
            setting.wait_until_read()
            assert second.terminate() == 0
        assert first.terminate() == 0
    setting.judge()


def assert_same(blocks: list[BlockState], pipeline: Pipeline, partition: Partition) -> None:
    """The stored blocks are the oracle's, bit for bit."""
    ours = [pipeline.table.take(partition, number) for number in pipeline.table.cut(partition)]
    assert [block.keys for block in blocks] == [block.keys for block in ours]
    for one, other in zip(blocks, ours, strict=True):
        for name, column in one.columns.items():
            assert column.tobytes() == other.columns[name].tobytes(), name


def test_state_topic_with_unsuitable_settings_is_refused(kafka: Endpoint) -> None:
    connection = Kafka(bootstrap_servers=[kafka.bootstrap], request_timeout_seconds=30)
    metrics = kafka.create_topic(partitions=2)

    def store(topic: str) -> None:
        KafkaStore(connection, topic, [metrics], "group", timeout_seconds=30)

    with pytest.raises(StateUnavailable, match=r"does not exist; `detector admin init` .* --partitions 2"):
        store("nowhere")
    with pytest.raises(StateUnavailable, match=r"cleanup\.policy=delete"):
        store(kafka.create_topic(partitions=2))
    with pytest.raises(StateUnavailable, match=r"has 1 partitions, the input has 2\. .* --alter .* --partitions 2"):
        store(kafka.create_topic(partitions=1, cleanup_policy="compact"))
    with pytest.raises(StateUnavailable, match=r"max\.message\.bytes=1000"):
        store(kafka.create_topic(partitions=2, cleanup_policy="compact", max_message_bytes=1000))


def test_g5_state_topic_with_too_few_partitions_is_named(kafka: Endpoint) -> None:
    connection = Kafka(bootstrap_servers=[kafka.bootstrap], request_timeout_seconds=30)
    metrics, topic = kafka.create_topic(partitions=2), kafka.create_topic(partitions=2, cleanup_policy="compact")
    store = KafkaStore(connection, topic, [metrics], "group", timeout_seconds=30)
    try:
        assert complete(store.opening((metrics, 1))) == {}
        with pytest.raises(StateUnavailable, match=rf"no partition 2: {metrics} has more .* --alter .* --partitions 3"):
            complete(store.opening((metrics, 2)))
    finally:
        store.close(5.0)


def test_pitfall_5_state_behind_an_open_transaction_is_restored(kafka: Endpoint) -> None:
    """End offsets under read_committed would stop before it, and the newest snapshot would be missed."""
    connection = Kafka(bootstrap_servers=[kafka.bootstrap], request_timeout_seconds=30)
    topic = kafka.create_topic(cleanup_policy="compact")
    partition, name = (kafka.create_topic(), 0), manifest_name(7, "0" * 12)
    store = KafkaStore(connection, topic, [partition[0]], "group", timeout_seconds=30)
    stray = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=kafka.name())
    try:
        stray.init_transactions()
        stray.begin_transaction()
        stray.send(topic, b"?", b"nobody's").get(60)
        store.write(partition, name, b"state")
        store.flush(60.0)
        assert complete(store.opening(partition)) == {name: b"state"}
    finally:
        stray.abort_transaction()
        stray.close()
        store.close(5.0)


def test_g5_group_with_expired_offsets_continues_at_its_state(kafka: Endpoint, tmp_path: Path) -> None:
    setting = Setting(kafka, tmp_path, "directory")
    setting.settings["source"]["kafka"]["start"] = "latest"
    setting.produce(0, 0.1)
    with Daemon(tmp_path, setting.settings) as daemon:
        daemon.wait_until_ready()
        eventually(lambda: None not in setting.committed(), "it begins at the end")
        setting.produce(0.1, 0.4)
        setting.wait_until_read(0.4)
        assert daemon.terminate() == 0
    kafka.delete_group(setting.group)
    setting.produce(0.4, 0.5)
    with Daemon(tmp_path, setting.settings) as daemon:
        setting.wait_until_read(0.5)
        assert daemon.metric("detector_records_consumed_total") == sum(
            int(0.5 * len(values)) - int(0.4 * len(values)) for values in setting.log
        )
        assert daemon.terminate() == 0
        assert "the group has no offset" in daemon.log.read_text()
