"""Avro records: types of the parts of a sample, framing, invalid records and invalid schemas."""

from __future__ import annotations

import cProfile
import json
import struct
import time
import tracemalloc
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detector.config.decoder import Decoder as Settings
from detector.config.fields import Fields
from detector.decoders import make_decoder
from detector.decoders.avro_plan import Planner
from detector.decoders.avro_read import Reads
from detector.decoders.avro_schema import parse
from detector.decoders.avro_skip import BROKEN, Skips
from detector.decoders.columns import MAX_RECORD_BYTES
from detector.errors import DecodeError, SchemaUnavailable
from detector.records import Kind, SampleBatch
from detector.series import SeriesIndex, SeriesKey
from tests.decoders.avro_records import (
    HUGE,
    METRIC,
    SAMPLE,
    SCHEMA_FILE,
    datum,
    framed,
    number,
    record,
    schemas_and_values,
    text,
)
from tests.decoders.batches import RECORD_TIME, raw, readable
from tests.wire.records import FOLDER, batch, expected, records

READ = ('cpu{host="a"}', 1_700_000_000.0, 1.5, "SCORED", 1)


def decoded(
    folder: Path, schemas: Any, *values: bytes | None, **avro: Any
) -> tuple[SampleBatch, list[tuple[str, float, float | None, str, int]]]:
    """Schemas by id, or one schema, whose id is 1."""
    by_id = schemas if isinstance(schemas, dict) and all(isinstance(key, int) for key in schemas) else {1: schemas}
    files = {}
    for number_, schema in by_id.items():
        files[number_] = str(folder / f"{number_}.avsc")
        Path(files[number_]).write_text(json.dumps(schema))
    settings = Settings.model_validate({"type": "avro", "avro": {"schemas": files, **avro}})
    series = SeriesIndex()
    samples = make_decoder(settings).decode(raw(*values), series)
    return samples, readable(samples, series)


def read(folder: Path, schema: Any, value: Any, **avro: Any) -> list[tuple[str, float, float | None, str, int]]:
    samples, found = decoded(folder, schema, record(schema, value), **avro)
    assert samples.rejects == ()
    return found


def refused(folder: Path, schemas: Any, *values: bytes | None, **avro: Any) -> list[str]:
    samples, _ = decoded(folder, schemas, *values, **avro)
    return [reject.reason for reject in samples.rejects]


def metric(**types: Any) -> dict[str, Any]:
    """The usual schema with other types for some of its fields."""
    fields = [{**field, "type": types.get(field["name"], field["type"])} for field in METRIC["fields"]]
    return {**METRIC, "fields": [{key: part for key, part in field.items() if key != "default"} for field in fields]}


def test_records_of_confluents_serializer_decode_to_what_was_serialised(tmp_path: Path) -> None:
    schema = json.loads((FOLDER / "confluent.schemas.json").read_text())["avro"]
    path = tmp_path / "schema.avsc"
    path.write_text(json.dumps(schema))
    settings = {"type": "avro", "avro": {"schemas": {1: str(path)}, "fields": {"timestamp": "ts"}}}
    series = SeriesIndex()
    samples = make_decoder(Settings.model_validate(settings)).decode(batch(records("confluent-avro")), series)
    assert samples.rejects == ()

    def identity(key: SeriesKey, moment: float, value: float | None) -> tuple[str, float, str]:
        return str(key), moment, repr(value)

    found = [
        identity(series.key(handle), moment, None if value != value else value)
        for handle, moment, value in zip(
            samples.series.tolist(), samples.times.tolist(), samples.values.tolist(), strict=True
        )
    ]
    told = [
        identity(SeriesKey.of(each["name"], each["labels"]), each["timestamp_ns"] / 1e9, each["value"])
        for each in expected("confluent")
    ]
    assert sorted(found) == sorted(told)
    assert len(found) == 40


