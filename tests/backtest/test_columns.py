"""Down-sampling and axes: nothing is lost, and every number in a picture is finite."""

import re

import numpy as np
import pytest

from detector.backtest.columns import Columns, Scale, area, bars, in_columns, line
from detector.backtest.ticks import time_ticks, value_ticks


def columns(values: np.ndarray, pixels: int) -> Columns:
    return in_columns(np.arange(float(len(values))), values, 0.0, len(values) - 1.0, pixels)


def test_down_sampling_keeps_a_single_extreme_row() -> None:
    values = np.random.default_rng(1).normal(size=1_000_000)
    values[123_456], values[765_432] = 900.0, -800.0
    found = columns(values, 500)
    assert len(found) == 500
    assert (found.greatest.max(), found.least.min()) == (900.0, -800.0)
    assert found.x[np.argmax(found.greatest)] == 123_456 * 500 // 999_999
    assert (found.first[0], found.last[-1]) == (values[0], values[-1])


def test_short_series_keeps_every_row() -> None:
    found = columns(np.array([3.0, 1.0, np.nan, 2.0]), 300)
    assert found.x.tolist() == [0, 100, 299]
    assert found.greatest.tolist() == [3.0, 1.0, 2.0]


def test_line_breaks_at_a_gap_and_not_at_a_missing_row() -> None:
    values = np.ones(200)
    values[20] = np.nan
    values[100:150] = np.nan
    assert np.flatnonzero(columns(values, 200).breaks).tolist() == [0, 99]
    assert line(columns(values, 200), Scale(0.0, 2.0, 0.0, 10.0)).count("M") == 2


def test_empty_series_has_an_empty_path() -> None:
    scale = Scale(0.0, 1.0, 0.0, 10.0)
    empty = columns(np.full(5, np.nan), 100)
    assert len(empty) == 0
    assert line(empty, scale) == area(empty, empty, scale) == bars(empty, scale, 0.0) == ""


def test_paths_are_drawn_in_tenths_of_a_pixel() -> None:
    found, scale = columns(np.array([0.0, 1.0, 5.0]), 3), Scale(0.0, 5.0, 0.0, 10.0)
    assert scale(np.array([0.0, 5.0, 2.5])).tolist() == [100, 0, 50]
    assert line(found, scale) == "M0 100h0l10 -20l10 -80"
    assert area(found, found, scale).startswith("M0 100L10 80L20 0L20 0")
    assert bars(found, scale, 1.0) == "M20 100V0"


def test_value_far_outside_has_short_coordinates() -> None:
    found = columns(np.array([0.0, 1e30, -1e30]), 3)
    assert max(map(len, re.findall(r"\d+", line(found, Scale(0.0, 1.0, 0.0, 10.0))))) <= 6


@pytest.mark.parametrize("span", [(0.0, 1.0), (-1e-9, 1e-9), (3.0, 7e12), (1e9, 1e9 + 0.3), (-5.0, 12.0), (0.0, 9.99)])
def test_value_ticks_lie_inside_and_are_few(span: tuple[float, float]) -> None:
    ticks = value_ticks(*span, 5)
    assert 1 <= len(ticks) <= 6
    slack = 1e-6 * (span[1] - span[0])
    assert all(span[0] - slack <= value <= span[1] + slack for value, _ in ticks)


@pytest.mark.parametrize("span", [(1.7501e9, 1.7503e9), (1_000_000.0, 1_000_300.0), (99.99, 100.01), (-0.1, 0.2)])
def test_value_tick_labels_differ_and_are_short(span: tuple[float, float]) -> None:
    texts = [text for _, text in value_ticks(*span, 4)]
    assert len(set(texts)) == len(texts) >= 2
    assert max(map(len, texts)) <= 9


@pytest.mark.parametrize("seconds", [3.0, 50.0, 4000.0, 86_400.0, 1e6, 1e8, 3e9])
def test_time_ticks_lie_inside_and_are_few(seconds: float) -> None:
    start = 1_600_000_123.0
    ticks = time_ticks(start, start + seconds, 9)
    assert 1 <= len(ticks) <= 9
    assert all(start <= time <= start + seconds for time, _ in ticks)


def test_time_ticks_say_what_is_needed() -> None:
    assert time_ticks(0.0, 86_400.0, 4)[1][1] == "01-01 12:00"
    assert time_ticks(0.0, 3e6, 5)[1][1] == "1970-01-08"
    assert time_ticks(0.0, 30.0, 4)[1][1] == "00:00:15"
