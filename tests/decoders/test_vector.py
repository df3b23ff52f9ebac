"""Vector's JSON: every kind of value, both codecs, tags, refusals. The records are written after its documentation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.decoders import VectorDecoder
from detector.records import Kind
from detector.series import SeriesIndex, SeriesKey
from tests.decoders.batches import RECORD_TIME, packed, raw, readable

NOW = 1_700_000_000.25
EVENT = {
    "name": "requests_total",
    "namespace": "api",
    "tags": {"host": "a"},
    "timestamp": "2023-11-14T22:13:20.250000999Z",
    "kind": "absolute",
}
COUNTER = {"counter": {"value": 12.5}}
READ = ('api_requests_total{host="a"}', NOW, 12.5, "SCORED", 1)
GOOD = packed({**EVENT, **COUNTER})
SAMPLES = {"samples": [{"value": 2.0, "rate": 3}, {"value": 0.5, "rate": 4}], "statistic": "histogram"}
BUCKETS = [{"upper_limit": 0.1, "count": 5}, {"upper_limit": "inf", "count": 2}]
QUANTILES = [{"quantile": 0.5, "value": 1.25}, {"quantile": 0.999, "value": 4.0}]
DATADOG = {"bins": {"k": [1, 2], "n": [3, 4]}, "count": 7, "min": 0.5, "max": 2.0, "sum": 8.0, "avg": 1.14}

COUNT_AND_SUM = [("_count", 7.0, "COUNTER"), ("_sum", 8.0, "COUNTER")]
DELTAS = [("_count", 1.75, "GAUGE"), ("_sum", 2.0, "GAUGE")]
TYPES: dict[str, tuple[dict[str, Any], list[tuple[str, float, str]], list[tuple[str, float, str]] | None]] = {
    "counter": (COUNTER["counter"], [("", 12.5, "COUNTER")], [("", 3.125, "GAUGE")]),
    "gauge": ({"value": -3.0}, [("", -3.0, "GAUGE")], None),
    "set": ({"values": ["ann", "bob"]}, [("", 2.0, "GAUGE")], [("", 2.0, "GAUGE")]),
    "distribution": (SAMPLES, COUNT_AND_SUM, DELTAS),
    "aggregated_histogram": ({"buckets": BUCKETS, "count": 7, "sum": 8.0}, COUNT_AND_SUM, DELTAS),
    "aggregated_summary": (
        {"quantiles": QUANTILES, "count": 7, "sum": 8.0},
        [*COUNT_AND_SUM, ("0.5", 1.25, "GAUGE"), ("0.999", 4.0, "GAUGE")],
        [*DELTAS, ("0.5", 1.25, "GAUGE"), ("0.999", 4.0, "GAUGE")],
    ),
    "sketch": ({"sketch": {"AgentDDSketch": DATADOG}}, COUNT_AND_SUM, DELTAS),
}
"""Type of a value -> (as written, its numbers of an absolute event, and of an incremental one over four seconds)."""


def changed(**fields: Any) -> bytes:
    return packed({**EVENT, **COUNTER, **fields})


def with_value(type_: str, **fields: Any) -> bytes:
    return packed({**EVENT, type_: TYPES[type_][0], **fields})


POISON: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"", "empty"),
    (b" \n ", "empty"),
    (b"[]", "empty"),
    (b"x" * (1 << 20) + b"x", "oversize"),
    (b"\xff", "encoding"),
    (GOOD.replace(b"api", b"\xff"), "encoding"),
    (GOOD.replace(b'"a"', b'"\xff"'), "encoding"),
    (GOOD[:-1], "syntax"),
    (GOOD + b"}", "syntax"),
    (GOOD + b"\n{", "syntax"),
    (b'{"metric":' + GOOD, "syntax"),
    (b"api_requests_total 1", "syntax"),
    (b"[" * 200_000, "nesting"),
    (GOOD.replace(b'{"host":"a"}', b"[" * 200_000 + b"]" * 200_000), "nesting"),
    (b"7", "shape"),
    (b"{}", "shape"),
    (b"[7]", "shape"),
    (b'{"message":"user logged in","timestamp":"2023-11-14T22:13:20Z","host":"a"}', "shape"),
    (b'{"log":{"message":"user logged in","timestamp":"2023-11-14T22:13:20Z"}}', "shape"),
    (b'{"trace":{"spans":[]}}', "shape"),
    (b'{"metric":{}}', "shape"),
    (packed(EVENT), "shape"),
    (changed(gauge={"value": 1.0}), "shape"),
    (with_value("aggregated_histogram", aggregated_summary=TYPES["aggregated_summary"][0]), "shape"),
    (changed(kind="relative"), "shape"),
    (changed(counter={}), "shape"),
    (changed(counter={"value": "1"}), "shape"),
    (changed(timestamp=1_700_000_000), "shape"),
    (changed(interval_ms=-1), "shape"),
    (changed(name=7), "shape"),
    (packed({**EVENT, "sketch": {"sketch": {"Other": {}}}}), "shape"),
    (with_value("gauge", kind="incremental"), "incremental"),
    (changed(name="", namespace=None, tags=None), "identity"),
    (changed(tags=[]), "labels"),
    (changed(tags="host"), "labels"),
    (changed(tags={"host": {}}), "labels"),
    (changed(tags={"host": [["a"]]}), "labels"),
    (changed(tags={"host": "a" * 20_000}), "labels"),
    (changed(timestamp="soon"), "timestamp"),
    (b"[" + GOOD + b"," + changed(timestamp="soon") + b"]", "timestamp"),
    (b"[" + GOOD + b',{"message":"user logged in"}]', "shape"),
]


def decoded(*values: bytes) -> list[Any]:
    """(series, time, value, outcome, offset, kind)"""
    series = SeriesIndex()
    samples = VectorDecoder().decode(raw(*values), series)
    assert not samples.rejects, samples.rejects
    return [(*line, Kind(kind).name) for line, kind in zip(readable(samples, series), samples.kinds, strict=True)]


def spelled(numbers: list[tuple[str, float, str]]) -> list[Any]:
    """As `decoded` tells them, of `EVENT`; what is no suffix is a quantile."""
    return [
        (
            f'api_requests_total{suffix}{{host="a"}}'
            if not suffix or suffix.startswith("_")
            else f'api_requests_total{{host="a",quantile="{suffix}"}}',
            NOW,
            value,
            "SCORED",
            1,
            kind,
        )
        for suffix, value, kind in numbers
    ]


@pytest.mark.parametrize("type_", sorted(TYPES))
def test_absolute_values(type_: str) -> None:
    assert decoded(with_value(type_)) == spelled(TYPES[type_][1])


@pytest.mark.parametrize("type_", sorted(TYPES.keys() - {"gauge"}))
def test_incremental_values_count_over_their_interval(type_: str) -> None:
    assert decoded(with_value(type_, kind="incremental", interval_ms=4_000)) == spelled(TYPES[type_][2] or [])


@pytest.mark.parametrize("fields", [{}, {"interval_ms": None}, {"interval_ms": 0}])
def test_incremental_value_without_an_interval_is_not_divided(fields: dict[str, Any]) -> None:
    assert [line[2:] for line in decoded(changed(kind="incremental", **fields))] == [(12.5, "SCORED", 1, "GAUGE")]


def test_interval_does_not_change_absolute_values() -> None:
    assert decoded(changed(interval_ms=4_000)) == [(*READ, "COUNTER")]


@pytest.mark.parametrize("type_", sorted(TYPES.keys() - {"set"}))
def test_null_is_a_gap(type_: str) -> None:
    """Vector writes non-finite numbers as null."""
    nulls = {
        "distribution": {"samples": [{"value": None, "rate": 3}, {"value": 0.5, "rate": 4}], "statistic": "summary"},
        "aggregated_histogram": {"buckets": BUCKETS, "count": 7, "sum": None},
        "aggregated_summary": {"quantiles": [{"quantile": 0.5, "value": None}], "count": 7, "sum": None},
        "sketch": {"sketch": {"AgentDDSketch": {**DATADOG, "sum": None}}},
    }
    for kind in ("absolute",) if type_ == "gauge" else ("absolute", "incremental"):
        first, *others = decoded(packed({**EVENT, "kind": kind, type_: nulls.get(type_, {"value": None})}))
        if type_ in nulls:
            assert (first[2:4], len(others)) == ((7.0, "SCORED"), 2 if type_ == "aggregated_summary" else 1)
        assert {line[2:4] for line in (others or [first])} == {(None, "GAP")}


def test_empty_distribution_is_a_count_of_zero() -> None:
    nothing = packed({**EVENT, "distribution": {"samples": [], "statistic": "summary"}})
    assert [line[2:4] for line in decoded(nothing)] == [(0.0, "SCORED"), (0.0, "SCORED")]


def test_names_tags_and_times_may_be_missing() -> None:
    bare = {"name": "up", "kind": "absolute", "gauge": {"value": 1.0}}
    assert decoded(packed(bare)) == [("up", RECORD_TIME, 1.0, "SCORED", 1, "GAUGE")]
    assert [line[0] for line in decoded(changed(name=""))] == ['api{host="a"}']


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("a", "a"),
        (None, ""),
        (["a", "b"], "b"),
        (["a", None], "a"),
        ([None, "b"], "b"),
        ([None], ""),
        ([], ""),
    ],
)
def test_last_value_of_a_tag_is_the_label(value: Any, label: str) -> None:
    series = SeriesIndex()
    samples = VectorDecoder().decode(raw(changed(tags={"host": value, "zone": "z"})), series)
    expected = SeriesKey.of("api_requests_total", {"host": label, "zone": "z"})
    assert [series.key(handle) for handle in samples.series.tolist()] == [expected]


def test_both_codecs_one_event_an_array_or_lines() -> None:
    native = b'{"metric":' + GOOD + b"}"
    pretty = GOOD.replace(b",", b",\n  ")
    for event in (GOOD, native):
        assert decoded(event) == [(*READ, "COUNTER")]
        assert decoded(b" [" + event + b"," + event + b"]") == [(*READ, "COUNTER")] * 2
        assert decoded(event + b"\n" + event + b"\n") == [(*READ, "COUNTER")] * 2
    for event in (pretty, b'{\n"metric":' + pretty + b"\n}"):
        assert decoded(event) == [(*READ, "COUNTER")]


def test_series_is_the_same_for_every_form_of_event() -> None:
    series = SeriesIndex()
    other = changed(tags={"zone": None, "host": ["b", "a"]}, kind="incremental")
    samples = VectorDecoder().decode(raw(GOOD, b'{"metric":' + GOOD + b"}", other), series)
    assert len(set(samples.series.tolist())) == 1
    assert samples.kinds.tolist() == [Kind.COUNTER, Kind.COUNTER, Kind.GAUGE]


@given(
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    value=st.floats(-1e30, 1e30),
    rate=st.integers(0, 2**32 - 1),
    interval=st.integers(1, 2**32 - 1),
)
def test_any_numbers_of_vectors_types_are_decoded(name: str, value: float, rate: int, interval: int) -> None:
    samples = {"samples": [{"value": value, "rate": rate}], "statistic": "summary"}
    event = {"name": name, "kind": "incremental", "interval_ms": interval, "distribution": samples}
    found = [(series, number) for series, _, number, *_ in decoded(packed(event))]
    seconds = interval / 1e3
    assert found == [
        (str(SeriesKey.of(f"{name}_count")), pytest.approx(rate / seconds)),
        (str(SeriesKey.of(f"{name}_sum")), pytest.approx(value * rate / seconds)),
    ]


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    series = SeriesIndex()
    values = [value for record, _ in POISON for value in (record, GOOD)]
    samples = VectorDecoder().decode(raw(*values), series)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason in POISON]
    assert [reject.value for reject in samples.rejects] == [record for record, _ in POISON]
    assert samples.offsets.tolist() == list(range(2, len(values) + 1, 2))
    assert len(series) == 1, "what is refused leaves no series behind"
