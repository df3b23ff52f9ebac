"""OTLP: both spellings, kinds, gaps, refusals. What the SDK's real records mean is in test_wire.py."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config.decoder import OtlpDecoder as Settings
from detector.decoders import OtlpDecoder
from detector.records import Kind
from detector.series import SeriesIndex
from tests.decoders.batches import packed, raw, readable
from tests.decoders.encode import double, fixed, number, part, varint

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
GAUGE, SUM, HISTOGRAM, EXPONENTIAL, SUMMARY = 5, 7, 9, 10, 11
DELTA, CUMULATIVE = 1, 2


def any_value(value: Any) -> bytes:
    if isinstance(value, str):
        return part(1, value.encode())
    if isinstance(value, bool):
        return varint(2, value)
    if isinstance(value, int):
        return varint(3, value)
    if isinstance(value, float):
        return double(4, value)
    if isinstance(value, list):
        return part(5, b"".join(part(1, any_value(each)) for each in value))
    if isinstance(value, dict):
        return part(6, b"".join(pair(1, *each) for each in value.items()))
    return part(7, value)


def pair(field: int, name: str, value: Any) -> bytes:
    return part(field, part(1, name.encode()) + part(2, any_value(value)))


def times(time: int = NOW, start: int = NOW - 10 * SECOND) -> bytes:
    return fixed(2, start) + fixed(3, time)


def point(value: float | int | None = 1.5, flags: int = 0, **attributes: Any) -> bytes:
    written = {float: lambda: double(4, float(value or 0)), int: lambda: fixed(6, int(value or 0))}
    number = written[type(value)]() if value is not None else b""
    return part(1, times() + number + b"".join(pair(7, *each) for each in attributes.items()) + varint(8, flags))


def metric(kind: int, *points: bytes, name: str = "cpu", temporality: int = 0, monotonic: bool = False) -> bytes:
    aggregation = varint(2, temporality) + varint(3, monotonic)
    return part(2, part(1, name.encode()) + part(3, b"1") + part(kind, b"".join(points) + aggregation))


def record(*metrics: bytes, scope: str = "", **resource: Any) -> bytes:
    owner = part(1, b"".join(pair(1, name.replace("_", "."), value) for name, value in resource.items()))
    return part(1, owner + part(2, part(1, part(1, scope.encode())) + b"".join(metrics)))


def decoded(*payloads: bytes, **settings: Any) -> list[tuple[str, float | None, str, Kind]]:
    """(series, value, outcome, kind)"""
    index = SeriesIndex()
    samples = OtlpDecoder(Settings(**settings)).decode(raw(*payloads), index)
    assert not samples.rejects, samples.rejects
    assert set(samples.times.tolist()) <= {NOW / 1e9}
    return [
        (series, value, outcome, Kind(kind))
        for (series, _, value, outcome, _), kind in zip(readable(samples, index), samples.kinds.tolist(), strict=True)
    ]


GOOD = record(metric(GAUGE, point(1.5)), host_name="a")
READ = ('cpu{host.name="a"}', 1.5, "SCORED", Kind.GAUGE)


def test_gauge_of_a_resource() -> None:
    assert decoded(GOOD, GOOD) == [READ, READ]
    assert decoded(record(metric(GAUGE, point(-3)), host_name="a")) == [(READ[0], -3.0, *READ[2:])]


def test_labels_come_from_resource_scope_and_point() -> None:
    payload = record(
        metric(GAUGE, point(route="/a", code=200, ok=True, share=0.5, parts=["x", 1], raw=b"\x00", deep={"b": [True]})),
        scope="http",
        route="theirs",
        telemetry_sdk_version="1.45",
    )
    own = 'code="200",deep="{\\"b\\":[true]}",ok="true",otel_scope_name="http",parts="[\\"x\\",1]",raw="AA=="'
    assert decoded(payload)[0][0] == f'cpu{{{own},resource.route="theirs",route="/a",share="0.5"}}'
    assert 'telemetry.sdk.version="1.45"' in decoded(payload, ignore_resource_attributes=[])[0][0]


def test_cumulative_sums_are_counters_and_deltas_are_divided_by_their_interval() -> None:
    found = decoded(
        record(metric(SUM, point(40), temporality=CUMULATIVE, monotonic=True)),
        record(metric(SUM, point(40), temporality=CUMULATIVE)),
        record(metric(SUM, point(40), temporality=DELTA, monotonic=True)),
        record(metric(SUM, point(-40), temporality=DELTA)),
    )
    assert [(value, kind) for _, value, _, kind in found] == [
        (40.0, Kind.COUNTER),
        (40.0, Kind.GAUGE),
        (4.0, Kind.GAUGE),
        (-4.0, Kind.GAUGE),
    ]
    assert len({series for series, *_ in found}) == 1


def test_delta_without_a_start_time_is_not_divided() -> None:
    unsaid = part(1, fixed(3, NOW) + fixed(6, 7))
    assert decoded(record(metric(SUM, unsaid, temporality=DELTA)))[0][1] == 7.0


@pytest.mark.parametrize(("kind", "attributes"), [(HISTOGRAM, 9), (EXPONENTIAL, 1)])
def test_histograms_are_a_count_and_a_sum(kind: int, attributes: int) -> None:
    buckets = part(6, bytes(16)) + part(7, bytes(8)) if kind == HISTOGRAM else varint(6, 3) + part(8, b"")
    one = times() + fixed(4, 30) + double(5, 60.0) + buckets + pair(attributes, "route", "/a")
    found = decoded(
        record(metric(kind, part(1, one), temporality=CUMULATIVE)),
        record(metric(kind, part(1, one), temporality=DELTA)),
    )
    assert found == [
        ('cpu_count{route="/a"}', 30.0, "SCORED", Kind.COUNTER),
        ('cpu_sum{route="/a"}', 60.0, "SCORED", Kind.COUNTER),
        ('cpu_count{route="/a"}', 3.0, "SCORED", Kind.GAUGE),
        ('cpu_sum{route="/a"}', 6.0, "SCORED", Kind.GAUGE),
    ]


def test_summary_has_quantiles() -> None:
    quantile = part(6, double(1, 0.99) + double(2, 0.25))
    one = part(1, times() + fixed(4, 30) + double(5, 60.0) + quantile)
    assert decoded(record(metric(SUMMARY, one))) == [
        ("cpu_count", 30.0, "SCORED", Kind.COUNTER),
        ("cpu_sum", 60.0, "SCORED", Kind.COUNTER),
        ('cpu{quantile="0.99"}', 0.25, "SCORED", Kind.GAUGE),
    ]


def test_no_recorded_value_is_a_gap() -> None:
    assert [line[1:3] for line in decoded(record(metric(GAUGE, point(flags=1), point(None))))] == [(None, "GAP")] * 2


def test_unknown_fields_are_skipped() -> None:
    odd = part(99, b"later") + varint(98, 7)
    assert decoded(odd + record(odd + metric(GAUGE, point(1.5)) + odd, host_name="a") + odd) == [READ]


def test_field_of_a_wrong_wire_type_is_skipped() -> None:
    attribute = part(7, part(1, b"share") + part(2, part(4, b"abc")))
    odd_point = part(1, times() + double(4, 1.5) + part(4, b"abc") + number(7 << 3 | 5) + bytes(4) + attribute)
    assert decoded(record(metric(GAUGE, odd_point), host_name="a")) == [READ]
    quantile = part(6, part(1, b"abc") + double(1, 0.99) + double(2, 0.25))
    summary = part(1, times() + fixed(4, 30) + double(5, 60.0) + quantile)
    names = [line[0] for line in decoded(record(metric(SUMMARY, summary)))]
    assert names == ["cpu_count", "cpu_sum", 'cpu{quantile="0.99"}']


def json_of(**kinds: Any) -> dict[str, Any]:
    host = {"key": "host.name", "value": {"stringValue": "a"}}
    scope = {"scope": {"name": "http", "version": "1"}, "metrics": [{"name": "cpu", "unit": "1", **kinds}]}
    return {"resourceMetrics": [{"resource": {"attributes": [host]}, "scopeMetrics": [scope]}]}


def json_point(**values: Any) -> dict[str, Any]:
    start, time = str(NOW - 10 * SECOND), str(NOW)
    attributes = [
        {"key": "route", "value": {"stringValue": "/a"}},
        {"key": "code", "value": {"intValue": "200"}},
        {"key": "ok", "value": {"boolValue": True}},
        {"key": "share", "value": {"doubleValue": 0.5}},
        {"key": "parts", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"intValue": 1}]}}},
        {"key": "raw", "value": {"bytesValue": b64encode(bytes(1)).decode()}},
        {"key": "deep", "value": {"kvlistValue": {"values": [{"key": "b", "value": {"boolValue": False}}]}}},
    ]
    return {"attributes": attributes, "startTimeUnixNano": start, "timeUnixNano": time, **values}


ATTRIBUTES: dict[str, Any] = {
    "route": "/a", "code": 200, "ok": True, "share": 0.5, "parts": ["x", 1], "raw": bytes(1), "deep": {"b": False}
}  # fmt: skip


@pytest.mark.parametrize(
    ("spelled", "binary"),
    [
        ({"gauge": {"dataPoints": [json_point(asDouble=1.5)]}}, metric(GAUGE, point(1.5, **ATTRIBUTES))),
        ({"gauge": {"dataPoints": [json_point(asInt="7")]}}, metric(GAUGE, point(7, **ATTRIBUTES))),
        ({"gauge": {"dataPoints": [json_point(asDouble="NaN")]}}, metric(GAUGE, point(float("nan"), **ATTRIBUTES))),
        ({"gauge": {"dataPoints": [json_point(flags=1)]}}, metric(GAUGE, point(1.0, 1, **ATTRIBUTES))),
        (
            {"sum": {"dataPoints": [json_point(asInt=40)], "aggregationTemporality": 2, "isMonotonic": True}},
            metric(SUM, point(40, **ATTRIBUTES), temporality=CUMULATIVE, monotonic=True),
        ),
        (
            {
                "sum": {
                    "dataPoints": [json_point(asInt="40")],
                    "aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA",
                }
            },
            metric(SUM, point(40, **ATTRIBUTES), temporality=DELTA),
        ),
    ],
)
def test_json_decodes_as_protobuf(spelled: dict[str, Any], binary: bytes) -> None:
    found = decoded(packed(json_of(**spelled)))
    assert found == decoded(record(binary, scope="http", host_name="a"))
    assert len(found) == 1


def test_distributions_in_json() -> None:
    histogram = {"dataPoints": [json_point(count="30", sum=60.0, bucketCounts=["30"])], "aggregationTemporality": 1}
    summary = {"dataPoints": [json_point(count="30", sum=6.0, quantileValues=[{"quantile": 0.5, "value": 2.0}])]}
    for kind in ("histogram", "exponentialHistogram"):
        assert [line[1] for line in decoded(packed(json_of(**{kind: histogram})))] == [3.0, 6.0]
    found = decoded(packed(json_of(summary=summary)))
    assert [(value, kind) for _, value, _, kind in found] == [
        (30.0, Kind.COUNTER),
        (6.0, Kind.COUNTER),
        (2.0, Kind.GAUGE),
    ]
    assert 'quantile="0.5"' in found[2][0]


def test_missing_sum_is_0_in_a_summary_and_unknown_in_a_histogram() -> None:
    one = part(1, times() + fixed(4, 30))
    in_json = {"dataPoints": [json_point(count="30")]}
    for summary in (record(metric(SUMMARY, one)), packed(json_of(summary=in_json))):
        assert [value for _, value, _, _ in decoded(summary)] == [30.0, 0.0]
    for histogram in (record(metric(HISTOGRAM, one)), packed(json_of(histogram=in_json))):
        assert [value for _, value, _, _ in decoded(histogram)] == [30.0]


def test_point_without_a_time_gets_the_record_time() -> None:
    index = SeriesIndex()
    samples = OtlpDecoder(Settings()).decode(
        raw(record(metric(GAUGE, part(1, double(4, 1.5)))), record_time=77.0), index
    )
    assert samples.times.tolist() == [77.0]


POISON: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"x" * (1 << 20) + b"x", "oversize"),
    (b"\x0a", "syntax"),
    (b"\x0b", "syntax"),
    (b"hello", "syntax"),
    (b"[1]", "syntax"),
    (GOOD[:-1], "syntax"),
    (record(metric(GAUGE, part(1, b"\x21abc"))), "syntax"),
    (b"{", "syntax"),
    (packed(json_of(gauge={"dataPoints": [json_point(asInt="seven")]})), "syntax"),
    (packed(json_of(gauge={"dataPoints": [json_point(asInt=10**400)]})), "syntax"),
    (packed(json_of(gauge={"dataPoints": 7})), "shape"),
    (b'{"resourceLogs":[{"scopeLogs":[]}]}', "shape"),
    (b'{"name":"cpu","value":1}', "shape"),
    (b'{"resourceMetrics":[{"resource":' + b"[" * 200_000, "nesting"),
    (record(part(2, part(1, b"\xff") + part(GAUGE, point()))), "encoding"),
    (record(metric(GAUGE, part(1, times() + double(4, 1.0) + part(7, part(1, b"\xff")))), host_name="a"), "encoding"),
    (record(metric(GAUGE, point(), name="")), "identity"),
    (record(metric(GAUGE, point(host="a" * 20_000))), "labels"),
    (record(metric(SUM, part(1, times(NOW, NOW + 1) + fixed(6, 1)), temporality=DELTA)), "timestamp"),
    (b"", "no_numbers"),
    (record(), "no_numbers"),
    (b"{}", "no_numbers"),
]


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    index = SeriesIndex()
    values = [value for record, _ in POISON for value in (record, GOOD)]
    samples = OtlpDecoder(Settings()).decode(raw(*values), index)
    assert [(reject.value, reject.reason) for reject in samples.rejects] == POISON
    assert samples.offsets.tolist() == list(range(2, len(values) + 1, 2))


def test_too_deeply_nested_attribute_is_rejected() -> None:
    value = b""
    for _ in range(2_000):
        value = part(5, part(1, value))
    nested = part(7, part(1, b"deep") + part(2, value))
    samples = OtlpDecoder(Settings()).decode(raw(record(metric(GAUGE, part(1, times() + nested)))), SeriesIndex())
    assert [reject.reason for reject in samples.rejects] == ["nesting"]


@given(st.binary(max_size=60), st.integers(0, len(GOOD)), st.integers(0, 60))
def test_arbitrary_bytes_give_samples_or_a_reject(noise: bytes, at: int, cut: int) -> None:
    damaged = GOOD[:at] + noise + GOOD[at + cut :]
    samples = OtlpDecoder(Settings()).decode(raw(noise, damaged, GOOD), SeriesIndex())
    assert set(samples.offsets.tolist()) | {reject.offset for reject in samples.rejects} == {1, 2, 3}
