"""Samples written by an independent encoder are decoded unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config.decoder import Decoder as Settings
from detector.decoders import DECODERS
from detector.records import Outcome
from detector.series import SeriesIndex, SeriesKey
from tests.decoders.batches import raw
from tests.decoders.encode import double, fixed, part

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
NUMBER = st.floats(-1e30, 1e30)
SECOND = 1_000_000_000


class Written(NamedTuple):
    """A sample."""

    name: str
    labels: dict[str, str]
    nanoseconds: int
    value: float


SAMPLES = st.lists(
    st.builds(
        Written,
        NAME,
        st.dictionaries(NAME.filter(lambda name: name not in ("__name__", "__group__")), TEXT, max_size=3),
        # Whole microseconds, which float64 tells apart, of an age at which the unit is told by the magnitude.
        st.integers(10**15, 4 * 10**15).map(lambda microseconds: microseconds * 1_000),
        NUMBER,
    ),
    min_size=1,
    max_size=6,
)


def plain(sample: Written) -> str:
    seconds = sample.nanoseconds / SECOND
    document = {"name": sample.name, "labels": sample.labels, "timestamp": seconds, "value": sample.value}
    return json.dumps(document, ensure_ascii=len(sample.name) % 2 == 0)


def plain_array(samples: list[Written]) -> bytes:
    return f"[{', '.join(map(plain, samples))}]".encode()


def plain_lines(samples: list[Written]) -> bytes:
    return "\r\n".join(map(plain, samples)).encode()


def telegraf(samples: list[Written]) -> bytes:
    metrics = [
        {
            "name": "",
            "tags": one.labels,
            "fields": {one.name: one.value, f"{one.name}_": "on"},
            "timestamp": one.nanoseconds,
        }
        for one in samples
    ]
    return json.dumps({"metrics": metrics}).encode()


def otlp_protobuf(samples: list[Written]) -> bytes:
    def attribute(field: int, name: str, text: str) -> bytes:
        return part(field, part(1, name.encode()) + part(2, part(1, text.encode())))

    def metric(one: Written) -> bytes:
        attributes = b"".join(attribute(7, *pair) for pair in one.labels.items())
        point = attributes + fixed(3, one.nanoseconds) + double(4, one.value)
        return part(2, part(5, part(1, point)) + part(1, one.name.encode()))

    return part(1, part(2, b"".join(map(metric, samples))))


def otlp_json(samples: list[Written]) -> bytes:
    def metric(one: Written) -> dict[str, Any]:
        attributes = [{"key": name, "value": {"stringValue": text}} for name, text in one.labels.items()]
        point = {"attributes": attributes, "timeUnixNano": str(one.nanoseconds), "asDouble": one.value}
        return {"name": one.name, "gauge": {"dataPoints": [point]}}

    return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": list(map(metric, samples))}]}]}).encode()


@pytest.mark.parametrize(
    ("decoder", "encode"),
    [
        ("json", plain_array),
        ("json", plain_lines),
        ("telegraf", telegraf),
        ("otlp", otlp_protobuf),
        ("otlp", otlp_json),
    ],
)
@given(samples=SAMPLES)
def test_samples_round_trip(decoder: str, encode: Callable[[list[Written]], bytes], samples: list[Written]) -> None:
    index = SeriesIndex()
    found = DECODERS[decoder](Settings()).decode(raw(encode(samples), encode(samples[:1])), index)
    expected = [*samples, samples[0]]
    assert found.rejects == ()
    assert [index.key(handle) for handle in found.series.tolist()] == [
        SeriesKey.of(one.name, one.labels) for one in expected
    ]
    assert found.values.tolist() == [one.value for one in expected]
    assert np.abs(found.times - np.array([one.nanoseconds for one in expected]) / SECOND).max() < 1e-6
    assert set(found.outcomes.tolist()) == {Outcome.SCORED}
    assert found.offsets.tolist() == [1] * len(samples) + [2]