@pytest.mark.parametrize(
    ("kind", "stamp", "moment"),
    [
        ({"type": "long", "logicalType": "timestamp-millis"}, 1_700_000_000_123, 1_700_000_000.123),
        ({"type": "long", "logicalType": "timestamp-micros"}, 1_700_000_000_123_456, 1_700_000_000.123456),
        ({"type": "long", "logicalType": "timestamp-nanos"}, 1_700_000_000_123_456_789, 1_700_000_000.1234567),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, 1_700_000_000_123, 1_700_000_000.123),
        ({"type": "long", "logicalType": "timestamp-millis"}, 1_000, 1.0),
        ({"type": "int", "logicalType": "date"}, 19_675, 1_699_920_000.0),
        (["null", {"type": "long", "logicalType": "timestamp-millis"}], 1_700_000_000_000, 1.7e9),
        (["null", {"type": "long", "logicalType": "timestamp-millis"}], None, RECORD_TIME),
        ("long", 1_700_000_000_000, 1.7e9),
        ("long", 1_700_000_000, 1.7e9),
        ("double", 1_700_000_000.25, 1_700_000_000.25),
        ("string", "2023-11-14T22:13:20.25Z", 1_700_000_000.25),
        ({"type": "long", "logicalType": "no-such-thing"}, 1_700_000_000_000, 1.7e9),
        ({"type": "int", "logicalType": "timestamp-millis"}, 1_700_000_000, 1.7e9),
    ],
)
def test_times(tmp_path: Path, kind: Any, stamp: Any, moment: float) -> None:
    [(_, found, *_)] = read(tmp_path, metric(timestamp=kind), {**SAMPLE, "timestamp": stamp})
    assert found == moment


@pytest.mark.parametrize("unit", ["auto", "s", "ms", "us", "ns"])
def test_timestamp_unit_is_that_of_the_logical_type_or_the_configured_one(tmp_path: Path, unit: str) -> None:
    [(_, moment, *_)] = read(tmp_path, METRIC, SAMPLE, timestamp_unit=unit)
    assert moment == pytest.approx(1.7e9, abs=1e-6)
    per_second = {"auto": 1.0, "s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]
    stamp = {**SAMPLE, "timestamp": int(5 * per_second)}
    [(_, moment, *_)] = read(tmp_path, metric(timestamp="long"), stamp, timestamp_unit=unit)
    assert moment == 5.0


def test_timestamp_out_of_range_is_not_read_in_another_unit(tmp_path: Path) -> None:
    late = {**SAMPLE, "timestamp": 2**62}
    [(*_, outcome, _)] = read(tmp_path, METRIC, late)
    assert outcome == "BAD_TIMESTAMP"


DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}


@pytest.mark.parametrize(
    ("kind", "value", "number_"),
    [
        ("double", 1.5, 1.5),
        ("float", 1.5, 1.5),
        ("int", -7, -7.0),
        ("long", 2**53, 2.0**53),
        ("boolean", True, 1.0),
        (["null", "double", "long", "string"], 7, 7.0),
        (["null", "double"], None, None),
        ("null", None, None),
        ("string", "12.5", 12.5),
        (DECIMAL, (1234).to_bytes(2, "big"), 12.34),
        (DECIMAL, (-1234).to_bytes(4, "big", signed=True), -12.34),
        ({"type": "fixed", "name": "D", "size": 8, **{k: v for k, v in DECIMAL.items() if k != "type"}},
         (-1234).to_bytes(8, "big", signed=True), -12.34),
        (["null", {"type": "record", "name": "V", "fields": [{"name": "x", "type": "long"}]}], None, None),
    ],
)  # fmt: skip
def test_values(tmp_path: Path, kind: Any, value: Any, number_: float | None) -> None:
    [(_, _, found, outcome, _)] = read(tmp_path, metric(value=kind), {**SAMPLE, "value": value})
    assert (found, outcome) == (number_, "GAP" if number_ is None else "SCORED")


LEVEL = {"type": "enum", "name": "Level", "symbols": ["LOW", "HIGH"]}


