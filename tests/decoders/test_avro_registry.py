"""Schemas from a registry: one request per schema, retries, unknown ids, invalid answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detector.config.avro import AvroDecoder as Settings
from detector.config.decoder import Decoder
from detector.decoders import AvroDecoder, avro, make_decoder, schema_registry
from detector.decoders.identity import Kinds
from detector.decoders.schema_registry import SchemaRegistry
from detector.errors import DetectorError, Interrupted, SchemaUnavailable
from detector.records import SampleBatch
from detector.series import SeriesIndex
from detector.testing import ListSource, ManualClock
from tests.decoders.avro_records import METRIC, SAMPLE, record
from tests.decoders.batches import raw, readable
from tests.decoders.registries import Registry
from tests.kafka.broker import free_ports
from tests.worker.test_worker import PARTITION, Rig

READ = ('cpu{host="a"}', 1_700_000_000.0, 1.5, "SCORED", 1)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        running.register(METRIC, 1, "metrics-value")
        yield running


class Waits:
    """Records the calls of `on_wait`."""

    def __init__(self) -> None:
        self.problems: list[DetectorError | None] = []
        self.raises: Exception | None = None

    def __call__(self, problem: DetectorError | None) -> None:
        self.problems.append(problem)
        if self.raises is not None:
            raise self.raises


class Reading:
    """A decoder with a manual clock, which does not really wait."""

    def __init__(self, *urls: str, **access: Any) -> None:
        self.clock, self.waits, self.series = ManualClock(), Waits(), SeriesIndex()
        self.pauses: list[float] = []
        self.during_a_pause: Callable[[], None] = lambda: None
        settings = Settings.model_validate({"registry": {"urls": list(urls), **access}})
        self.decoder = AvroDecoder(settings, Kinds(), self.waits, self.clock.monotonic)
        self.decoder._lookup = SchemaRegistry(
            settings.registry, self.waits, sleep=self._sleep, now=self.clock.monotonic
        )

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.sleep(seconds)
        self.during_a_pause()

    def decode(self, *values: bytes | None) -> SampleBatch:
        return self.decoder.decode(raw(*values), self.series)

    def reasons(self, *values: bytes | None) -> list[str]:
        return [reject.reason for reject in self.decode(*values).rejects]


def test_schema_is_requested_once(registry: Registry) -> None:
    reading = Reading(registry.url)
    for _ in range(3):
        samples = reading.decode(record(), record())
        assert readable(samples, reading.series) == [READ, (*READ[:4], 2)]
    assert registry.paths == ["/schemas/ids/0", "/schemas/ids/1"]
    assert reading.waits.problems == [None]


def test_unknown_id_is_rejected_and_requested_again_later(registry: Registry) -> None:
    reading = Reading(registry.url)
    assert reading.reasons(record(number=7), record(), record(number=7)) == ["schema_unknown"] * 2
    assert registry.asked("/schemas/ids/7") == 2
    registry.register(METRIC, 7)
    assert reading.reasons(record(number=7)) == ["schema_unknown"]
    reading.clock.sleep(avro.UNKNOWN_SECONDS + 1)
    assert reading.reasons(record(number=7)) == []


def test_schema_registered_a_moment_later_is_waited_for(registry: Registry) -> None:
    reading = Reading(registry.url)
    reading.during_a_pause = lambda: registry.register(METRIC, 7)
    assert reading.reasons(record(number=7), record()) == []
    assert reading.pauses == [schema_registry.DOUBT_SECONDS]


@pytest.mark.parametrize("number", [1 << 31, (1 << 32) - 1])
def test_g6_impossible_id_is_not_requested(registry: Registry, number: int) -> None:
    reading = Reading(registry.url)
    assert reading.reasons(record(number=number), record()) == ["schema_unknown"]
    assert registry.asked() == 1


def test_g6_flood_of_ids_takes_bounded_memory(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avro, "KNOWN_UNKNOWN", 20)
    monkeypatch.setattr(avro, "KNOWN_SCHEMAS", 10)
    for number in range(2, 60):
        registry.register(METRIC, number)
    reading = Reading(registry.url)
    assert reading.reasons(*(record(number=1_000 + number) for number in range(100))) == ["schema_unknown"] * 100
    assert reading.reasons(*(record(number=number) for number in range(1, 60))) == []
    assert (len(reading.decoder._unknown), len(reading.decoder._plans)) == (20, 10)
    assert reading.waits.problems == [None] * 160, "the watchdog hears of every answer"
    assert reading.pauses == [schema_registry.DOUBT_SECONDS], "only the first is asked for twice"


@pytest.mark.parametrize("status", [500, 502, 503, 429, 401, 403, 301, 404])
def test_g6_no_record_is_rejected_because_the_registry_is_down(registry: Registry, status: int) -> None:
    reading = Reading(registry.url, lookup_timeout_seconds=60)
    registry.status, registry.said = status, b"<html>"
    with pytest.raises(SchemaUnavailable, match="given up after 60 s") as error:
        reading.decode(record(), record(number=9))
    assert f"{registry.url}/schemas/ids/1: answered {status}" in str(error.value)
    assert "decoder.avro.registry" in str(error.value)
    assert 40 < sum(reading.pauses) <= 60
    assert reading.pauses == sorted(reading.pauses)
    assert max(reading.pauses) == schema_registry.LONGEST_PAUSE_SECONDS
    assert len(reading.waits.problems) == len(reading.pauses)
    assert None not in reading.waits.problems
    registry.status, registry.said = 200, None
    assert reading.reasons(record(), record(number=9)) == ["schema_unknown"]


@pytest.mark.parametrize("said", [b"<html>sign in</html>", b"{}", b"[]", b'{"schema": 7}', b"[" * 100_000])
def test_invalid_answer_is_not_a_schema(registry: Registry, said: bytes) -> None:
    reading = Reading(registry.url)
    registry.said = said
    with pytest.raises(SchemaUnavailable, match=r"the answer is not a schema; check decoder\.avro\.registry\.urls"):
        reading.decode(record())


def test_registry_is_retried_until_it_answers(registry: Registry) -> None:
    reading = Reading(registry.url)
    registry.fails = 4
    assert readable(reading.decode(record()), reading.series) == [READ]
    assert reading.pauses == [0.2, 0.4, 0.8, 1.6]
    assert [problem.reason if problem else None for problem in reading.waits.problems] == [
        *["schema_unavailable"] * 4,
        None,
    ]


def test_wait_can_be_interrupted(registry: Registry) -> None:
    reading = Reading(registry.url)
    registry.status = 503
    reading.waits.raises = Interrupted("stop")
    with pytest.raises(Interrupted):
        reading.decode(record())
    assert reading.pauses == []


def test_start_without_a_registry_is_a_named_error_at_once(registry: Registry) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    settings = {"type": "avro", "avro": {"registry": {"urls": [nobody]}}}
    waits = Waits()
    with pytest.raises(SchemaUnavailable) as error:
        make_decoder(Decoder.model_validate(settings), waits)
    assert nobody in str(error.value)
    assert "check decoder.avro.registry.urls and that the schema registry listens there" in str(error.value)
    assert waits.problems == []
    registry.status = 401
    settings["avro"] = {"registry": {"urls": [registry.url]}}
    with pytest.raises(SchemaUnavailable, match=r"401.*bearer_token_file, username and password_file"):
        make_decoder(Decoder.model_validate(settings), waits)
    registry.status = 200
    settings["avro"] = {"registry": {"urls": [f"{registry.url}/no/such/path"]}}
    with pytest.raises(SchemaUnavailable, match=r"answered 404.*check decoder\.avro\.registry\.urls"):
        make_decoder(Decoder.model_validate(settings), waits)


def test_next_registry_is_asked_when_the_first_does_not_answer(registry: Registry) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    reading = Reading(nobody, registry.url)
    assert reading.reasons(record()) == []
    assert reading.pauses == []
    registry.status = 503
    with pytest.raises(SchemaUnavailable) as error:
        reading.decode(record(number=6))
    assert nobody in str(error.value)
    assert f"{registry.url}/schemas/ids/6: answered 503" in str(error.value)


@pytest.mark.parametrize(
    ("access", "header"),
    [
        ({"bearer_token_file": "secret"}, "Bearer opensesame"),
        ({"username": "ali", "password_file": "secret"}, "Basic YWxpOm9wZW5zZXNhbWU="),
    ],
)
def test_s3_credentials_come_from_files_and_are_not_quoted(
    registry: Registry, tmp_path: Path, access: dict[str, str], header: str
) -> None:
    (tmp_path / "secret").write_text("opensesame\n")
    named = {key: str(tmp_path / value) if key.endswith("file") else value for key, value in access.items()}
    reading = Reading(registry.url, **named, allow_plaintext_credentials=True)
    reading.decode(record())
    assert registry.authorizations == [header] * 2
    registry.status = 403
    with pytest.raises(
        SchemaUnavailable, match=r"/schemas/ids/5: answered 403.*the right to read this; given"
    ) as error:
        reading.decode(record(number=5))
    assert "opensesame" not in str(error.value)
    assert "YWxp" not in str(error.value)


def test_schema_references_are_resolved(registry: Registry) -> None:
    host = {"type": "record", "name": "Host", "namespace": "acme.infra", "fields": [{"name": "host", "type": "string"}]}
    moment = {"name": "ms", "type": {"type": "long", "logicalType": "timestamp-millis"}}
    inner = [moment, {"name": "by", "type": "acme.infra.Host"}]
    stamp = {"type": "record", "name": "At", "namespace": "acme", "fields": inner}
    types: dict[str, Any] = {"labels": "acme.infra.Host", "timestamp": "At"}
    fields = [{"name": each["name"], "type": types.get(each["name"], each["type"])} for each in METRIC["fields"]]
    schema = {**METRIC, "fields": fields}
    registry.register(host, 11, "hosts/all of them", 3)
    hosts = {"name": "acme.infra.Host", "subject": "hosts/all of them", "version": 3}
    registry.register(stamp, 12, "at", 1, references=[hosts])
    registry.register(schema, 13, "m", 1, references=[{"name": "acme.At", "subject": "at", "version": 1}, hosts])
    whole = {
        **METRIC,
        "fields": [{**fields[0]}, {"name": "labels", "type": host}, {"name": "timestamp", "type": stamp}, fields[3]],
    }
    sample = {**SAMPLE, "labels": {"host": "a"}, "timestamp": {"ms": 1_700_000_000_000, "by": {"host": "b"}}}
    settings = Settings.model_validate({"registry": {"urls": [registry.url]}, "fields": {"timestamp": "timestamp.ms"}})
    series = SeriesIndex()
    samples = AvroDecoder(settings, Kinds(), Waits()).decode(raw(record(whole, sample, 13)), series)
    assert readable(samples, series) == [READ]
    assert registry.asked("/subjects/hosts%2Fall%20of%20them/versions/3") == 1


@pytest.mark.parametrize(
    "more",
    [
        {"schemaType": "PROTOBUF"},
        {"schemaType": "JSON"},
        {"references": [{"name": "x", "subject": "no", "version": 1}]},
        {"references": [{"name": "x"}]},
        {"references": ["x"]},
        {"references": [{"name": "x", "subject": "itself", "version": 1}]},
    ],
)
def test_unusable_schema_is_requested_once(registry: Registry, more: dict[str, Any]) -> None:
    registry.register("no.such.Type" if "references" in more else METRIC, 5, "itself", 1, **more)
    reading = Reading(registry.url)
    samples = reading.decode(record(number=5), record(), record(number=5))
    assert [(reject.reason, reject.offset) for reject in samples.rejects] == [("schema", 1), ("schema", 3)]
    assert samples.rejects[0].detail.startswith("schema id 5: ")
    assert registry.asked("/schemas/ids/5") == 1


def test_g6_too_large_schema_is_rejected(registry: Registry) -> None:
    registry.register(json.dumps({**METRIC, "doc": "x" * (1 << 20)}), 5)
    assert Reading(registry.url).reasons(record(number=5)) == ["schema"]


def test_g6_endless_chain_of_references_is_rejected(registry: Registry) -> None:
    for version in range(1, 300):
        refers = [{"name": "x", "subject": "chain", "version": version + 1}]
        registry.register("string", 100 + version, "chain", version, references=refers)
    assert Reading(registry.url).reasons(record(number=101)) == ["schema"]
    assert registry.asked() <= schema_registry.MOST_REFERENCES + 1


class Patience:
    """A worker that reads Avro, with a decoder that does not really sleep."""

    def __init__(self, registry: Registry) -> None:
        read = raw(record(number=1), record(number=2), record(number=1), topic=PARTITION[0], first=0)
        batch = dataclasses.replace(read, partition=PARTITION[1])
        self.rig = Rig(ListSource([[batch]], frozenset({PARTITION})))
        self.settings = Settings.model_validate({"registry": {"urls": [registry.url], "lookup_timeout_seconds": 30}})
        self.slept = 0
        decoder = AvroDecoder(self.settings, Kinds(), self.rig.worker.on_wait, self.rig.clock.monotonic)
        decoder._lookup = SchemaRegistry(
            self.settings.registry, self.rig.worker.on_wait, sleep=self._sleep, now=self.rig.clock.monotonic
        )
        self.rig.worker.decoder = decoder
        self.during_a_pause: Callable[[], None] = lambda: None

    def _sleep(self, seconds: float) -> None:
        self.slept += 1
        health = self.rig.worker.telemetry.health
        assert health.progress_at == self.rig.clock.monotonic(), "the watchdog hears of every pause"
        self.rig.clock.sleep(seconds)
        self.during_a_pause()


def test_g3_worker_without_a_registry_ends_without_a_commit(registry: Registry) -> None:
    reading = Patience(registry)
    registry.status = 503
    with pytest.raises(SchemaUnavailable, match="given up after 30 s"):
        reading.rig.worker.run()
    assert reading.rig.source.committed == {}
    assert reading.rig.dead.acknowledged == []
    assert reading.rig.value("detector_source_errors_total", reason="schema_unavailable") == reading.slept > 3


def test_worker_waits_for_its_registry(registry: Registry) -> None:
    reading = Patience(registry)
    registry.fails = 3
    reading.rig.worker.run()
    assert reading.rig.source.committed == {PARTITION: 3}
    assert reading.rig.value("detector_records_rejected_total", reason="schema_unknown") == 1
    assert reading.rig.accounted()
    assert reading.slept == 3 + 1, "the schema that nobody knows is asked for twice"


def test_g12_worker_waiting_for_its_registry_stops_in_order(registry: Registry) -> None:
    reading = Patience(registry)
    registry.status = 503
    reading.during_a_pause = reading.rig.worker.stop
    reading.rig.worker.run()
    assert reading.slept == 1
    assert reading.rig.source.committed == {}
    assert "stopped" in reading.rig.log.getvalue()
