"""The naive forecasts that the benchmark measures against use the past only."""

import numpy as np

from benchmarks.forecast.__main__ import judge, summary
from benchmarks.forecast.naive import naive_forecasts

HOURS = np.arange(24.0 * 4)
TIMES = (1.7e9 + 3600.0 * HOURS).astype(np.float64)


def test_last_value_and_day_ago():
    values = np.sin(HOURS / 24 * 2 * np.pi)
    made = naive_forecasts(TIMES, values)
    np.testing.assert_array_equal(made["last_value"][1:], values[:-1])
    np.testing.assert_allclose(made["day_ago"][24:], values[:-24])


def test_naive_forecasts_use_only_the_past():
    values = np.random.default_rng(0).normal(size=len(HOURS))
    changed = np.r_[values[:50], values[50:] + 100]
    for name, made in naive_forecasts(TIMES, values).items():
        np.testing.assert_array_equal(made[:51], naive_forecasts(TIMES, changed)[name][:51])


def test_ratio_of_a_perfect_and_of_a_naive_forecast():
    values = np.random.default_rng(0).normal(size=len(HOURS))
    last = naive_forecasts(TIMES, values)["last_value"]
    judged = judge(("a", TIMES, values), values, last)
    assert float(str(judged["network"])) < 1e-3
    assert float(str(judged["used"])) >= 1
    assert summary([judged], "network")["won"] == 1