@pytest.mark.parametrize(
    ("kind", "labels", "key"),
    [
        ({"type": "map", "values": "string"}, {"host": "a"}, 'cpu{host="a"}'),
        ({"type": "map", "values": ["null", "string", "long"]}, {"b": 1, "a": "x", "c": None}, 'cpu{a="x",b="1"}'),
        (["null", {"type": "map", "values": "string"}], None, "cpu"),
        ({"type": "map", "values": LEVEL}, {"level": "HIGH"}, 'cpu{level="HIGH"}'),
        ({"type": "record", "name": "L", "fields": [{"name": "host", "type": "string"}, {"name": "core", "type": "int"},
          {"name": "on", "type": "boolean"}, {"name": "level", "type": LEVEL}, {"name": "no", "type": "null"}]},
         {"host": "a", "core": 7, "on": True, "level": "LOW", "no": None},
         'cpu{core="7",host="a",level="LOW",on="true"}'),
    ],
)  # fmt: skip
def test_labels(tmp_path: Path, kind: Any, labels: Any, key: str) -> None:
    [(found, *_)] = read(tmp_path, metric(labels=kind), {**SAMPLE, "labels": labels})
    assert found == key


def test_uuid_labels(tmp_path: Path) -> None:
    one = uuid.uuid4()
    kind = {"type": "map", "values": {"type": "fixed", "size": 16, "name": "U", "logicalType": "uuid"}}
    [(found, *_)] = read(tmp_path, metric(labels=kind), {**SAMPLE, "labels": {"id": one.bytes}})
    assert found == f'cpu{{id="{one}"}}'


def test_counters_are_recognised_by_name(tmp_path: Path) -> None:
    samples, _ = decoded(tmp_path, METRIC, record(value={**SAMPLE, "name": "requests_total"}), record())
    assert samples.kinds.tolist() == [Kind.COUNTER, Kind.GAUGE]


def test_configured_paths_find_the_parts_of_a_sample(tmp_path: Path) -> None:
    tags = {"type": "record", "name": "Tags", "fields": [{"name": "host", "type": "string"}]}
    inner = [{"name": "tags", "type": tags}, {"name": "name", "type": "string"}, {"name": "more", "type": "bytes"}]
    schema = {
        "type": "record",
        "name": "Nested",
        "fields": [
            {"name": "before", "type": {"type": "array", "items": ["null", "Nested", "double"]}},
            {"name": "metric", "type": ["null", {"type": "record", "name": "Inner", "fields": inner}]},
            {"name": "numbers", "type": {"type": "map", "values": ["null", "double", "string"]}},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "after", "type": "string"},
        ],
    }
    fields = {"name": "metric.name", "labels": "metric.tags", "timestamp": "at", "value": "numbers.load"}
    inside = {"tags": {"host": "a"}, "name": "cpu", "more": b"\x00\xff"}
    value = {"metric": inside, "numbers": {"x": "y", "load": 1.5}, "at": 1_700_000_000_000_000, "after": "z"}
    sample = {"before": [None, 0.5, {"before": [], **value}], **value}
    assert read(tmp_path, schema, sample, fields=fields) == [READ]
    for broken in ({"metric": None}, {"numbers": {"x": "y"}}):
        assert refused(tmp_path, schema, record(schema, {**sample, **broken}), fields=fields) in (
            ["identity"],
            ["value"],
        )


def test_path_without_a_field_is_reported_when_the_schema_is_first_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without labels, many series would be merged without any reject."""
    fields = {"labels": "tags", "value": "value.avg", "name": "name"}
    samples, _ = decoded(tmp_path, METRIC, record(), record(), fields=fields)
    assert [record.getMessage() for record in caplog.records] == [
        "decoder.avro.schemas.1 has no field at 'tags', which decoder.avro.fields.labels names",
        "decoder.avro.schemas.1 has no field at 'value.avg', which decoder.avro.fields.value names",
    ]
    detail = "no value at 'value.avg' (decoder.avro.fields.value)"
    assert [(reject.reason, reject.detail) for reject in samples.rejects] == [("value", detail)] * 2


def test_schema_that_cannot_hold_a_sample_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also if every path is the default: all of its records are rejected."""
    other = {"type": "record", "name": "Other", "fields": [{"name": "a", "type": "long"}]}
    for schema in (other, "long"):
        caplog.clear()
        samples, _ = decoded(tmp_path, schema, record(other, {"a": 1}))
        assert [record.getMessage() for record in caplog.records] == [
            "decoder.avro.schemas.1 has no field at 'value', which decoder.avro.fields.value names",
            "decoder.avro.schemas.1 has neither stream nor name nor labels where decoder.avro.fields looks for them",
        ]
        assert len(samples.rejects) == 1


