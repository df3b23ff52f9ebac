"""Metricbeat's events: series, labels, counters, refusals. The events are written after its documentation."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config.decoder import MetricbeatDecoder as Settings
from detector.decoders import MetricbeatDecoder, metricbeat, metricbeat_fields
from detector.records import Kind
from detector.series import SeriesIndex, SeriesKey
from tests.decoders.batches import RECORD_TIME, packed, raw, readable
from tests.decoders.metricbeat_events import COMMON, CONTAINER, MODULES, NETWORK, event

NOW = 1_700_000_000.853


def decoded(document: Any) -> list[Any]:
    """(series, time, value, outcome, offset, kind)"""
    series = SeriesIndex()
    value = document if isinstance(document, bytes) else packed(document)
    samples = MetricbeatDecoder(Settings(), [], []).decode(raw(value), series)
    assert not samples.rejects, samples.rejects
    return [(*line, Kind(kind).name) for line, kind in zip(readable(samples, series), samples.kinds, strict=True)]


def meaning(*documents: Any, **settings: Any) -> set[tuple[SeriesKey, float, int]]:
    """(series, value, kind)"""
    series = SeriesIndex()
    decoder = MetricbeatDecoder(
        Settings.model_validate({name: settings.get(name, []) for name in ("labels", "ignore")}),
        settings.get("counters", []),
        settings.get("gauges", []),
    )
    samples = decoder.decode(raw(*map(packed, documents)), series)
    assert not samples.rejects, samples.rejects
    keys = map(series.key, samples.series.tolist())
    return set(zip(keys, samples.values.tolist(), samples.kinds.tolist(), strict=True))


def expected(
    dataset: str, labels: dict[str, str], gauges: dict[str, float], counters: dict[str, float]
) -> set[tuple[SeriesKey, float, int]]:
    common = {"event.dataset": dataset, "host.name": "web-1", **labels}
    return {
        (SeriesKey.of(path, common), float(value), kind)
        for values, kind in ((gauges, Kind.GAUGE), (counters, Kind.COUNTER))
        for path, value in values.items()
    }


GOOD = packed(NETWORK)
READ = 'system.network.in.bytes{event.dataset="system.network",host.name="web-1",system.network.name="eth0"}'


def changed(**fields: Any) -> bytes:
    return packed({**NETWORK, **fields})


POISON: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"", "empty"),
    (b" \n ", "empty"),
    (b"[]", "empty"),
    (b"x" * (1 << 20) + b"x", "oversize"),
    (b"\xff", "encoding"),
    (GOOD.replace(b"eth0", b"\xff"), "encoding"),
    (GOOD.replace(b"2023-", b"\xff"), "encoding"),
    (GOOD[:-1], "syntax"),
    (GOOD + b"}", "syntax"),
    (GOOD + b"\n{", "syntax"),
    (b"metric 1", "syntax"),
    (b"[" * 200_000, "nesting"),
    (GOOD.replace(b"2595", b"[" * 200_000 + b"]" * 200_000), "nesting"),
    (GOOD.replace(b"2595", b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nesting"),
    (b"7", "shape"),
    (b"{}", "shape"),
    (b"[7]", "shape"),
    (b'{"@timestamp":"2023-11-14T22:13:20Z","message":"logged in","log":{"offset":7}}', "shape"),
    (b"[" + GOOD + b',{"message":"logged in"}]', "shape"),
    (GOOD + b"\n7", "shape"),
    (b'{"metricset":{},"":1}', "identity"),
    (changed(labels={"note": "a" * 20_000}), "labels"),
    (b'{"metricset":{},"labels":{"a":"b"},"' + b"a" * 20_000 + b'":1}', "labels"),
    (b'{"metricset":{},"my":' + b'{"field":' * 200 + b"1" + b"}" * 200 + b"}", "labels"),
    (changed(**{"@timestamp": "soon"}), "timestamp"),
    (changed(**{"@timestamp": {}}), "timestamp"),
    (b"[" + GOOD + b"," + changed(**{"@timestamp": "soon"}) + b"]", "timestamp"),
    (packed(event("redis.info", error={"code": 1, "message": "connection refused"})), "no_numbers"),
    (changed(system={}), "no_numbers"),
    (changed(system={"network": {"in": None, "out": [1, {"bytes": 2}]}}), "no_numbers"),
]


def test_event_has_a_sample_for_each_number() -> None:
    assert decoded(NETWORK) == [
        (READ.replace("in.bytes", path), NOW, value, "SCORED", 1, "COUNTER")
        for path, value in (("in.bytes", 2595.0), ("in.errors", 0.0), ("out.bytes", 1184.0), ("out.errors", 1.0))
    ]


@pytest.mark.parametrize("dataset", sorted(MODULES))
def test_series_of_a_module(dataset: str) -> None:
    document, told = MODULES[dataset]
    assert meaning(document) == expected(dataset, *told)


def test_fields_that_are_no_labels_do_not_change_the_series() -> None:
    """Every start of an agent, and every new container of the same name."""
    document, told = MODULES["docker.network"]
    again = {
        **document,
        "agent": {**COMMON["agent"], "ephemeral_id": "9", "id": "8", "version": "9.0.0"},
        "host": {**COMMON["host"], "ip": ["10.0.0.8"], "os": {"kernel": "6.2.0"}, "id": "c0"},
        "container": {**CONTAINER, "id": "0c7c", "image": {"name": "redis:8"}},
        "cloud": {},
        "tags": ["production", "beats_input_raw_event"],
        "event": {"dataset": "docker.network", "duration": 7, "module": "docker", "sequence": 1},
        "metricset": {"name": "network", "period": 20_000},
    }
    assert meaning(document, again) == expected("docker.network", *told)


def test_id_is_the_label_if_the_name_is_missing() -> None:
    document = {**NETWORK, "container": {"id": "b9f9"}, "host": {}}
    assert decoded(document)[0][0] == (
        'system.network.in.bytes{agent.name="web-1",container.id="b9f9",event.dataset="system.network",'
        'system.network.name="eth0"}'
    )


def test_fields_may_be_named_as_labels_and_left_out() -> None:
    sql = event("sql.query", sql={"metrics": {"numeric": {"n": 7}, "string": {"table": "users"}}, "query": "select"})
    numbers = {"sql.metrics.numeric.n": 7.0}
    assert meaning(sql) == expected("sql.query", {"sql.query": "select"}, numbers, {})
    told = meaning(sql, labels=["sql.metrics.string.*"], ignore=["sql.query"])
    assert told == expected("sql.query", {"sql.metrics.string.table": "users"}, numbers, {})
    document, (labels, gauges, counters) = MODULES["docker.network"]
    told = meaning(document, labels=["container.id"])
    assert told == expected("docker.network", {**labels, "container.id": "b9f9e931fdf5"}, gauges, counters)
    process = meaning(MODULES["system.process"][0], ignore=["process.pid", "system.process.*"])
    assert process == expected("system.process", {"process.name": "dockerd"}, {"process.cpu.pct": 0.01}, {})


def test_counters_are_the_known_and_the_configured_ones() -> None:
    document = event("my.module", my={"module": {"jobs_total": 1, "jobs_count": 2, "done": 3}})

    def kinds(*documents: Any, **settings: Any) -> dict[str, str]:
        return {key.name: Kind(kind).name for key, _, kind in meaning(*documents, **settings)}

    assert kinds(document) == {
        "my.module.jobs_total": "COUNTER",
        "my.module.jobs_count": "GAUGE",
        "my.module.done": "GAUGE",
    }
    named = {"counters": ["my.module.done"], "gauges": ["*_total", "system.network.*.errors"]}
    assert kinds(document, NETWORK, **named) == {
        "my.module.jobs_total": "GAUGE",
        "my.module.jobs_count": "GAUGE",
        "my.module.done": "COUNTER",
        "system.network.in.bytes": "COUNTER",
        "system.network.in.errors": "GAUGE",
        "system.network.out.bytes": "COUNTER",
        "system.network.out.errors": "GAUGE",
    }


def test_one_event_an_array_or_lines() -> None:
    first = (READ, NOW, 2595.0, "SCORED", 1, "COUNTER")
    pretty = GOOD.replace(b",", b",\n  ")
    assert decoded(pretty)[0] == first
    assert decoded(b" [" + GOOD + b"," + pretty + b"]")[::4] == [first] * 2
    assert decoded(GOOD + b"\n" + GOOD + b"\n")[::4] == [first] * 2


def test_path_may_be_written_with_dots() -> None:
    document: dict[str, Any] = {"metricset.name": "x", "metricset": {}, "host.name": "web-1"}
    document["system.network"] = {"in.bytes": 5, "name": "eth0"}
    key = SeriesKey.of("system.network.in.bytes", {"host.name": "web-1", "system.network.name": "eth0"})
    assert meaning(document) == {(key, 5.0, Kind.COUNTER)}


def test_event_without_a_time_gets_the_record_time() -> None:
    document = {name: content for name, content in NETWORK.items() if name != "@timestamp"}
    assert {line[1] for line in decoded(document)} == {RECORD_TIME}


@pytest.mark.parametrize("number", ["1" + "0" * 30, "9223372036854775808", "-9223372036854775809", "1e300"])
def test_large_numbers(number: str) -> None:
    assert decoded(GOOD.replace(b"2595", number.encode()))[0][2] == float(number)
    large = GOOD.replace(b'"eth0"', number.encode())
    assert f'system.network.name="{float(number)}"' in decoded(large)[0][0]


def size(known: dict[str, Any]) -> int:
    return len(known) + sum(size(field.inner) for field in known.values())


def test_too_deep_nesting_is_rejected() -> None:
    """A path of up to 512 characters is a series; beyond a depth that depends on Python, parsers give up."""
    reasons = []
    for depth in (400, *range(840, 1_010), 20_000):
        record = b'{"metricset":{},"host":{"name":"a"},"my":' + b'{"":' * depth + b"1" + b"}" * depth + b"}"
        samples = MetricbeatDecoder(Settings(), [], []).decode(raw(record), SeriesIndex())
        reasons += [reject.reason for reject in samples.rejects] or ["read"]
    assert [reason for reason, _ in itertools.groupby(reasons)] == ["read", "labels", "nesting"]


def test_memory_for_new_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metricbeat_fields, "_MOST_FIELDS", 100)
    monkeypatch.setattr(metricbeat, "_MOST_CONSTANT_BYTES", 10_000)
    decoder = MetricbeatDecoder(Settings(), [], [])
    documents = [{**NETWORK, "my": {str(n): n}, "labels": {"run": f"run-{n}"}} for n in range(1_000)]
    series = SeriesIndex()
    samples = decoder.decode(raw(*map(packed, documents)), series)
    assert len(series) == len(samples) == 5_000
    assert size(decoder._fields._known) <= 200
    assert sum(len(content) for _, content in decoder._constant) <= 10_000
    assert len(decoder.decode(raw(GOOD), series)) == 4


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
fields = st.text(st.characters(codec="utf-8", exclude_characters="."), max_size=6).map("{}_x".format)


@given(
    numbers=st.dictionaries(fields, st.floats(-1e30, 1e30) | st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=6),
    labels=st.dictionaries(texts, texts, max_size=4),
)
def test_any_numbers_and_labels_are_decoded(numbers: dict[str, float], labels: dict[str, str]) -> None:
    document = {"metricset": {}, "host": {"name": "h"}, "labels": labels, "my": {"value": numbers}}
    identity = {"host.name": "h", **{f"labels.{name}": text for name, text in labels.items()}}
    expected = {SeriesKey.of(f"my.value.{name}", identity): float(value) for name, value in numbers.items()}
    series, decoder = SeriesIndex(), MetricbeatDecoder(Settings(), [], [])
    for _ in range(2):
        samples = decoder.decode(raw(msgspec.json.encode(document)), series)
        keys = [series.key(handle) for handle in samples.series.tolist()]
        assert dict(zip(keys, samples.values.tolist(), strict=True)) == expected


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    series = SeriesIndex()
    values = [value for record, _ in POISON for value in (record, GOOD)]
    samples = MetricbeatDecoder(Settings(), [], []).decode(raw(*values), series)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason in POISON]
    assert [reject.value for reject in samples.rejects] == [record for record, _ in POISON]
    assert samples.offsets.tolist() == [offset for offset in range(2, len(values) + 1, 2) for _ in range(4)]
    assert len(series) == 4, "what is refused leaves no series behind"
