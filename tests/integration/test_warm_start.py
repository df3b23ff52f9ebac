"""A first start in the past: streams learn from their history, for which no alerts are sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.forked import Forked
from tests.integration.daemon import Daemon
from tests.integration.driving import MakeSource, drive, read, values
from tests.kafka.endpoint import Endpoint, eventually

pytestmark = pytest.mark.integration

START = 1_790_000_000
MINUTE = 60
HISTORY = 400
SPIKE_NOW = 408
SPIKES = {300: 500.0, SPIKE_NOW: 900.0}


def stamps(count: int) -> list[int]:
    return [1_000 * (START + MINUTE * minute) for minute in range(count)]


def iso(minute: int) -> str:
    return datetime.fromtimestamp(START + MINUTE * minute, UTC).isoformat()


def test_first_start_begins_at_the_first_record_of_the_given_time(kafka: Endpoint, make_source: MakeSource):
    topic, group = kafka.create_topic(partitions=2), kafka.name("group")
    kafka.produce(topic, [b"%d" % minute for minute in range(10)], timestamps_ms=stamps(10))
    kafka.produce(topic, [b"old"], partition=1, timestamps_ms=stamps(1))

    first = make_source(topic, group_id=group, start=iso(6))
    assert values(read(first, 4)) == [b"6", b"7", b"8", b"9"]
    drive(first, until=lambda: first.lag() == {(topic, 0): 0, (topic, 1): 0})
    first.commit({(topic, 0): 8})
    first.close(timeout_seconds=30)

    again = make_source(topic, group_id=group, start=iso(0))
    assert values(read(again, 2)) == [b"8", b"9"], "what is committed counts"


def records(first: int, end: int, host: str = "a") -> list[tuple[bytes, bytes]]:
    rng = np.random.default_rng(first)
    found = []
    for minute in range(first, end):
        value = SPIKES.get(minute, float(rng.normal(100.0, 1.0)))
        sample = {"name": "cpu", "labels": {"host": host}, "timestamp": START + MINUTE * minute, "value": value}
        found.append((b"cpu", json.dumps(sample).encode()))
    return found


def test_streams_start_warm_and_alerts_of_history_are_not_sent(kafka: Endpoint, tmp_path: Path):
    metrics, alerts = kafka.create_topic(), kafka.create_topic()
    config: dict[str, Any] = {
        "kafka": {"bootstrap_servers": [kafka.bootstrap]},
        "source": {"kafka": {"topics": [metrics], "group_id": kafka.name("group"), "start": iso(100)}},
        "alerts": {"not_before": iso(HISTORY)},
        "sinks": {"kafka": {"topic": alerts}},
        "scoring": {"alerts_per_stream_week": 1.0},
        "checkpoint": {"interval_seconds": 0.5},
    }
    kafka.produce(metrics, records(0, HISTORY), timestamps_ms=stamps(HISTORY))
    with Daemon(tmp_path, config) as daemon:
        eventually(lambda: daemon.metric("detector_samples_total") == HISTORY - 100, "history is read")
        muted = partial(daemon.metric, "detector_alerts_muted_total", interval="not_before")
        eventually(lambda: muted() == 1, "what was is not told")  # counted behind the samples
        warming = daemon.metric("detector_samples_total", outcome="warmup")
        assert daemon.metric("detector_alerts_total") == 0
        kafka.produce(metrics, records(HISTORY, HISTORY + 20))
        eventually(lambda: daemon.metric("detector_alerts_total", status="resolved") == 1, "the spike is over")
        assert daemon.metric("detector_samples_total", outcome="warmup") == warming
        assert daemon.terminate() == 0
    told = [json.loads(message.value()) for message in kafka.read(alerts, 2)]
    assert [one["status"] for one in told] == ["firing", "resolved"]
    assert {datetime.fromisoformat(one["startsAt"]).timestamp() for one in told} == {START + MINUTE * SPIKE_NOW}


@pytest.mark.parametrize(("partitioning", "start"), [("trusted", "latest"), ("repartition", "earliest")])
def test_history_from_files_becomes_state(kafka: Endpoint, tmp_path: Path, partitioning: str, start: str):
    lanes = 3 if partitioning == "repartition" else 1
    metrics, lane, alerts = kafka.create_topic(), kafka.create_topic(partitions=lanes), kafka.create_topic()
    routed = {"partitioning": partitioning, "repartition_topic": lane}
    config: dict[str, Any] = {
        "kafka": {"bootstrap_servers": [kafka.bootstrap]},
        "source": {"kafka": {"topics": [metrics], "group_id": kafka.name("group"), "start": start, **routed}},
        "sinks": {"kafka": {"topic": alerts}},
        "checkpoint": {"interval_seconds": 0.5},
        "state": {"directory": {"path": str(tmp_path / "state")}},
    }
    hosts = "abcd"
    for host in hosts:
        lines = [value for _, value in records(0, HISTORY, host)]
        (tmp_path / f"{host}.jsonl").write_bytes(b"\n".join(lines))
    if start == "latest":
        kafka.produce(metrics, [b"written before the group was there"])
    path = tmp_path / "warm.yaml"
    path.write_text(yaml.safe_dump(config))
    history = [str(tmp_path / f"{host}.jsonl") for host in hosts]
    command, said, complaints = ["state", "warm", *history, "-c", str(path)], tmp_path / "said", tmp_path / "complaints"
    assert Forked(command, said, complaints).wait(900) == 0, complaints.read_text()
    assert sum(int(line.split()[-2]) for line in said.read_text().splitlines()) == len(hosts)
    assert Forked(command, said, complaints).wait(900) == 1
    assert "--force replaces it" in complaints.read_text()

    with Daemon(tmp_path, config) as daemon:
        daemon.wait_until_ready()
        for host in hosts:
            kafka.produce(metrics, records(HISTORY, HISTORY + 20, host))
        count = 20 * len(hosts)
        eventually(lambda: daemon.metric("detector_samples_total") == count, "the present is read")
        assert daemon.metric("detector_samples_total", outcome="scored") == count
        eventually(lambda: daemon.metric("detector_alerts_total") == 2 * len(hosts), "the spikes are alerts")
        assert daemon.terminate() == 0
    told = [json.loads(message.value()) for message in kafka.read(alerts, 2 * len(hosts))]
    assert {datetime.fromisoformat(one["startsAt"]).timestamp() for one in told} == {START + MINUTE * SPIKE_NOW}
