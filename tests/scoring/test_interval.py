"""The usual time between two samples: known after two, and hardly moved by one gap."""

from __future__ import annotations

import numpy as np
import pytest

from detector.columns import Columns, allocate
from detector.scoring.interval import SamplingInterval

ROW = np.zeros(1, dtype=np.int64)
INTERVAL = SamplingInterval()


def after(times: list[float]) -> Columns:
    state = allocate(INTERVAL.fields, 1)
    for time in times:
        INTERVAL.update(state, ROW, np.array([time]))
    return state


def seconds(times: list[float]) -> float:
    return float(INTERVAL.seconds(after(times), ROW)[0])


def test_a_minute_is_assumed_until_there_are_two_samples() -> None:
    assert seconds([]) == seconds([1_000.0]) == 60.0
    assert np.isnan(INTERVAL.since(after([]), ROW, np.array([1_000.0]))[0])


@pytest.mark.parametrize("step_seconds", [0.001, 0.1, 10.0, 300.0, 3600.0])
def test_interval_is_that_of_the_samples(step_seconds: float) -> None:
    assert seconds([count * step_seconds for count in range(50)]) == pytest.approx(step_seconds, rel=1e-4)


def test_one_long_gap_hardly_moves_the_interval() -> None:
    times = [count * 60.0 for count in range(200)]
    assert 60.0 < seconds([*times, times[-1] + 86_400.0]) < 70.0


def test_interval_follows_a_lasting_change() -> None:
    times = [count * 60.0 for count in range(100)]
    assert seconds([*times, *(times[-1] + count * 10.0 for count in range(1, 200))]) == pytest.approx(10.0, rel=0.01)


def test_since_is_the_time_after_the_last_sample() -> None:
    assert INTERVAL.since(after([0.0, 60.0]), ROW, np.array([75.0]))[0] == 15.0
