"""Which alerts count as caught or false, on cases counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from detector.backtest.count import Event, Verdict, judge
from detector.backtest.figures import Figures, figures
from tests.backtest.histories import START, STEP, at, history, judged


def of(episodes: list[tuple[float, float | None]], windows: list[tuple[float, float]], rows: int = 1000) -> Figures:
    return figures([judged(rows, episodes, windows)])


def test_alert_inside_a_window_catches_it() -> None:
    found = of([(105, 130)], [(100, 120)])
    assert (found.events, found.caught, found.missed, found.alerts, found.false_alerts) == (1, 1, 0, 1, 0)
    assert (found.precision, found.recall, found.f1) == (1.0, 1.0, 1.0)
    assert (found.median_delay_samples, found.median_delay_seconds) == (5.0, 5 * STEP)
    assert found.caught_by_open_alert == 0


@pytest.mark.parametrize(("fired", "caught"), [(99, True), (100, True), (120, True), (123, True), (124, False)])
def test_alert_within_three_rows_after_a_window_catches_it(fired: int, caught: bool) -> None:
    found = of([(fired, fired + 6)], [(100, 120)])
    assert (found.caught, found.false_alerts) == ((1, 0) if caught else (0, 1))


def test_alert_open_before_the_window_has_no_delay() -> None:
    found = of([(80, 110)], [(100, 120)])
    assert (found.caught, found.caught_by_open_alert, found.median_delay_samples) == (1, 1, 0.0)
    assert of([(80, 101)], [(100, 120)]).caught == 1
    # The alert resolves at row 100, which is a normal sample: it does not overlap the window.
    assert of([(80, 100)], [(100, 120)]).caught == 0


def test_unresolved_alert_lasts_to_the_end_of_the_series() -> None:
    assert of([(500, None)], [(900, 950)]).caught == 1


def test_one_alert_over_two_events_is_one_true_alert() -> None:
    found = of([(100, 300)], [(100, 120), (200, 220)])
    assert (found.caught, found.alerts, found.false_alerts) == (2, 1, 0)


def test_two_alerts_in_one_event_count_once_and_the_first_gives_the_delay() -> None:
    found = of([(102, 105), (110, 115), (400, 405)], [(100, 120), (600, 700)])
    assert (found.caught, found.missed, found.alerts, found.false_alerts) == (1, 1, 3, 1)
    assert found.median_delay_samples == 2.0
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == 0.5
    assert found.f1 == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))


def test_rates_use_the_judged_time() -> None:
    # 10 rows of warm-up, so 1,440 steps of a minute between the first judged and the last row: one day.
    found = of([(100, 110), (300, 310)], [], rows=1451)
    assert found.stream_days == pytest.approx(1.0)
    assert found.false_alerts_per_stream_day == pytest.approx(2.0)
    assert found.false_alerts_per_stream_week == found.alerts_per_stream_week == pytest.approx(14.0)
    assert (found.precision, found.recall, found.f1, found.best_f1, found.nab) == (0.0, None, None, None, None)


def test_events_without_judged_rows_are_left_out() -> None:
    one = history(1000)
    kept = np.delete(np.arange(1000), np.arange(400, 500))
    columns = ("times", "values", "expected", "lower", "upper", "scores", "scored")
    holey = replace(one, **{name: getattr(one, name)[kept] for name in columns})
    found = judge(holey, [(at(2), at(9)), (at(410), at(490)), (at(5), at(10))])
    assert [event.verdict for event in found.events] == [Verdict.NOT_JUDGED, Verdict.NOT_JUDGED, Verdict.MISSED]
    assert len(found.series.windows) == 2
    total = figures([found])
    assert (total.events, total.not_judged) == (1, 2)


def test_events_say_when_they_were_and_what_became_of_them() -> None:
    found = judged(1000, [(100, 110), (299, 305)], [(100, 100), (300, 320), (600, 700)])
    assert found.events == (
        Event(at(100), at(100), Verdict.CAUGHT, was_open=False, delay_samples=0, delay_seconds=0.0),
        Event(at(300), at(320), Verdict.CAUGHT, was_open=True, delay_samples=0, delay_seconds=0.0),
        Event(at(600), at(700), Verdict.MISSED, was_open=False, delay_samples=None, delay_seconds=None),
    )
    assert found.series.windows.tolist() == [[100, 100], [300, 320], [600, 700]]


def test_empty_series_does_not_divide_by_zero() -> None:
    found = figures([judge(history(0), [])])
    assert (found.events, found.alerts, found.stream_days) == (0, 0, 0.0)
    assert found.false_alerts_per_stream_week is None
    assert figures([]).precision is None
    assert judge(history(5, warmup=10), [(START, START)]).events[0].verdict == Verdict.NOT_JUDGED


def test_without_alerts_precision_is_undefined_and_f1_is_zero() -> None:
    found = of([], [(500, 520)])
    assert (found.precision, found.recall, found.f1, found.median_delay_seconds) == (None, 0.0, 0.0, None)


def test_scorers_see_the_same_series() -> None:
    found = of([(500, 521)], [(500, 520)])
    assert (found.best_f1, found.f1_at_own_threshold) == (1.0, 1.0)
    assert found.nab is not None
    assert found.nab["standard"] == found.nab["low_fn_at_own_threshold"] == pytest.approx(100.0)
    assert set(found.nab) == {
        f"{profile}{suffix}" for profile in ("standard", "low_fp", "low_fn") for suffix in ("", "_at_own_threshold")
    }


def test_counts_of_several_series_add_up() -> None:
    total = figures([judged(1000, [(105, 130)], [(100, 120)]), judged(1000, [(700, 710)], [(100, 120)])])
    assert (total.series, total.events, total.caught, total.missed, total.false_alerts) == (2, 2, 1, 1, 1)
    assert (total.precision, total.recall, total.f1) == (0.5, 0.5, 0.5)
