"""`detector produce`: what it sends, where, how fast, and the labels that it writes."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.config.decoder import JsonDecoder as Settings
from detector.decoders import JsonDecoder
from detector.errors import ConfigError, DeliveryError
from detector.produce import ProduceOptions, ProduceSummary, produce
from detector.series import SeriesIndex
from detector.synthetic.fleet import USUAL_KINDS
from detector.testing import ListSink, ManualClock
from tests.decoders.batches import raw

SMALL = ProduceOptions(topic="metrics", streams=7, steps=50, seed=3)


def produced(options: ProduceOptions) -> tuple[list[dict[str, Any]], ListSink, ManualClock, ProduceSummary]:
    clock, sink = ManualClock(1_700_000_000.0), ListSink()
    summary = produce(options, lambda count: None, clock=clock, sink=sink)
    assert sink.acknowledged == sink.sent
    return [json.loads(message.value or b"") for message in sink.sent], sink, clock, summary


def test_streams_are_in_order_and_keyed_by_series() -> None:
    samples, sink, _, summary = produced(SMALL)
    assert (summary.streams, summary.samples, summary.faults) == (7, 350, 0)
    keys: dict[bytes | None, set[str]] = {}
    for message, sample in zip(sink.sent, samples, strict=True):
        keys.setdefault(message.key, set()).add(json.dumps([sample["name"], sample["labels"]]))
    assert len(keys) == 7
    assert all(len(series) == 1 for series in keys.values())
    times = [sample["timestamp"] for sample in samples]
    assert times == sorted(times)
    assert times[-1] == 1_700_000_000.0, "the last sample is of now"
    decoded = JsonDecoder(Settings()).decode(raw(*(message.value for message in sink.sent)), SeriesIndex())
    assert not decoded.rejects
    assert not decoded.outcomes.any()


def test_same_seed_sends_the_same_bytes() -> None:
    same = dataclasses.replace(SMALL, start=0.0, faults=3)
    first, second, other = (produced(each)[1].sent for each in (same, same, dataclasses.replace(same, seed=4)))
    assert first == second
    assert first != other


def test_faults_are_where_the_labels_are(tmp_path: Path) -> None:
    options = dataclasses.replace(SMALL, streams=50, steps=300, start=0.0, faults=20, fault_after=100, step_seconds=1.0)
    clean, *_ = produced(dataclasses.replace(options, faults=0))
    faulty, *_ = produced(dataclasses.replace(options, labels=tmp_path / "labels.jsonl"))
    truth = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert Counter(fault["kind"] for fault in truth) == dict.fromkeys(USUAL_KINDS, 4)
    assert len({json.dumps(fault["labels"]) for fault in truth}) == 20
    changed: dict[str, list[float]] = {}
    for before, after in zip(clean, faulty, strict=True):
        if before != after:
            labels = {"__name__": after["name"], **after["labels"]}
            changed.setdefault(json.dumps(labels, sort_keys=True), []).append(after["timestamp"])
    for fault in truth:
        times = changed.pop(json.dumps(fault["labels"], sort_keys=True))
        assert 100 <= fault["start"] <= min(times)
        assert max(times) <= fault["end"] < 300
    assert not changed


@pytest.mark.parametrize("rate", [10.0, 1_000.0])
def test_rate_is_kept(rate: float) -> None:
    _, _, clock, summary = produced(dataclasses.replace(SMALL, rate=rate))
    assert summary.seconds == pytest.approx(350 / rate, rel=0.05, abs=0.1)
    assert clock.now - 1_700_000_000.0 == pytest.approx(350 / rate, rel=0.05, abs=0.1)


@pytest.mark.parametrize("rate", [0.01, 1.0, 100.0])
def test_live_samples_are_not_ahead_of_the_clock(rate: float) -> None:
    clock = ManualClock(1_700_000_000.0)

    class Ahead(ListSink):
        def send(self, message: Any) -> None:
            assert json.loads(message.value)["timestamp"] <= clock.now + 1.0
            super().send(message)

    produce(dataclasses.replace(SMALL, rate=rate), lambda count: None, clock=clock, sink=Ahead())


def test_gaps_are_omitted_samples() -> None:
    _, _, _, summary = produced(dataclasses.replace(SMALL, steps=1_000, gaps=1.0))
    assert summary.samples == pytest.approx(7_000 * 0.99, rel=0.005)


def test_output_to_a_file_and_to_unwritable_files(tmp_path: Path) -> None:
    told: list[int] = []
    to_file = dataclasses.replace(SMALL, topic=None, output=str(tmp_path / "samples.jsonl"))
    produce(to_file, told.append)
    assert sum(told) == len((tmp_path / "samples.jsonl").read_text().splitlines()) == 350
    with pytest.raises(ConfigError, match="output: /nowhere/x: cannot be written"):
        produce(dataclasses.replace(to_file, output="/nowhere/x"), told.append)
    with pytest.raises(DeliveryError, match="/dev/full: cannot be written: No space"):
        produce(dataclasses.replace(to_file, output="/dev/full"), told.append)


def test_every_wrong_option_is_reported_at_once() -> None:
    wrong = ProduceOptions(streams=0, steps=1, step_seconds=0, rate=-1.0, faults=5, gaps=2.0)
    with pytest.raises(ConfigError) as caught:
        produce(wrong, lambda count: None)
    assert len(caught.value.findings) == 8
    with pytest.raises(ConfigError) as caught:
        produced(dataclasses.replace(SMALL, step_seconds=math.inf, rate=math.inf, start=math.nan))
    assert len(caught.value.findings) == 3
    with pytest.raises(ConfigError, match=r"at most 100,000,000 samples fit into memory \(got 1,000,000 x 101\)"):
        produced(dataclasses.replace(SMALL, streams=1_000_000, steps=101))
    with pytest.raises(ConfigError, match=r"kinds of fault are spike, .*; not explosion"):
        produced(dataclasses.replace(SMALL, kinds=("explosion",), faults=1))
    with pytest.raises(ConfigError, match=r"labels: .*cannot be written"):
        produced(dataclasses.replace(SMALL, labels=Path("/nowhere/labels")))


def test_values_are_plausible_for_a_service() -> None:
    samples, *_ = produced(dataclasses.replace(SMALL, streams=100, steps=200, faults=60))
    values = np.array([sample["value"] for sample in samples])
    ratios = np.array([sample["name"].endswith("_ratio") for sample in samples])
    assert values.min() >= 0
    assert values[ratios].max() <= 1