def test_paths_may_be_nested(tmp_path: Path) -> None:
    labels = {
        "type": "record",
        "name": "L",
        "fields": [{"name": "job", "type": "string"}, {"name": "v", "type": "long"}],
    }
    fields = {"name": "labels.job", "value": "labels.v"}
    schema = metric(labels=labels, value="string", name="string")
    sample = {**SAMPLE, "labels": {"job": "cron", "v": 7}, "value": "unused"}
    assert read(tmp_path, schema, sample, fields=fields) == [('cron{job="cron",v="7"}', 1.7e9, 7.0, "SCORED", 1)]


def test_an_array_of_records_is_many_samples(tmp_path: Path) -> None:
    schema = {"type": "array", "items": METRIC}
    other = {**SAMPLE, "name": "mem", "value": None}
    samples, found = decoded(
        tmp_path, schema, record(schema, [SAMPLE, other]), record(schema, []), record(schema, [SAMPLE])
    )
    assert found == [READ, ('mem{host="a"}', 1.7e9, None, "GAP", 1), (*READ[:4], 3)]
    assert [(reject.offset, reject.reason) for reject in samples.rejects] == [(2, "empty")]


def test_blocks_with_a_byte_size(tmp_path: Path) -> None:
    """A count below 0 is followed by the block's bytes; several blocks may follow each other."""
    one = datum(METRIC, SAMPLE)
    data = number(-1) + number(len(one)) + one + number(2) + one + one + number(0)
    _, found = decoded(tmp_path, {"type": "array", "items": METRIC}, framed(data))
    assert found == [READ] * 3
    labels = number(-1) + number(len(text("host") + text("a"))) + text("host") + text("a") + number(0)
    rest = one[len(text("cpu")) + len(datum({"type": "map", "values": "string"}, {"host": "a"})) :]
    _, found = decoded(tmp_path, METRIC, framed(text("cpu") + labels + rest))
    assert found == [READ]


def test_schemas_of_equal_name_are_kept_apart(tmp_path: Path) -> None:
    """Both are called acme.Metric, and the bytes of a label in one are another label in the other."""
    first = metric(labels={"type": "record", "name": "L", "fields": [{"name": "level", "type": LEVEL}]})
    upside_down = {**LEVEL, "symbols": ["HIGH", "LOW"]}
    second = metric(labels={"type": "record", "name": "L", "fields": [{"name": "level", "type": upside_down}]})
    low = {**SAMPLE, "labels": {"level": "LOW"}}
    high = {**SAMPLE, "labels": {"level": "HIGH"}}
    written = [record(first, low, 1), record(second, high, 2), record(first, high, 1), record(second, low, 2)]
    assert written[0][5:] == written[1][5:]
    _, found = decoded(tmp_path, {1: first, 2: second}, *written)
    assert [name for name, *_ in found] == [
        'cpu{level="LOW"}',
        'cpu{level="HIGH"}',
        'cpu{level="HIGH"}',
        'cpu{level="LOW"}',
    ]


def test_branches_of_a_union_are_kept_apart(tmp_path: Path) -> None:
    """The same bytes of a name mean different names in the two branches."""

    def inner(name: str, symbols: list[str]) -> dict[str, Any]:
        enum = {"type": "enum", "name": f"{name}Enum", "symbols": symbols}
        return {"type": "record", "name": name, "fields": [{"name": "name", "type": enum}]}

    schema = metric(labels=[inner("A", ["x", "y"]), inner("B", ["y", "x"])])
    values = [("A", "x"), ("B", "y"), ("A", "y"), ("B", "x")]
    written = [record(schema, {**SAMPLE, "labels": (f"acme.{kind}", {"name": name})}) for kind, name in values]
    _, found = decoded(tmp_path, schema, *written, fields={"name": "labels.name", "labels": "none"})
    assert [name for name, *_ in found] == ["x", "y", "y", "x"]


