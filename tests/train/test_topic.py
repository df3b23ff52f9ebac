"""Series from the records of a topic: which are kept, how many samples, and rates of counters."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from detector.cli.commands import app
from detector.config import Config
from detector.decoders import DECODERS
from detector.records import RawBatch
from detector.train.files import Series
from detector.train.topic import Collection

START = 1_700_000_000


def records(streams: int, steps: int, name: str = "s", seed: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [
        json.dumps({"name": f"{name}{stream}", "timestamp": START + 60 * step, "value": float(rng.normal())}).encode()
        for step in range(steps)
        for stream in range(streams)
    ]


def batches(values: list[bytes], size: int, partition: int = 0) -> list[RawBatch]:
    return [
        RawBatch(
            "metrics",
            partition,
            np.arange(at, at + len(part)),
            np.full(len(part), np.nan),
            list(part),
            [None] * len(part),
        )
        for at in range(0, len(values), size)
        if (part := values[at : at + size])
    ]


def collected(
    parts: list[RawBatch], streams: int = 100, samples: int = 1_000, *, raw: bool = False
) -> tuple[list[Series], Collection]:
    collection = Collection(streams, samples, 3_600.0, raw_counters=raw)
    decoder = DECODERS["json"](Config().decoder)
    for part in parts:
        collection.add(part, decoder)
    return collection.series(), collection


def same(one: list[Series], other: list[Series]) -> bool:
    return [(a.name, a.times.tolist(), a.values.tolist()) for a in one] == [
        (b.name, b.times.tolist(), b.values.tolist()) for b in other
    ]


def test_streams_are_complete_and_in_order_of_time() -> None:
    values = records(3, 50)
    shuffled = [values[at] for at in np.random.default_rng(1).permutation(len(values))]
    one, _ = collected(batches(values, 7))
    other, _ = collected(batches(shuffled + values[:10], 31))
    assert [len(series.values) for series in one] == [50, 50, 50]
    assert same(one, other)


def test_choice_among_too_many_streams_is_independent_of_order() -> None:
    values = records(700, 3)
    one, first = collected(batches(values, 100), streams=20)
    other, _ = collected(batches(values[::-1], 61), streams=20)
    assert len(one) == 20
    assert {series.name for series in one} == {series.name for series in other}
    (handles,) = first._partitions.values()
    assert len(handles.series) <= 2 * 20 + 256 + 100, "nor are the names of the others"


def test_dropped_stream_leaves_no_sample() -> None:
    values = records(300, 4)
    one, _ = collected(batches(values, 1), streams=5)
    everything = {series.name: series for series in collected(batches(values, 1000), streams=300)[0]}
    assert same(one, [everything[series.name] for series in one])


def test_newest_samples_of_a_long_stream_are_kept() -> None:
    series, collection = collected(batches(records(2, 500), 64), samples=100)
    assert [(one.times[0], one.times[-1], len(one.times)) for one in series] == [
        (START + 60 * 400, START + 60 * 499, 100)
    ] * 2
    assert max(stream.count for stream in collection._streams.values()) <= 200 + 32


def test_counters_become_rates_and_non_samples_are_left_out() -> None:
    values = [
        json.dumps({"name": "requests_total", "timestamp": START + 60 * at, "value": total}).encode()
        for at, total in enumerate([0, 60, 180, 30, 90])
    ]
    broken = [b"{", json.dumps({"name": "x", "timestamp": START, "value": None}).encode()]
    (rates,), collection = collected(batches(values + broken, 3))
    assert rates.values.tolist() == [1, 2, 1]
    assert (rates.times - START).tolist() == [60, 120, 240]
    assert collection.rejects == 1
    (raw,), _ = collected(batches(values, 3), raw=True)
    assert raw.values.tolist() == [0, 60, 180, 30, 90]


def test_name_on_two_partitions_is_two_series() -> None:
    series, _ = collected(batches(records(1, 5), 9) + batches(records(1, 5, seed=2), 9, partition=1))
    assert [one.name for one in series] == ["s0 metrics/0", "s0 metrics/1"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--topic", "m", "--from", "yesterday"], "is not a time"),
        (["--topic", "m", "--from", "2026-11-02", "--to", "2026-11-01T00:00Z"], "is not before"),
        (["--topic", "m", "--synthetic"], "choose what to learn from"),
        ([], "choose what to learn from"),
    ],
)
def test_invalid_range_is_an_error_at_once(arguments: list[str], complaint: str) -> None:
    ran = CliRunner().invoke(app, ["train", "--output", "w.safetensors", *arguments])
    assert ran.exit_code == 2
    assert complaint in ran.output
