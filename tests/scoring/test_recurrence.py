"""A recurring outage, with samples a minute apart: improbable enough to alert again, but with a low score."""

import numpy as np
import pytest

from detector.scoring.budget import ASKED
from detector.scoring.recurrence import FIRST_SECONDS, HALF_TRUST_SECONDS, OUTAGE, Recurrence
from tests.scoring.test_scorer import Array, noise, play

DAY = 1440
LEVEL = 50.0


def spikes(days: int, count: int, starts: list[int]) -> Array:
    """[T, B] minutes of noise with a spike of three samples and some ten deviations at each of `starts`."""
    values = noise(days * DAY, count)
    for start in starts:
        values[start : start + 3] += 30.0
    return values


BEGINNINGS = {
    "thrice on a day": [3 * DAY + hour * 60 for hour in (2, 9, 16)],
    "twice": [3 * DAY, 3 * DAY + 400],
    "day after day": [day * DAY + 600 for day in range(2, 8)],
    "all day": list(range(3 * DAY, 4 * DAY, 120)),
}
"""When spikes begin on the streams of each kind."""


@pytest.fixture(scope="module")
def scores() -> dict[str, Array]:
    """[T, B] anomaly scores of the streams of each kind, against the level as the forecast."""
    values = np.hstack([spikes(8, 12, starts) for starts in BEGINNINGS.values()])
    said = play(values, loc=np.full(values.shape, LEVEL))[0]["anomaly_score"]
    return dict(zip(BEGINNINGS, np.hsplit(said, len(BEGINNINGS)), strict=True))


def test_same_spike_three_times_a_day_is_three_alerts(scores: dict[str, Array]) -> None:
    thrice = scores["thrice on a day"]
    for start in BEGINNINGS["thrice on a day"]:
        assert (thrice[start : start + 3] > 1.0).any(axis=0).all(), start
    quiet = thrice[2 * DAY : 3 * DAY] > 1.0
    assert quiet.any(axis=0).sum() <= 1


def test_recurring_spike_scores_below_the_first(scores: dict[str, Array]) -> None:
    first, second = BEGINNINGS["twice"]
    again = scores["twice"][second : second + 3].max(axis=0)
    assert (again > 1.0).all()
    assert (again < scores["twice"][first : first + 3].max(axis=0)).all()


def test_daily_spike_becomes_usual(scores: dict[str, Array]) -> None:
    last = BEGINNINGS["day after day"][-1]
    assert not (scores["day after day"][last : last + 3] > 1.0).any()


def test_stream_over_its_budget_does_not_alert_on_recurrences(scores: dict[str, Array]) -> None:
    spent = scores["all day"]
    alarms = np.stack([(spent[start : start + 3] > 1.0).any(axis=0) for start in BEGINNINGS["all day"]])
    assert alarms[:3].all()
    assert alarms[-3:].mean() < 0.1


def test_recurrences_of_a_young_stream_do_not_alert() -> None:
    far = np.array([1e6, 1e6, 2.0 * OUTAGE, 2.0 * OUTAGE * 1.01, OUTAGE])
    history = np.array([0.0, FIRST_SECONDS, HALF_TRUST_SECONDS, HALF_TRUST_SECONDS, 1e9])
    assert Recurrence().is_outage(far, history).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(("asked", "least"), [(0.5, OUTAGE), (ASKED, OUTAGE), (ASKED / np.e, OUTAGE + 1.0)])
def test_smaller_budget_alerts_only_on_larger_recurring_outages(asked: float, least: float) -> None:
    far = least * np.array([0.99, 1.01])
    assert Recurrence(asked).is_outage(far, np.full(2, 1e12)).tolist() == [False, True]