def test_records_without_a_schema_id() -> None:
    settings = Settings.model_validate({"type": "avro", "avro": {"schema_file": str(SCHEMA_FILE)}})
    series = SeriesIndex()
    samples = make_decoder(settings).decode(raw(datum(METRIC, SAMPLE), record()), series)
    assert readable(samples, series) == [READ]
    assert [reject.reason for reject in samples.rejects] == ["identity"], "the zeros of the frame are an empty name"


GOOD = record()
VALUE = len(GOOD) - 9
POISON: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"", "framing"),
    (b"\x00\x00\x00\x00", "framing"),
    (b'{"name":"cpu","value":1}', "framing"),
    (b"Obj\x01" + GOOD, "framing"),
    (b"\x01" + GOOD[1:], "framing"),
    (GOOD + bytes(1 << 20), "oversize"),
    (b"\x00\x00\x00\x00\x07" + GOOD[5:], "schema_unknown"),
    (GOOD[:5], "syntax"),
    (GOOD[:-1], "syntax"),
    (GOOD[:-9], "syntax"),
    (GOOD + b"\x00", "syntax"),
    (GOOD + GOOD[5:], "syntax"),
    (framed(number(7) + b"cpu"), "syntax"),
    (framed(number(-3) + GOOD[6:]), "syntax"),
    (framed(b"\xff" * 200), "syntax"),
    (framed(b"\x80" * 200_000), "syntax"),
    *((framed(number(size) + GOOD[6:]), "syntax") for size in HUGE),
    *((framed(text("cpu") + number(size) + text("host") + text("a")), "syntax") for size in HUGE if size != -(2**63)),
    (GOOD[:VALUE] + number(2) + GOOD[VALUE + 1 :], "syntax"),
    (GOOD[:VALUE] + number(-1) + GOOD[VALUE + 1 :], "syntax"),
    (framed(number(2) + b"\xff\xfe" + GOOD[9:]), "encoding"),
    (record(value={**SAMPLE, "name": "", "labels": {}}), "identity"),
    (record(value={**SAMPLE, "labels": {"__group__": "x"}}), "labels"),
    (record(value={**SAMPLE, "labels": {"x": "y" * 20_000}}), "labels"),
]


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded(tmp_path: Path) -> None:
    values = [value for poison, _ in POISON for value in (poison, GOOD)]
    samples, found = decoded(tmp_path, METRIC, *values)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason in POISON]
    assert [reject.value for reject in samples.rejects] == [poison for poison, _ in POISON]
    assert found == [(*READ[:4], offset) for offset in range(2, len(values) + 1, 2)]


