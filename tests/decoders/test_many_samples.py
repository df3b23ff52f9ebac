"""Records of more samples than can be processed between two polls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.config import parse
from detector.decoders import make_decoder
from detector.decoders.columns import MOST_SAMPLES
from detector.series import SeriesIndex
from tests.decoders import avro_records
from tests.decoders.batches import raw
from tests.decoders.encode import part, varint
from tests.decoders.test_remote_write import label, snappy


def influx(samples: int) -> bytes:
    return b"\n".join(b"m a=1 %d" % time for time in range(samples))


def influx_fields(samples: int) -> bytes:
    return b"m " + b",".join(b"%x=1" % field for field in range(samples))


def telegraf(samples: int) -> bytes:
    return b'{"name":"m","fields":{%s}}' % b",".join(b'"%x":1' % field for field in range(samples))


def metricbeat(samples: int) -> bytes:
    return b'{"metricset":{},"m":{%s}}' % b",".join(b'"%x":1' % field for field in range(samples))


def collectd(samples: int) -> bytes:
    values, texts = b",".join([b"1"] * samples), b",".join([b'""'] * samples)
    return b'[{"values":[%s],"dstypes":[%s],"dsnames":[%s],"time":1,"host":"a","plugin":"m","type":"m"}]' % (
        values,
        texts,
        texts,
    )


def remote_write(samples: int) -> bytes:
    times = b"".join(part(2, varint(2, time)) for time in range(1 << 22, (1 << 22) + samples))
    return snappy(part(1, label("__name__", "m") + times))


def otlp(samples: int) -> bytes:
    return part(1, part(2, part(2, part(1, b"m") + part(5, part(1, b"") * samples))))


def otlp_quantiles(samples: int) -> bytes:
    """The count, the sum and the quantiles of one point."""
    return part(1, part(2, part(2, part(1, b"m") + part(11, part(1, part(6, b"") * (samples - 2))))))


def otlp_json(samples: int) -> bytes:
    points = b",".join([b"{}"] * samples)
    return b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[%s]}}]}]}]}' % points


RECORDS: list[tuple[str, Callable[[int], bytes]]] = [
    ("influx", influx),
    ("influx", influx_fields),
    ("telegraf", telegraf),
    ("metricbeat", metricbeat),
    ("collectd", collectd),
    ("remote_write", remote_write),
    ("otlp", otlp),
    ("otlp", otlp_quantiles),
    ("otlp", otlp_json),
]


@pytest.mark.parametrize(("decoder", "record"), RECORDS)
def test_g6_samples_of_a_record_are_bounded(decoder: str, record: Callable[[int], bytes]) -> None:
    one = make_decoder(parse(f"decoder: {{type: {decoder}}}", "x").decoder)
    samples = one.decode(raw(record(MOST_SAMPLES + 1), record(MOST_SAMPLES), record(3)), SeriesIndex())
    assert [(reject.offset, reject.reason) for reject in samples.rejects] == [(1, "oversize")]
    assert (samples.offsets == 2).sum() == MOST_SAMPLES
    assert (samples.offsets == 3).sum() == 3


def test_g6_samples_of_an_array_in_avro_are_bounded(tmp_path: Path) -> None:
    schema = tmp_path / "metrics.avsc"
    schema.write_text(json.dumps({"type": "array", "items": avro_records.METRIC}))
    one = make_decoder(parse(f"decoder: {{type: avro, avro: {{schema_file: {schema}}}}}", "x").decoder)
    metric = b"\x02m\x00\x02\x00"  # without labels and value

    def record(count: int) -> bytes:
        return avro_records.number(count) + count * metric + b"\x00"

    samples = one.decode(raw(record(MOST_SAMPLES + 1), record(MOST_SAMPLES), record(3)), SeriesIndex())
    assert [(reject.offset, reject.reason) for reject in samples.rejects] == [(1, "oversize")]
    assert len(samples) == MOST_SAMPLES + 3
