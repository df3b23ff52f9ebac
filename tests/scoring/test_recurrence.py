"""An outage that comes again, at samples of a minute: too improbable to be forgiven, worth no more than an alarm."""

import numpy as np
import pytest

from detector.scoring import Scorer
from detector.scoring.recurrence import ASKED, FIRST_SECONDS, HALF_TRUST_SECONDS, OUTAGE, Recurrence
from tests.scoring.test_scorer import Array, noise, play

DAY = 1440
LEVEL = 50.0


def spikes(days: int, count: int, starts: list[int]) -> Array:
    """[T, B] minutes of noise with a spike of three samples and some ten deviations at each of `starts`."""
    values = noise(days * DAY, count)
    for start in starts:
        values[start : start + 3] += 30.0
    return values


def said_of(values: Array, scorer: Scorer | None = None) -> Array:
    """[T, B] anomaly scores against the level as the forecast."""
    return play(values, scorer=scorer, loc=np.full(values.shape, LEVEL))[0]["anomaly_score"]


def test_the_same_spike_thrice_on_one_day_is_three_alarms() -> None:
    starts = [3 * DAY + hour * 60 for hour in (2, 9, 16)]
    scores = said_of(spikes(4, 12, starts))
    for start in starts:
        assert (scores[start : start + 3] > 1.0).any(axis=0).all(), start
    quiet = scores[2 * DAY : 3 * DAY] > 1.0
    assert quiet.any(axis=0).sum() <= 1


def test_a_spike_that_comes_again_ranks_below_the_first() -> None:
    first, second = 3 * DAY, 3 * DAY + 400
    scores = said_of(spikes(4, 12, [first, second]))
    again = scores[second : second + 3].max(axis=0)
    assert (again > 1.0).all()
    assert (again < scores[first : first + 3].max(axis=0)).all()


def test_what_comes_day_after_day_is_usual() -> None:
    starts = [day * DAY + 600 for day in range(2, 8)]
    scores = said_of(spikes(8, 12, starts))
    assert not (scores[starts[-1] : starts[-1] + 3] > 1.0).any()


def test_a_stream_that_has_overspent_its_budget_says_no_more_of_what_comes_again() -> None:
    starts = list(range(3 * DAY, 4 * DAY, 120))
    scores = said_of(spikes(4, 12, starts))
    alarms = np.stack([(scores[start : start + 3] > 1.0).any(axis=0) for start in starts])
    assert alarms[:3].all()
    assert alarms[-3:].mean() < 0.1


def test_a_young_stream_is_not_asked() -> None:
    far = np.array([1e6, 1e6, 2.0 * OUTAGE, 2.0 * OUTAGE * 1.01, OUTAGE])
    history = np.array([0.0, FIRST_SECONDS, HALF_TRUST_SECONDS, HALF_TRUST_SECONDS, 1e9])
    assert Recurrence().is_outage(far, history).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(("asked", "least"), [(0.5, OUTAGE), (ASKED, OUTAGE), (ASKED / np.e, OUTAGE + 1.0)])
def test_who_asks_for_fewer_alerts_hears_of_larger_outages_only(asked: float, least: float) -> None:
    far = least * np.array([0.99, 1.01])
    assert Recurrence(asked).is_outage(far, np.full(2, 1e12)).tolist() == [False, True]
