"""Samples that share their labels: the labels of a record in total are bounded by its bytes."""

from __future__ import annotations

import itertools
import json
import string
from typing import Any

import pytest

from detector.config import parse
from detector.decoders import DECODERS, InfluxDecoder
from detector.decoders.columns import LABELS_PER_BYTE, LEAST_LABELS
from detector.series import SeriesIndex
from tests.decoders.batches import raw
from tests.decoders.encode import part
from tests.decoders.test_remote_write import sample, snappy
from tests.decoders.test_remote_write_v2 import Request

NAMES = ["".join(letters) for letters in itertools.islice(itertools.product(string.ascii_letters, repeat=3), 1_100)]
"""As labels of as many samples, more than a record may mean."""
ATTRIBUTES = [{"key": name, "value": {"stringValue": "a"}} for name in NAMES]
LONG = 16_000 * "x"


def packed(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def telegraf() -> bytes:
    fields = dict.fromkeys(NAMES, 1)
    return packed({"name": "m", "tags": dict.fromkeys(NAMES, "a"), "fields": fields, "timestamp": 1_700_000_000})


def influx() -> bytes:
    return (
        ",".join(["m", *(f"{name}=a" for name in NAMES)]).encode()
        + b" "
        + b",".join(f"{name}=1".encode() for name in NAMES)
    )


def vector() -> bytes:
    quantiles = [{"quantile": at / len(NAMES), "value": 1.0} for at in range(len(NAMES))]
    summary = {"quantiles": quantiles, "count": 1, "sum": 1.0}
    return packed({"name": "m", "tags": dict.fromkeys(NAMES, "a"), "kind": "absolute", "aggregated_summary": summary})


def metricbeat() -> bytes:
    event = {"metricset": {"name": "x"}, "labels": dict.fromkeys(NAMES, "a"), "m": dict.fromkeys(NAMES, 1)}
    return packed({"@timestamp": "2026-01-01T00:00:00.000Z", **event})


def otlp_json(attributes: list[dict[str, Any]]) -> bytes:
    metrics = [{"name": name, "gauge": {"dataPoints": [{"timeUnixNano": "1", "asDouble": 1}]}} for name in NAMES]
    data = {"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": metrics}]}
    return packed({"resourceMetrics": [data]})


def otlp_json_summary() -> bytes:
    quantiles = [{"quantile": at / len(NAMES), "value": 1.0} for at in range(len(NAMES))]
    point = {"attributes": ATTRIBUTES, "timeUnixNano": "1", "count": "1", "sum": 1.0, "quantileValues": quantiles}
    metric = {"name": "m", "summary": {"dataPoints": [point]}}
    return packed({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})


def otlp_protobuf() -> bytes:
    attributes = b"".join(part(1, part(1, name.encode()) + part(2, part(1, b"a"))) for name in NAMES)
    point = b"\x19" + bytes(8) + b"\x21" + bytes(8)
    metrics = b"".join(part(2, part(1, name.encode()) + part(5, part(1, point))) for name in NAMES)
    return part(1, part(1, attributes) + part(2, metrics))


def long_remote_write(count: int) -> bytes:
    """So many series that have one long label."""
    request = Request()
    for number in range(count):
        request.add(sample(1.0), labels={"__name__": str(number), "a": LONG})
    return snappy(request.message())


@pytest.mark.parametrize(
    ("decoder", "record"),
    [
        ("telegraf", telegraf()),
        ("influx", influx()),
        ("vector", vector()),
        ("metricbeat", metricbeat()),
        ("otlp", otlp_json(ATTRIBUTES)),
        ("otlp", otlp_json_summary()),
        ("otlp", otlp_protobuf()),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_g6_labels_of_a_record_are_bounded_by_its_bytes(decoder: str, record: bytes) -> None:
    """A million of labels takes some 70 MB."""
    found = DECODERS[decoder](parse(f"decoder: {{type: {decoder}}}", "test").decoder).decode(raw(record), SeriesIndex())
    (reject,) = found.rejects
    assert len(found) == 0
    assert reject.reason == "labels"
    most = LEAST_LABELS + LABELS_PER_BYTE * len(record)
    assert most < len(NAMES) ** 2
    assert reject.detail.endswith(f"its samples have more than {most} labels in total")


def test_records_of_many_labels_and_samples_are_decoded() -> None:
    """60 tags on 60 fields with names of usual length, in hundreds of lines."""
    tags = ",".join(f"label_number_{at}=value" for at in range(60))
    fields = ",".join(f"field_number_{at}=12345i" for at in range(60))
    lines = [f"m{number},{tags} {fields}" for number in range(100)]
    found = InfluxDecoder([], []).decode(raw("\n".join(lines).encode()), SeriesIndex())
    assert (len(found), found.rejects) == (100 * 60, ())


@pytest.mark.parametrize(
    ("decoder", "record"),
    [
        (
            "telegraf",
            packed({"name": "m", "tags": {"a": LONG}, "fields": dict.fromkeys(NAMES, 1), "timestamp": 1_700_000_000}),
        ),
        ("influx", f"m,a={LONG} {','.join(f'{name}=1' for name in NAMES)}".encode()),
        ("metricbeat", packed({"metricset": {}, "labels": {"a": LONG}, "m": dict.fromkeys(NAMES, 1)})),
        ("otlp", otlp_json([{"key": "a", "value": {"stringValue": LONG}}])),
        ("remote_write", long_remote_write(60)),
    ],
    ids=lambda value: value if isinstance(value, str) else "record",
)
def test_long_label_is_stored_once_for_all_series_of_a_record(decoder: str, record: bytes) -> None:
    series = SeriesIndex()
    found = DECODERS[decoder](parse(f"decoder: {{type: {decoder}}}", "test").decoder).decode(raw(record), series)
    assert not found.rejects
    values = [max(dict(series.key(handle).labels).values(), key=len) for handle in found.series.tolist()]
    assert len(values) > 1
    assert {len(value) for value in values} == {len(LONG)}
    assert len({id(value) for value in values}) == 1


def test_g6_label_bytes_of_a_request_are_bounded() -> None:
    """A reference to a text is a byte or two, and the texts of a series are its spelling."""
    decoder = DECODERS["remote_write"](parse("decoder: {type: remote_write}", "test").decoder)
    (reject,) = decoder.decode(raw(long_remote_write(5_000)), SeriesIndex()).rejects
    assert reject.reason == "labels"
    assert reject.detail.endswith(" bytes of labels in all series together")
