"""Avro records with schemas from a schema registry, which fails and recovers."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detector.sinks.dead_letter import PREFIX
from tests.decoders.avro_records import METRIC, record
from tests.decoders.registries import Registry
from tests.integration.daemon import Daemon
from tests.kafka.broker import free_ports
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint, eventually
from tests.wire.records import FOLDER, records

pytestmark = pytest.mark.integration

START_MS = 1_700_000_000_000
NEXT = {**METRIC, "fields": [*METRIC["fields"], {"name": "unit", "type": "string", "default": ""}]}
"""The schema after a change."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        running.register(METRIC, 1, "metrics-value")
        running.register(NEXT, 2, "metrics-value", 2)
        yield running


def sample(step: int, number: int = 1) -> bytes:
    value = {"name": "cpu", "labels": {"host": "a"}, "timestamp": START_MS + 60_000 * step, "value": float(step % 7)}
    schema: dict[str, Any] = METRIC if number == 1 else NEXT
    return record(schema, {**value, "unit": "percent"} if number == 2 else value, number)


class Input:
    """A topic, and a worker that reads it."""

    def __init__(self, kafka: Endpoint, registry: Registry, **access: Any) -> None:
        self.kafka = kafka
        self.topic, self.alerts, self.dead = kafka.create_topic(), kafka.create_topic(), kafka.create_topic()
        self.group = kafka.name("group")
        self.config: dict[str, Any] = {
            "kafka": {"bootstrap_servers": [kafka.bootstrap]},
            "source": {"kafka": {"topics": [self.topic], "group_id": self.group, "start": "earliest"}},
            "decoder": {"type": "avro", "avro": {"registry": {"urls": [registry.url], **access}}},
            "sinks": {"kafka": {"topic": self.alerts}},
            "dead_letter": {"topic": self.dead},
            "checkpoint": {"interval_seconds": 0.2},
        }

    def committed(self) -> int | None:
        return self.kafka.committed(self.group, self.topic)


@pytest.mark.parametrize("partitioning", ["trusted", "repartition"])
def test_records_of_confluents_serializer_are_read(kafka: Endpoint, tmp_path: Path, partitioning: str) -> None:
    """A record with an unknown schema becomes a dead letter; a registry that fails for a while is waited for."""
    found = records("confluent-avro")
    with Registry() as registry:
        registry.register(json.loads((FOLDER / "confluent.schemas.json").read_text())["avro"], 1)
        given = Input(kafka, registry)
        given.config["decoder"]["avro"]["fields"] = {"timestamp": "ts"}
        lanes = kafka.create_topic(partitions=2)
        given.config["source"]["kafka"] |= {"partitioning": partitioning, "repartition_topic": lanes}
        unknown = b"\x00\x00\x00\x00\x63" + found[0].value[5:]
        with Daemon(tmp_path, given.config) as daemon:
            daemon.wait_until_ready()
            registry.fails = 2
            kafka.produce(given.topic, [record.value for record in found] + [unknown])
            eventually(lambda: daemon.metric("detector_samples_total") == 41, "all is read")
            assert daemon.metric("detector_records_rejected_total", reason="schema_unknown") == 1
            assert daemon.metric("detector_source_errors_total", reason="schema_unavailable") == 2
            assert daemon.metric("detector_samples_discarded_total", reason="gap") == 1
            [letter] = kafka.read(given.dead, 1)
            assert dict(letter.headers())[f"{PREFIX}reason"] == b"schema_unknown"
            assert letter.value() == unknown
            assert daemon.terminate() == 0
        assert registry.asked("/schemas/ids/1") == 3
        assert registry.asked("/schemas/ids/99") == 2


def test_g6_no_record_is_rejected_because_the_registry_is_down(
    kafka: Endpoint, tmp_path: Path, registry: Registry
) -> None:
    given = Input(kafka, registry, lookup_timeout_seconds=2)
    kafka.produce(given.topic, [sample(step) for step in range(50)])
    with Daemon(tmp_path, given.config) as daemon:
        eventually(lambda: given.committed() == 50, "what has a known schema is read and committed")
        registry.status = 503
        kafka.produce(given.topic, [sample(50), sample(51, 2), sample(52, 2)])
        assert daemon.process.wait(PATIENCE_SECONDS) == 1
        told = daemon.log.read_text()
        assert f"{registry.url}/schemas/ids/2: answered 503" in told
        assert "given up after 2 s (decoder.avro.registry.lookup_timeout_seconds)" in told
    committed = given.committed()
    assert committed is not None
    assert 50 <= committed <= 51
    registry.status = 200
    with Daemon(tmp_path, given.config) as daemon:
        eventually(lambda: given.committed() == 53, "all is read once the registry is back")
        assert daemon.metric("detector_records_rejected_total") == 0
        assert daemon.metric("detector_samples_total", outcome="late") == 0
        assert daemon.metric("detector_samples_total", outcome="duplicate") == 0
        assert daemon.terminate() == 0
    assert kafka.end_offset(given.dead) == 0


def test_g12_worker_waiting_for_the_registry_stops_in_order(
    kafka: Endpoint, tmp_path: Path, registry: Registry
) -> None:
    given = Input(kafka, registry, lookup_timeout_seconds=250)
    with Daemon(tmp_path, given.config) as daemon:
        daemon.wait_until_ready()
        registry.status = 401
        kafka.produce(given.topic, [sample(step) for step in range(5)])
        eventually(
            lambda: daemon.metric("detector_source_errors_total", reason="schema_unavailable") > 0,
            "the worker waits for the registry",
        )
        assert daemon.ask("/-/healthy")[0] == 200
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(PATIENCE_SECONDS) == 0
    assert not given.committed()


def test_start_without_a_registry_names_the_fault(kafka: Endpoint, tmp_path: Path, registry: Registry) -> None:
    given = Input(kafka, registry)
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    given.config["decoder"]["avro"]["registry"]["urls"] = [nobody]
    with Daemon(tmp_path, given.config) as daemon:
        assert daemon.process.wait(PATIENCE_SECONDS) == 1
        told = daemon.log.read_text()
    assert nobody in told
    assert "check decoder.avro.registry.urls and that the schema registry listens there" in told
    assert "Traceback" not in told
