"""Counters are scored by their increase per second."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.columns import allocate
from detector.config.decoder import CollectdDecoder as Settings
from detector.decoders import CollectdDecoder
from detector.pipeline import Pipeline
from detector.records import Kind, Outcome, SampleBatch
from detector.series import SeriesKey
from detector.streams.rates import Rates, rates
from detector.streams.table import LATEST
from tests.pipeline.test_pipeline import START, batch_of, pipeline_of, restarted
from tests.wire.records import batch, records


def run(pipeline: Pipeline, samples: SampleBatch) -> tuple[list[str], list[float]]:
    """Outcomes, and the last scored value of the stream after each sample."""
    scored = pipeline.process(samples)
    return [Outcome(outcome).name for outcome in scored.outcomes.tolist()], scored.expected.tolist()


def counter(pipeline: Pipeline, times: list[float], totals: list[float]) -> SampleBatch:
    samples = batch_of(pipeline, [0] * len(times), START + np.array(times), np.array(totals), 0)
    return replace(samples, kinds=np.full(len(times), Kind.COUNTER, dtype=np.uint8))


def test_counter_is_scored_by_its_rate_and_restarts_after_a_reset() -> None:
    pipeline = pipeline_of()
    times = [0.0, 10, 20, 20, 15, 40, 50, 60, 70]
    totals = [100.0, 150, 250, 999, 0, 250, 20, 50, 50]
    outcomes, expected = run(pipeline, counter(pipeline, times, totals))
    assert outcomes == [
        "COUNTER_START",  # no earlier total
        "WARMUP",
        "WARMUP",
        "DUPLICATE",
        "LATE",
        "WARMUP",  # the two samples before changed nothing
        "COUNTER_START",  # below the last
        "WARMUP",
        "WARMUP",
    ]
    # The forecast is the last value: 5, 10, 0 a second; then 3.
    assert expected[2] == 5.0
    assert expected[5] == 10.0
    assert expected[7] == 0.0
    assert expected[8] == 3.0


@pytest.mark.parametrize(("kind", "said"), [(Kind.COUNTER, True), (Kind.GAUGE, False)])
def test_alert_says_whether_its_value_is_a_rate(kind: Kind, said: bool) -> None:
    pipeline = pipeline_of()
    times = [10.0 * step for step in range(60)]
    totals = [3.0 * step + step % 2 + (5e4 if step > 50 else 0.0) for step in range(60)]
    samples = replace(counter(pipeline, times, totals), kinds=np.full(60, kind, dtype=np.uint8))
    alerts = pipeline.process(samples).alerts
    assert alerts
    assert {alert.per_second for alert in alerts} == {said}


@pytest.mark.parametrize(("raw", "kind"), [(True, Kind.COUNTER), (False, Kind.GAUGE)])
def test_counter_that_becomes_a_gauge_forgets_its_total(raw: bool, kind: Kind) -> None:
    pipeline = pipeline_of()
    run(pipeline, counter(pipeline, [0.0, 10, 20], [100.0, 150, 200]))
    pipeline.rates = Rates(raw=raw)
    levels = counter(pipeline, [30.0, 40], [9_000.0, 9_100])
    run(pipeline, replace(levels, kinds=np.full(2, kind, dtype=np.uint8)))
    row = pipeline.table.occupied((levels.topic, levels.partition))
    assert not pipeline.rates.are_scored(pipeline.table.columns, row).any()
    pipeline.rates = Rates(raw=False)
    outcomes, _ = run(pipeline, counter(pipeline, [50.0, 60], [9_200.0, 9_300]))
    assert outcomes == ["COUNTER_START", "WARMUP"]


def test_raw_counters_and_gauges_are_scored_unchanged() -> None:
    raw = pipeline_of()
    raw.rates = Rates(raw=True)
    outcomes, expected = run(raw, counter(raw, [0.0, 10, 20], [100.0, 150, 120]))
    assert (outcomes, expected[1:]) == (["WARMUP"] * 3, [100.0, 150.0])
    usual = pipeline_of()
    gauge = replace(counter(usual, [0.0, 10], [100.0, 50]), kinds=np.zeros(2, dtype=np.uint8))
    outcomes, expected = run(usual, gauge)
    assert (outcomes, expected[1:]) == (["WARMUP"] * 2, [100.0])


def test_counter_restarts_after_a_long_silence() -> None:
    pipeline = pipeline_of(expiry=100.0)
    assert run(pipeline, counter(pipeline, [0.0, 10, 500], [1.0, 2, 3]))[0] == [
        "COUNTER_START",
        "WARMUP",
        "COUNTER_START",
    ]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e12), st.floats(-1e30, 1e30)), min_size=2, max_size=20),
    st.sets(st.integers(1, 19)),
)
def test_g1_g8_rates_are_finite_and_independent_of_batches_and_restarts(
    samples: list[tuple[float, float]], cuts: set[int]
) -> None:
    times, totals = [time for time, _ in samples], [total for _, total in samples]
    whole, pieces = pipeline_of(6, 1e6), pipeline_of(6, 1e6)
    one = run(whole, counter(whole, times, totals))
    outcomes: list[str] = []
    expected: list[float] = []
    for first, end in pairwise([0, *sorted(cut for cut in cuts if cut < len(times)), len(times)]):
        pieces = restarted(pieces)
        part = run(pieces, counter(pieces, times[first:end], totals[first:end]))
        outcomes, expected = outcomes + part[0], expected + part[1]
    assert (outcomes, repr(expected)) == (one[0], repr(one[1]))
    assert all(np.isnan(value) or abs(value) <= 1e30 for value in expected)


def test_rate_of_a_row_depends_on_no_other_row() -> None:
    state = allocate((LATEST, *Rates.fields), 4)
    rows = np.array([2, 0, 1])
    assert np.isnan(rates(state, rows, np.array([1.0, 1.0, 1.0]), np.array([5.0, 6.0, 7.0]))).all()
    state[LATEST.name][rows] = 1.0
    assert rates(state, np.array([0, 2]), np.array([3.0, 2.0]), np.array([10.0, 5.0])).tolist() == [2.0, 0.0]
    assert state["rate.total"].tolist()[:3] == [10.0, 7.0, 5.0]


def test_rates_of_a_real_cpu_counter_are_right() -> None:
    pipeline = pipeline_of(expiry=1e9)
    index = pipeline.table.series(("metrics", 0))
    found = tuple(sorted(records("collectd-json-rates-false"), key=lambda record: record.timestamp_ms))
    samples = CollectdDecoder(Settings(store_rates=False)).decode(batch(found), index)
    scored = pipeline.process(samples)
    counters = samples.kinds == Kind.COUNTER
    assert (scored.outcomes[counters] == Outcome.COUNTER_START).sum() == len(set(samples.series[counters].tolist()))
    assert not (scored.outcomes[~counters] == Outcome.COUNTER_START).any()
    jiffies: dict[str, float] = defaultdict(float)
    for row in pipeline.table.occupied(("metrics", 0)).tolist():
        key: SeriesKey = pipeline.table.key(row)
        if key.name == "cpu":
            jiffies[dict(key.labels)["plugin_instance"]] += float(pipeline.table.columns["last.value"][row])
    assert jiffies
    assert all(total == pytest.approx(100, rel=0.05) for total in jiffies.values()), jiffies