@pytest.mark.parametrize(
    ("types", "value", "reason"),
    [
        ({"value": "string"}, {"value": "HIGH"}, "value"),
        ({"value": "bytes"}, {"value": b"12"}, "value"),
        ({"value": {"type": "map", "values": "double"}}, {"value": {"a": 1.0}}, "value"),
        ({"value": {"type": "array", "items": "double"}}, {"value": [1.0]}, "value"),
        ({"value": DECIMAL}, {"value": b""}, "syntax"),
        ({"timestamp": "boolean"}, {"timestamp": True}, "timestamp"),
        ({"timestamp": "string"}, {"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "double"}, {"timestamp": float("nan")}, "timestamp"),
        ({"timestamp": "bytes"}, {"timestamp": b"1"}, "timestamp"),
        ({"name": "long"}, {"name": 7}, "identity"),
        ({"labels": "string"}, {"labels": "host=a"}, "labels"),
        ({"labels": {"type": "map", "values": "bytes"}}, {"labels": {"a": b"b"}}, "labels"),
        ({"labels": {"type": "map", "values": {"type": "array", "items": "long"}}}, {"labels": {"a": [1]}}, "labels"),
        ({"labels": {"type": "array", "items": "string"}}, {"labels": ["a"]}, "labels"),
    ],
)
def test_g6_parts_of_a_wrong_type_are_rejected(tmp_path: Path, types: Any, value: Any, reason: str) -> None:
    schema = metric(**types)
    assert refused(tmp_path, schema, record(schema, {**SAMPLE, **value})) == [reason]


def test_g6_record_without_a_sample_is_rejected(tmp_path: Path) -> None:
    union = ["null", METRIC]
    assert refused(tmp_path, "string", record("string", "cpu")) == ["shape"]
    assert refused(tmp_path, union, framed(datum(union, None)), record(union)) == ["shape"]
    nested = {"type": "array", "items": {"type": "array", "items": METRIC}}
    assert refused(tmp_path, nested, record(nested, [[SAMPLE]])) == ["shape"]
    without = {**METRIC, "fields": METRIC["fields"][:3]}
    assert refused(tmp_path, without, record(without, SAMPLE)) == ["value"]


def test_g6_record_is_decoded_completely_or_not_at_all(tmp_path: Path) -> None:
    schema = {"type": "array", "items": metric(value="string")}
    values = [{**SAMPLE, "value": "1"}, {**SAMPLE, "value": "x"}]
    samples, found = decoded(tmp_path, schema, record(schema, values), record(schema, values[:1]))
    assert [reject.reason for reject in samples.rejects] == ["value"]
    assert [offset for *_, offset in found] == [2]


WRONG_SCHEMAS = [
    '"no.such.type"',
    "{",
    "7",
    "[]",
    "{}",
    '{"type": "record", "name": "A"}',
    '{"type": "record", "fields": []}',
    '{"type": "record", "name": "A", "fields": [{"type": "long"}]}',
    '{"type": "record", "name": "A", "fields": [{"name": "a", "type": "long"}, {"name": "a", "type": "long"}]}',
    '{"type": "enum", "name": "A"}',
    '{"type": "fixed", "name": "A", "size": -1}',
    '{"type": "array"}',
    '{"type": "array", "items": "null"}',
    '{"type": "array", "items": {"type": "fixed", "name": "A", "size": 0}}',
    '{"type": "array", "items": {"type": "record", "name": "A", "fields": [{"name": "a", "type": "null"}]}}',
    '[{"type": "fixed", "name": "A", "size": 1}, {"type": "fixed", "name": "A", "size": 2}]',
    '{"type": "array", "items": ' * 200 + '"long"' + "}" * 200,
    "[" * 100_000,
    json.dumps(["long"] * 20_000),
    json.dumps({"__fastavro_parsed__": True}),
]


@pytest.mark.parametrize("schema", WRONG_SCHEMAS, ids=range(len(WRONG_SCHEMAS)))
def test_g6_unusable_schema_is_the_reason_of_the_reject(tmp_path: Path, schema: str) -> None:
    with pytest.raises(DecodeError) as refusal:
        parse(schema)
    assert refusal.value.reason == "schema"
    assert len(refusal.value.detail) < 200
    path = tmp_path / "wrong.avsc"
    path.write_text(schema)
    with pytest.raises(SchemaUnavailable, match=r"schemas\.7: .*wrong\.avsc does not contain a usable schema: "):
        make_decoder(Settings.model_validate({"type": "avro", "avro": {"schemas": {7: str(path)}}}))


def test_missing_schema_file_is_named(tmp_path: Path) -> None:
    for avro in ({"schema_file": str(tmp_path / "no.avsc")}, {"schemas": {7: str(tmp_path / "no.avsc")}}):
        with pytest.raises(SchemaUnavailable, match=r"decoder\.avro\.schema.*no\.avsc cannot be read"):
            make_decoder(Settings.model_validate({"type": "avro", "avro": avro}))


ITSELF = {"type": "record", "name": "Link", "fields": [{"name": "next", "type": ["null", "Link"]}]}


def test_g6_too_deep_nesting_is_rejected(tmp_path: Path) -> None:
    """A reader in C that follows them overflows its stack."""
    schema = metric(name=ITSELF)
    deep = framed(b"\x02" * 900_000)
    assert refused(tmp_path, schema, deep, deep) == ["nesting", "nesting"]
    schema = {"type": "record", "name": "M", "fields": [*METRIC["fields"], {"name": "more", "type": ITSELF}]}
    more: dict[str, Any] = {"next": None}
    for _ in range(20):
        more = {"next": more}
    assert read(tmp_path, schema, {**SAMPLE, "more": more}) == [READ]


def test_g6_cost_of_a_record_is_bounded_by_its_bytes(tmp_path: Path) -> None:
    """Few bytes promise much: arrays of arrays, records of records that name each type twice."""
    chain: Any = "double"
    for depth in range(60):
        fields = [{"name": "a", "type": chain}, {"name": "b", "type": f"R{depth - 1}" if depth else chain}]
        chain = {"type": "record", "name": f"R{depth}", "fields": fields}
    nothing: Any = "null"
    for depth in range(60):
        fields = [{"name": "a", "type": nothing}, {"name": "b", "type": f"N{depth - 1}" if depth else nothing}]
        nothing = {"type": "record", "name": f"N{depth}", "fields": fields}
    rows = {"type": "array", "items": {"type": "array", "items": "double"}}
    schemas = {
        number_: {"type": "record", "name": "M", "fields": [{"name": "x", "type": kind}, *METRIC["fields"]]}
        for number_, kind in enumerate((chain, nothing, rows), 1)
    }
    one = datum(METRIC, SAMPLE)
    values = [framed(bytes(1_000), 1), framed(one, 2), framed(number(10) + number(2**40) + bytes(1_000), 3)]
    began = time.process_time()
    tracemalloc.start()
    samples, found = decoded(tmp_path, schemas, *values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [reject.reason for reject in samples.rejects] == ["syntax", "syntax"]
    assert [name for name, *_ in found] == ['cpu{host="a"}']
    assert peak < 32 << 20
    assert time.process_time() - began < 60


def steps(read: Callable[[], object]) -> int:
    """Calls of Python's functions in it."""
    profile = cProfile.Profile()
    profile.runcall(read)
    return sum(entry.callcount for entry in profile.getstats())


def ones(name: str, fields: list[Any]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": f"f{place}", "type": kind} for place, kind in enumerate(fields)],
    }


NULLS = ones("R", [*["null"] * 2_000, {"type": "fixed", "name": "Z", "size": 0}, *["Z"] * 2_000, "boolean"])
CHAIN = [ones("R0", ["boolean"]), *(ones(f"R{depth}", [f"R{depth - 1}"]) for depth in range(1, 300))]


@pytest.mark.parametrize("kinds", [[NULLS, "R"], [*CHAIN, "R299"]], ids=["fields without bytes", "records of a record"])
def test_g6_cost_of_a_byte_does_not_grow_with_the_schema(kinds: list[Any]) -> None:
    """Each item is one byte."""
    *known, item = kinds
    kind = parse(json.dumps({"type": "array", "items": item}), [json.dumps(one) for one in known])
    data = number(1_000) + bytes(1_001)
    skip = Skips().of(kind)
    assert steps(lambda: skip(data, 0)) < 10 * len(data)
    plan, _ = Planner(Fields(value="f1000000"), 1.0).plan(kind)
    assert steps(lambda: plan(data, 0, lambda parts: None)) < 20 * len(data)


def test_g6_null_labels_are_skipped(tmp_path: Path) -> None:
    many = ones("L", ["string", *["null"] * 1_000])
    kind = parse(json.dumps(many))
    read_labels = Reads(Skips()).mapping(kind)
    assert read_labels(text("a"), 0) == ({"f0": "a"}, 2)
    assert read(
        tmp_path, metric(labels=many), {**SAMPLE, "labels": dict.fromkeys(f"f{n}" for n in range(1_001)) | {"f0": "a"}}
    ) == [('cpu{f0="a"}', *READ[1:])]


@pytest.mark.parametrize("place", ["", "labels"])
def test_g6_type_named_by_many_branches_is_planned_once(place: str) -> None:
    """Otherwise a schema of 100 kB would make a plan of gigabytes."""
    branches = [ones("R", ["int"] * 1_000), *["R"] * 1_000]
    kind = parse(
        json.dumps(
            {"type": "record", "name": "M", "fields": [{"name": "labels", "type": branches}]} if place else branches
        )
    )
    assert steps(lambda: Planner(Fields(), 1.0).plan(kind)) < 100_000


@given(schemas_and_values(), st.binary(max_size=3))
def test_skipping_any_value_ends_at_its_last_byte(typed: tuple[Any, Any], behind: bytes) -> None:
    schema, value = typed
    kind, data = parse(json.dumps(schema)), datum(schema, value)
    skip = Skips().of(kind)
    assert skip(data + behind, 0) == len(data)
    assert Reads(Skips()).of(kind)(data + behind, 0)[1] == len(data)
    for cut in range(min(len(data), 300)):
        with suppress(*BROKEN):
            assert skip(data[:cut], 0) != cut


@given(schemas_and_values(depth=0))
def test_any_leaf_round_trips(typed: tuple[Any, Any]) -> None:
    schema, value = typed
    found, end = Reads(Skips()).of(parse(json.dumps(schema)))(datum(schema, value), 0)
    assert (found, end) == (value, len(datum(schema, value)))


@given(st.lists(schemas_and_values(), min_size=5, max_size=5), st.floats(allow_nan=False, allow_infinity=False))
def test_sample_is_found_among_fields_of_any_type(others: list[tuple[Any, Any]], value: float) -> None:
    fields: list[Any] = []
    sample: dict[str, Any] = {}
    for position, (schema, other) in enumerate(others):
        fields.append({"name": f"x{position}", "type": schema})
        sample[f"x{position}"] = other
        fields += METRIC["fields"][position : position + 1]
    schema = {**METRIC, "fields": fields}
    settings = Settings.model_validate({"type": "avro", "avro": {"schema_file": str(SCHEMA_FILE)}})
    decoder: Any = make_decoder(settings)
    decoder._only, _ = decoder._planner.plan(parse(json.dumps(schema)))
    series = SeriesIndex()
    data = datum(schema, {**sample, **SAMPLE, "value": value})
    assume(len(data) <= MAX_RECORD_BYTES)
    samples = decoder.decode(raw(data), series)
    assert [(name, moment, found) for name, moment, found, *_ in readable(samples, series)] == [(*READ[:2], value)]


@given(schemas_and_values(), st.binary(max_size=300))
def test_random_bytes_are_skipped_or_rejected(typed: tuple[Any, Any], data: bytes) -> None:
    kind = parse(json.dumps(typed[0]))
    for step in (Skips().of(kind), Reads(Skips()).of(kind), Reads(Skips(), 1e9).mapping(kind)):
        with suppress(*BROKEN):
            step(data, 0)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(
        ["record", "enum", "fixed", "array", "map", "string", "null", "A", "type", "decimal"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["type", "name", "fields", "items", "values", "symbols", "size", "logicalType", "precision",
                         "scale", "namespace"]), inner, max_size=5
    ),
    max_leaves=30,
))  # fmt: skip
def test_any_json_is_a_schema_or_an_error(document: Any) -> None:
    with suppress(DecodeError):
        kind = parse(json.dumps(document))
        Skips().of(kind)
        Reads(Skips(), 1.0).mapping(kind)


def test_encoder_of_these_tests_agrees_with_bytes_by_hand() -> None:
    moment = int(str(SAMPLE["timestamp"]))
    labels = number(1) + text("host") + text("a") + number(0)
    assert datum(METRIC, SAMPLE) == text("cpu") + labels + number(moment) + number(1) + struct.pack("<d", 1.5)
