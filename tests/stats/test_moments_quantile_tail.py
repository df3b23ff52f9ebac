"""Running statistics compared with numpy, and with their promised long-run properties."""

from __future__ import annotations

import numpy as np
import pytest

from detector.columns import allocate
from detector.stats.moments import Moments, SidedMoments
from detector.stats.quantile import CoverageFactor
from detector.stats.tail import PooledTail


def test_moments_equal_numpy() -> None:
    values = np.random.default_rng(0).lognormal(3.0, 1.0, (300, 5))
    moments = Moments("m")
    state = allocate(moments.fields, 5)
    rows = np.arange(5)
    for row_values in values:
        moments.update(state, rows, row_values)
    assert moments.count(state, rows).tolist() == [300.0] * 5
    np.testing.assert_allclose(moments.deviation(state, rows), values.std(axis=0), rtol=1e-12)


def test_deviations_of_both_sides_use_the_running_mean() -> None:
    values = np.random.default_rng(1).lognormal(3.0, 1.0, (3000, 5))
    moments = SidedMoments("m")
    state = allocate(moments.fields, 5)
    rows = np.arange(5)
    for row_values in values:
        moments.update(state, rows, row_values)
    away = values - values.mean(axis=0)
    for value, mask in ((0.0, away < 0.0), (1e6, away > 0.0)):
        expected = np.sqrt((away**2 * mask).sum(axis=0) / mask.sum(axis=0))
        np.testing.assert_allclose(moments.side_deviation(state, rows, np.full(5, value)), expected, rtol=0.05)
    np.testing.assert_allclose(moments.floored_deviation(state, rows, 0.0), values.std(axis=0), rtol=1e-12)


def test_deviation_of_a_constant_is_the_floor() -> None:
    moments = SidedMoments("m")
    state = allocate(moments.fields, 2)
    for _ in range(10):
        moments.update(state, np.arange(2), np.array([-500.0, 0.0]))
    deviation = moments.floored_deviation(state, np.arange(2), 1e-4)
    assert deviation[0] == pytest.approx(0.05)
    assert 0.0 < deviation[1] < 1e-30
    assert moments.side_deviation(state, np.arange(2), np.array([-500.0, 1.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("draw", ["normal", "cauchy", "integers"])
def test_band_converges_to_its_coverage(coverage: float, draw: str) -> None:
    rng = np.random.default_rng(5)
    rounds, streams = 4000, 50
    errors = {
        "normal": rng.standard_normal((rounds, streams)),
        "cauchy": rng.standard_cauchy((rounds, streams)),
        "integers": rng.integers(-20, 21, (rounds, streams)) + rng.random((rounds, streams)) / 100,
    }[draw]
    factor = CoverageFactor("f", coverage)
    state = allocate(factor.fields, streams)
    rows = np.arange(streams)
    inside_TB = np.zeros(errors.shape, dtype=bool)
    for now, error_B in enumerate(errors):
        inside_TB[now] = np.abs(error_B) <= factor.factor(state, rows)
        factor.update(state, rows, inside_TB[now])
    assert inside_TB[500:].mean() == pytest.approx(coverage, abs=0.01)


def test_tail_is_increasing_and_invertible() -> None:
    tail = PooledTail(threshold=0.1, rate=0.005, mean_excess=0.2)
    scores = np.array([0.0, 0.05, 0.1, 0.3, 2.0, 1e30])
    surprise = tail.surprise(scores)
    assert (np.diff(surprise) > 0.0).all()
    assert surprise[0] == 0.0
    np.testing.assert_allclose(tail.score(surprise), scores, rtol=1e-9)


@pytest.mark.parametrize("mean_excess", [0.1, 0.5])
def test_tail_of_exponential_scores_is_their_probability(mean_excess: float) -> None:
    rng = np.random.default_rng(1)
    scores = np.where(rng.random(400_000) < 0.01, 0.1 + rng.exponential(mean_excess, 400_000), 0.0)
    surprise = PooledTail(threshold=0.1, rate=0.01, mean_excess=mean_excess).surprise(scores)
    for probability in (1e-3, 1e-4):
        assert (surprise > -np.log(probability)).mean() == pytest.approx(probability, rel=0.3)
