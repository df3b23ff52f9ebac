"""What is expected of a stream keeps to the sign that the stream has kept so far."""

from __future__ import annotations

import numpy as np
import pytest

from detector.columns import allocate
from detector.scoring import Score, Scorer

WIDE = 5.0
"""Half of the band is a multiple of this."""


def judge(history: np.ndarray, value: float, forecast: float, *, compact: bool) -> Score:
    """The score of one more value of a stream, against this forecast."""
    scorer = Scorer(compact=compact)
    state, row = allocate(scorer.fields, 1), np.zeros(1, dtype=np.int64)

    def score(now: int, sample: float, loc: float) -> Score:
        return scorer.score(state, row, np.array([60.0 * now]), *(np.array([x]) for x in (sample, loc, WIDE)))

    for now, sample in enumerate(history):
        said = score(now, sample, history[now - 1] if now else np.nan)
        scorer.learn(state, row, np.array([60.0 * now]), np.array([sample]), said)
    return score(len(history), value, forecast)


def load(count: int = 200) -> np.ndarray:
    """Requests a second of a service, now and then none."""
    return np.maximum(np.random.default_rng(0).normal(3.0, 2.0, count), 0.0)


@pytest.mark.parametrize("compact", [False, True])
def test_nothing_below_zero_is_expected_of_a_stream_that_was_never_negative(compact: bool) -> None:
    score = judge(load(), value=0.0, forecast=-4.0, compact=compact)
    assert (score.expected[0], score.lower[0]) == (0.0, 0.0)
    assert score.upper[0] > 0.0
    assert score.evidence.residual[0] == 0.0


@pytest.mark.parametrize("compact", [False, True])
def test_lower_end_of_the_band_is_no_lower_than_zero_where_the_forecast_is_higher(compact: bool) -> None:
    score = judge(load(), value=1.0, forecast=1.0, compact=compact)
    assert score.expected[0] == 1.0
    assert score.lower[0] == 0.0 < 1.0 < score.upper[0]


@pytest.mark.parametrize("history", [load() - 3.0, -load() - 1.0, np.append(load(), -1.0), load(3)])
def test_forecast_of_other_and_of_new_streams_stays_as_it_is(history: np.ndarray) -> None:
    score = judge(history, value=0.0, forecast=-4.0, compact=False)
    assert score.expected[0] == -4.0
    assert score.lower[0] < -4.0 < score.upper[0]


def test_nothing_is_expected_of_the_first_sample() -> None:
    assert np.isnan(judge(np.empty(0), value=1.0, forecast=np.nan, compact=False).expected[0])
