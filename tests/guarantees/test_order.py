"""G9: which samples of a stream count, for any order and any values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.app import build_pipeline
from detector.columns import Bool, Columns, Rows
from detector.config import Config
from detector.pipeline import Pipeline
from detector.records import LARGEST_VALUE, Float64, Outcome, SampleBatch, ScoredBatch
from detector.series import SeriesKey
from detector.testing import LastValueForecaster
from tests.pipeline.test_pipeline import pipeline_of

START, STEP_SECONDS, MAX_FUTURE_SECONDS = 1_700_000_000.0, 60.0, 3_600.0
Sample = tuple[int, float, float]
"""(stream, time, value)."""
GOOD = (Outcome.SCORED, Outcome.WARMUP)

values = st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf, 1.1e30, -1e31, LARGEST_VALUE])
moments = st.integers(0, 40).map(lambda step: START + STEP_SECONDS * step)
times = moments | st.sampled_from([-1.0, np.nan, np.inf, 1e12, START + 41 * STEP_SECONDS + MAX_FUTURE_SECONDS])


class FiniteOnly(LastValueForecaster):
    """A model that fails on values outside the range."""

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> None:
        assert (np.abs(values) <= LARGEST_VALUE).all()
        assert (np.abs(times - START) < 1e6).all()
        super().learn(state, rows, times, values, frozen)


def process(
    pipeline: Pipeline, samples: list[Sample], offsets: list[int], written: float = START + 40 * STEP_SECONDS
) -> ScoredBatch:
    """Process the samples as one batch whose records have one time."""
    index, count = pipeline.table.series(("t", 0)), len(samples)
    batch = SampleBatch(
        topic="t",
        partition=0,
        series=np.array([index.intern(SeriesKey.of(f"s{stream}")) for stream, _, _ in samples], dtype=np.int64),
        times=np.array([time for _, time, _ in samples], dtype=np.float64),
        values=np.array([value for _, _, value in samples], dtype=np.float64),
        kinds=np.zeros(count, dtype=np.uint8),
        outcomes=np.zeros(count, dtype=np.uint8),
        offsets=np.array(offsets, dtype=np.int64),
        record_times=np.full(count, written),
    )
    return pipeline.process(batch, expire=True)


def ruled(samples: list[Sample]) -> list[Outcome]:
    """The documented rule, one sample at a time."""
    newest: dict[int, float] = {}
    found = []
    for stream, time, value in samples:
        latest = newest.get(stream, -np.inf)
        if not 0 <= time <= START + 40 * STEP_SECONDS + MAX_FUTURE_SECONDS:
            found.append(Outcome.BAD_TIMESTAMP)
        elif not np.isfinite(value):
            found.append(Outcome.NOT_FINITE)
        elif abs(value) > LARGEST_VALUE:
            found.append(Outcome.OUT_OF_RANGE)
        elif time <= latest:
            found.append(Outcome.DUPLICATE if time == latest else Outcome.LATE)
        else:
            found.append(Outcome.SCORED)
            newest[stream] = time
    return found


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), times, values), max_size=80))
def test_g9_late_duplicate_and_non_finite_samples_follow_the_rule_and_leave_no_trace(samples: list[Sample]) -> None:
    whole, clean = pipeline_of(), pipeline_of()
    whole.forecaster = clean.forecaster = FiniteOnly()
    expected = ruled(samples)
    found = process(whole, samples, list(range(len(samples)))).outcomes.tolist()
    assert [Outcome.SCORED if outcome in GOOD else outcome for outcome in found] == expected
    counting = [at for at, outcome in enumerate(expected) if outcome == Outcome.SCORED]
    process(clean, [samples[at] for at in counting], counting)
    for name, column in whole.table.columns.items():
        assert column.tobytes() == clean.table.columns[name].tobytes(), name


EXTREMES = (0.0, 1e30, -1e30, 1e-30, 5e-324, 1.0, -1.0, 1e15, 1e15 + 1, 3.4e29)
STEPS = 200
ALTERNATING = [1e30, -1e30] * (STEPS // 2)
DENORMAL_AFTER_NOTHING = [0.0] * 80 + [5e-324, 0.0] * 40 + [1e30] * (STEPS - 160)


def extreme(seed: int) -> list[float]:
    """Short cycles of extreme values, each repeated for a while."""
    rng = np.random.default_rng(seed)
    found: list[float] = []
    while len(found) < STEPS:
        found += rng.choice(EXTREMES, rng.integers(1, 5)).tolist() * int(rng.integers(1, 60))
    return found[:STEPS]


@pytest.mark.parametrize("profile", ["full", "compact"])
@pytest.mark.parametrize("step_seconds", [1e-6, 7.0, 604_800.0])
@settings(deadline=None, max_examples=2)
@given(seed=st.integers(0, 1 << 32))
def test_g9_state_stays_finite(pipelines: dict[str, Pipeline], profile: str, step_seconds: float, seed: int) -> None:
    partition, real = ("t", 0), pipelines[profile]
    real.table.drop(partition)
    streams = [ALTERNATING, DENORMAL_AFTER_NOTHING, *(extreme(seed + stream) for stream in range(62))]
    samples = [
        (number, START + step_seconds * step, stream[step])
        for step in range(STEPS)
        for number, stream in enumerate(streams)
    ]
    scored = process(real, samples, list(range(len(samples))), np.nan)
    assert set(scored.outcomes.tolist()) == set(GOOD)
    # At a stream's first sample, and after a warm-up that it restarts, there is no forecast yet.
    known = ~np.isin(np.arange(STEPS), [0, real.scorer.settings.warmup_samples])
    for column in ("expected", "lower", "upper", "scores"):
        assert np.isfinite(getattr(scored, column).reshape(STEPS, -1)[known]).all(), column
    rows = real.table.occupied(partition)
    for spec in real.table.fields:
        held = real.table.columns[spec.name][rows]
        if spec.finite or spec.name == "forecast":
            assert np.isfinite(held).all(), spec.name
        # Infinity stands for "none" in some columns, and NaN in those that start with it.
        assert np.isnan(spec.initial) or not np.isnan(held).any(), spec.name


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    asked = {profile: {"model": {"profile": profile}} for profile in ("full", "compact")}
    return {profile: build_pipeline(Config.model_validate(config)) for profile, config in asked.items()}
