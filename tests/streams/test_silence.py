"""Which streams are active and which have fallen silent: the dead ones, not those beside a wrong clock."""

import numpy as np

from detector.streams.silence import Heard, heard

NOW = 1_700_000_000.0
MINUTE, DAY = 60.0, 86_400.0


def ask(behind: list[float], interval: float = MINUTE, event_time: float = NOW) -> Heard:
    """For streams whose newest sample is `behind` the present by so many seconds."""
    return heard(NOW - np.array(behind), np.full(len(behind), interval), event_time)


def silent(behind: list[float], interval: float = MINUTE, event_time: float = NOW) -> list[bool]:
    found = ask(behind, interval, event_time)
    assert not (found.active & found.silent).any()
    return found.silent.tolist()


def test_stream_is_silent_after_five_intervals_and_at_least_five_minutes() -> None:
    assert silent([0, 0, 5, 299, 301]) == [False, False, False, False, True]
    assert silent([0, 0, 5, 299, 301], interval=1.0) == [False, False, False, False, True]
    assert silent([0, 0, 5, 5 * 600 - 1, 5 * 600 + 1], interval=600.0) == [False, False, False, False, True]
    assert ask([0, 0, 5, 299, 301]).active.tolist() == [True, True, True, True, False]


def test_stream_gone_for_a_day_or_without_samples_is_neither_active_nor_silent() -> None:
    assert silent([0, 0, DAY - 1, DAY + 1, np.inf]) == [False, False, True, False, False]
    assert ask([0, 0, DAY - 1, DAY + 1, np.inf]).active.tolist() == [True, True, False, False, False]


def test_stream_with_a_sample_a_day_is_not_silent_within_its_interval() -> None:
    found = ask([0.0, 0.0, 4.9 * DAY, 9.9 * DAY, 10.1 * DAY], interval=DAY)
    assert found.active.tolist() == [True, True, True, False, False]
    assert found.silent.tolist() == [False, False, False, True, False]


def test_clock_ahead_makes_no_other_stream_silent() -> None:
    assert not any(silent([0.0] * 15 + [-3_600.0] * 5, event_time=NOW + 3_600.0))
    assert not any(silent([0.0] * 15 + [-400 * DAY] * 5))


def test_most_streams_may_fall_silent_together() -> None:
    assert sum(silent([0.0] * 6 + [3_600.0] * 14)) == 14


def test_partition_without_samples_has_no_active_or_silent_streams() -> None:
    assert silent([np.inf, np.inf], event_time=-np.inf) == [False, False]
    assert silent([], event_time=-np.inf) == []
