"""Telegraf's JSON: shapes, names, kinds, refusals. What its real records mean is in test_wire.py."""

from __future__ import annotations

from typing import Any

import pytest

from detector.decoders import TelegrafDecoder
from detector.records import Kind
from detector.series import SeriesIndex
from tests.decoders.batches import RECORD_TIME, packed, raw, readable

METRIC = {"name": "cpu", "tags": {"host": "a"}, "fields": {"idle": 1.5, "user": 2}, "timestamp": 1_700_000_000}
READ = [
    ('cpu_idle{host="a"}', 1_700_000_000.0, 1.5, "SCORED", 1),
    ('cpu_user{host="a"}', 1_700_000_000.0, 2.0, "SCORED", 1),
]
GOOD = packed(METRIC)
POISON: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"", "empty"),
    (b" \n ", "empty"),
    (b"[]", "empty"),
    (b"x" * (1 << 20) + b"x", "oversize"),
    (b"\xff\xfe{", "encoding"),
    (b'{"name":"\xff","fields":{"a":1}}', "encoding"),
    (b'{"name":"cpu","fields":{"a":1},"tags":{"a":"\xff"}}', "encoding"),
    (b'{"name":"cpu","fields":{"a":1},"tags":{"a":"\\ud800"}}', "shape"),
    (GOOD[:-1], "syntax"),
    (GOOD + b"}", "syntax"),
    (GOOD + b"\n{", "syntax"),
    (b"cpu idle=1", "syntax"),
    (b"[" * 200_000, "nesting"),
    (b'{"name":"cpu","fields":{"a":1},"tags":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nesting"),
    (b"7", "shape"),
    (b"{}", "shape"),
    (b'{"metrics":[]}', "shape"),
    (b'{"metrics":[7]}', "shape"),
    (b'{"name":"cpu"}', "shape"),
    (b'{"fields":{"a":1}}', "shape"),
    (b'{"name":7,"fields":{"a":1}}', "shape"),
    (b'{"name":"cpu","fields":{"a":[1]}}', "shape"),
    (b'{"name":"cpu","fields":[1]}', "shape"),
    (b'{"name":"cpu","fields":{"a":1},"timestamp":true}', "shape"),
    (b'{"name":"","fields":{"":1}}', "identity"),
    (b'{"name":"cpu","fields":{"a":1},"tags":[]}', "labels"),
    (b'{"name":"cpu","fields":{"a":1},"tags":{"a":{}}}', "labels"),
    (b'{"name":"%s","fields":{"a":1}}' % (b"a" * 20_000), "labels"),
    (b'{"name":"cpu","fields":{"a":1},"timestamp":"soon"}', "timestamp"),
    (b'{"name":"cpu","fields":{"a":"text"}}', "no_numbers"),
    (b'{"name":"cpu","fields":{}}', "no_numbers"),
    (b"[" + GOOD + b",7]", "shape"),
    (b"[" + GOOD + b',{"name":"cpu","fields":{"a":1},"timestamp":"soon"}]', "timestamp"),
]


def decoded(*values: bytes | None, counters: list[str] | None = None, gauges: list[str] | None = None) -> list[Any]:
    series = SeriesIndex()
    samples = TelegrafDecoder(counters or [], gauges or []).decode(raw(*values), series)
    assert not samples.rejects, samples.rejects
    return [(*line, Kind(kind).name) for line, kind in zip(readable(samples, series), samples.kinds, strict=True)]


@pytest.mark.parametrize(
    "record",
    [
        GOOD,
        GOOD + b"\n",
        packed({"metrics": [METRIC]}),
        packed([METRIC]),
        packed({"specversion": "1.0", "type": "com.influxdata.telegraf.metric", "data": METRIC}),
        packed({**METRIC, "timestamp": 1_700_000_000_000_000_000}),
        packed({**METRIC, "timestamp": "2023-11-14T22:13:20Z"}),
        packed({**METRIC, "fields": {"idle": 1.5, "state": "on", "user": 2}}),
    ],
)
def test_shapes_of_one_metric(record: bytes) -> None:
    assert [line[:5] for line in decoded(record)] == READ


def test_record_with_many_metrics() -> None:
    for record in (packed([METRIC, METRIC]), packed({"metrics": [METRIC, METRIC]}), GOOD + b"\n" + GOOD + b"\n"):
        assert [line[:5] for line in decoded(record)] == READ + READ


def test_booleans_are_numbers_and_null_is_a_gap() -> None:
    [(_, time, one, *_), (_, _, none, outcome, *_)] = decoded(b'{"name":"up","fields":{"a":true,"b":null}}')
    assert (time, one, none, outcome) == (RECORD_TIME, 1.0, None, "GAP")


def test_kind_follows_from_the_name() -> None:
    fields = {"bytes_recv": 1, "drops_total": 1, "calls_count": 1}
    record = packed({**METRIC, "name": "net", "fields": fields})
    assert [line[-1] for line in decoded(record)] == ["GAUGE", "COUNTER", "GAUGE"]
    assert [line[-1] for line in decoded(record, counters=["net_bytes_*"], gauges=["*_total"])] == [
        "COUNTER",
        "GAUGE",
        "GAUGE",
    ]


def test_metrics_of_prometheus_inputs_keep_their_names() -> None:
    record = packed({**METRIC, "name": "prometheus", "fields": {"http_requests_count": 1, "up": 1}})
    assert [(line[0], line[-1]) for line in decoded(record)] == [
        ('http_requests_count{host="a"}', "COUNTER"),
        ('up{host="a"}', "GAUGE"),
    ]


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    series = SeriesIndex()
    values = [value for record, _ in POISON for value in (record, GOOD)]
    samples = TelegrafDecoder([], []).decode(raw(*values), series)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason in POISON]
    assert [reject.value for reject in samples.rejects] == [record for record, _ in POISON]
    assert samples.offsets.tolist() == [offset for offset in range(2, len(values) + 1, 2) for _ in READ]
