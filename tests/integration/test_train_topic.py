"""`detector train --topic` against a real broker: the range, the series, and the weights."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from detector.cli.commands import app
from detector.config.schema import Kafka
from detector.errors import SourceError, TopicMissing
from detector.sources.kafka.range import KafkaRange
from tests.kafka.endpoint import Endpoint
from tests.train.test_topic import START, records

pytestmark = pytest.mark.integration

STEPS = 160
STREAMS = 3


@pytest.fixture
def topic(kafka: Endpoint) -> str:
    """Two partitions with three streams each, a record a stream and minute; the records' times are their samples'."""
    name = kafka.create_topic(partitions=2)
    times = [1_000 * (START + 60 * step) for step in range(STEPS) for _ in range(STREAMS)]
    for partition in range(2):
        values = records(STREAMS, STEPS, name=f"p{partition}-s", seed=partition)
        kafka.produce(name, values, partition=partition, timestamps_ms=times)
    return name


def connection(kafka: Endpoint) -> Kafka:
    return Kafka(bootstrap_servers=[kafka.bootstrap], request_timeout_seconds=30)


def test_range_holds_the_records_of_its_time_partition_by_partition(kafka: Endpoint, topic: str) -> None:
    found = KafkaRange(connection(kafka), topic, START + 60 * 10, START + 60 * 12)
    done: list[tuple[int, int]] = []
    batches = list(found.batches(lambda *progress: done.append(progress)))
    found.close()
    assert [batch.partition for batch in batches] == [0, 1]
    for batch in batches:
        assert batch.offsets.tolist() == list(range(10 * STREAMS, 12 * STREAMS))
        assert json.loads(batch.values[0] or b"")["timestamp"] == START + 60 * 10
        assert set(batch.record_times.tolist()) == {START + 60 * 10, START + 60 * 11}
    assert done[-1] == (4 * STREAMS, 4 * STREAMS)
    whole = KafkaRange(connection(kafka), topic, 0, START + 1e9)
    assert sum(len(batch) for batch in whole.batches()) == 2 * STREAMS * STEPS
    whole.close()


def test_missing_topic_and_empty_range_are_named_errors(kafka: Endpoint, topic: str) -> None:
    with pytest.raises(TopicMissing, match="nowhere does not exist"):
        KafkaRange(connection(kafka), "nowhere", 0, START)
    with pytest.raises(SourceError, match=r"no record from 2033-.* offsets up to 480"):
        KafkaRange(connection(kafka), topic, 2e9, 2.1e9)


def train(kafka: Endpoint, folder: Path, topic: str, output: str, *more: str) -> Result:
    config = folder / "config.yaml"
    config.write_text(f"kafka: {{bootstrap_servers: ['{kafka.bootstrap}'], request_timeout_seconds: 30}}\n")
    since, until = (datetime.fromtimestamp(START + at, UTC).isoformat() for at in (0, 60 * STEPS))
    small = ["--hidden-size", "4", "--updates", "6", "--streams", "8", "--steps", "120", "--output"]
    where = ["--config", str(config), "--topic", topic, "--from", since, "--to", until]
    return CliRunner().invoke(app, ["train", *where, *small, str(folder / output), *more])


def test_training_from_a_range_is_deterministic_and_the_model_card_names_it(
    kafka: Endpoint, topic: str, tmp_path: Path
) -> None:
    for output in ("one.safetensors", "two.safetensors"):
        ran = train(kafka, tmp_path, topic, output, "--max-streams", "5")
        assert ran.exit_code == 0, ran.output
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one["sha256"] == two["sha256"]
    assert one["data"]["series"] == 5
    assert one["data"]["topic"] == topic
    assert one["data"]["samples_read"] == 2 * STREAMS * STEPS
    assert f"--topic {topic} --from 2023-11-14T22:13:20Z" in one["command"]


def test_undecodable_records_and_too_short_streams_are_errors(kafka: Endpoint, tmp_path: Path) -> None:
    broken, short = kafka.create_topic(), kafka.create_topic()
    kafka.produce(broken, [b"{"] * 3, timestamps_ms=[1_000 * START] * 3)
    kafka.produce(short, records(2, 20), timestamps_ms=[1_000 * START] * 40)
    for topic, complaint in ((broken, "3 cannot be decoded"), (short, "no series has 100 samples")):
        ran = train(kafka, tmp_path, topic, "w.safetensors")
        assert isinstance(ran.exception, SourceError)
        assert complaint in str(ran.exception)
        assert not (tmp_path / "w.safetensors").exists()
