"""The quiet benchmark: what it plays, and how it counts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection import quiet, synthetic
from benchmarks.detection.components import Trace, play_collection
from detector.backtest.series import Series
from detector.models.forecaster import Forecaster

DAY = 86_400.0


def stream(name: str, step: float) -> Series:
    times = np.arange(0.0, quiet.DAYS * DAY, step)
    return Series(name, times, np.zeros(len(times)), np.zeros((0, 2), dtype=np.int64))


def test_streams_have_all_kinds_and_intervals_and_differ_by_seed() -> None:
    kinds, steps = list(synthetic.QUIET_STREAMS), synthetic.QUIET_STEPS
    streams = synthetic.quiet(1, len(kinds) * len(steps), 2.0)
    seen = {(one.name.split("/")[0], one.times[1] - one.times[0]) for one in streams}
    assert seen == {(kind, step) for kind in kinds for step in steps}
    again, others = (synthetic.quiet(seed, 1, 2.0)[0].values for seed in (1, 2))
    np.testing.assert_array_equal(streams[0].values, again)
    assert (streams[0].values != others).any()


def test_runs_of_anomalous_samples_count_once_and_not_on_the_first_day() -> None:
    one = stream("level/quiet", 3600.0)
    scores = np.zeros(len(one.times))
    scores[[3, 23, 48, 49, 55, 100]] = 2.0
    assert quiet.episode_days(one, scores).tolist() == pytest.approx([2.0, 100 / 24])


def test_rates_are_per_stream_and_week_without_the_power_tails() -> None:
    collection = [stream("level/quiet", 3600.0), stream("heavy/quiet", 300.0), stream("power/quiet", 300.0)]
    days = [np.array([2.0, 8.0]), np.array([]), np.array([2.0, 3.0, 4.0])]
    figures = quiet.rates(collection, days)
    weeks = (quiet.DAYS - 1.0) / 7.0
    expected = {"all": 1.0, "3600 s": 2.0, "300 s": 0.0, "level": 2.0, "heavy": 0.0, "power": 3.0}
    assert {name: figures[name] * weeks for name in expected} == pytest.approx(expected)
    assert [figures[f"week {week}"] for week in (1, 2, 3, 4)] == pytest.approx([0.5 * 7 / 6, 0.5, 0.0, 0.0])


def test_coverage_is_the_share_inside_the_band_after_the_first_day() -> None:
    one = stream("level/quiet", 3600.0)
    zeros, ones = np.zeros(len(one.times)), np.ones(len(one.times))
    upper = np.where(np.arange(len(one.times)) < 24 + 324, -0.5, 1.0)  # half of 27 days
    assert quiet.coverage(one, Trace(zeros, zeros, zeros, zeros, -ones, upper, zeros)) == pytest.approx(0.5)


@pytest.mark.parametrize("compact", [False, True], ids=["full", "compact"])
def test_each_profile_uses_its_own_scorer_and_the_given_budget(compact: bool) -> None:
    times, values = 3600.0 * np.arange(200.0), np.random.default_rng(2).standard_normal(200)
    one = Series("level/quiet", times, values, np.zeros((0, 2), dtype=np.int64))
    shipped = play_collection([one], Forecaster(compact=compact))[0].anomaly_score
    at_default, tighter = (
        quiet.at_budget([one], Forecaster(compact=compact), asked)[0].anomaly_score for asked in (0.1, 0.05)
    )
    np.testing.assert_array_equal(at_default, shipped)
    assert (tighter <= shipped).all()
    assert tighter.max() < shipped.max()
