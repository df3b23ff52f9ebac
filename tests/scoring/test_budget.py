"""The alert budget: a rate as a probability per sample, and a price that rises for streams that exceed it."""

from __future__ import annotations

import numpy as np
import pytest

from detector.columns import Columns, allocate
from detector.scoring.budget import APART_SAMPLES, ASKED, CREDIT, WEEK_SECONDS, Budget, shortfall
from detector.scoring.flatline import LONGEST, FlatLine

ROW = np.zeros(1, dtype=np.int64)
MINUTE = np.array([60.0])


def spend(budget: Budget, state: Columns, alarms: list[bool], step_seconds: float) -> None:
    for alarm in alarms:
        budget.update(state, ROW, np.array([step_seconds]), np.array([100.0 if alarm else 0.0]))


@pytest.mark.parametrize("step_seconds", [0.001, 0.1, 10.0, 60.0, 300.0, 3600.0])
def test_budget_is_a_probability_that_depends_on_the_interval(step_seconds: float) -> None:
    budget = Budget(0.1)
    state = allocate(budget.fields, 1)
    spend(budget, state, [False] * 50, step_seconds)
    price = budget.price(state, ROW, np.array([step_seconds]))[0]
    assert price == pytest.approx(-np.log(0.1 * step_seconds / WEEK_SECONDS), rel=1e-4)


@pytest.mark.parametrize(("asked", "least"), [(0.5, 0.0), (ASKED, 0.0), (ASKED / np.e, 1.0)])
def test_only_a_budget_below_the_default_falls_short(asked: float, least: float) -> None:
    assert shortfall(asked) == pytest.approx(least)


def test_surcharge_is_asked_of_every_alarm_but_does_not_change_what_is_allowed() -> None:
    plain, dear = Budget(0.05), Budget(0.05, surcharge=0.5)
    states = [allocate(budget.fields, 1) for budget in (plain, dear)]
    between = plain.base(MINUTE) + 0.25
    for budget, state in zip((plain, dear), states, strict=True):
        budget.update(state, ROW, MINUTE, between)
    assert dear.base(MINUTE)[0] == pytest.approx(plain.base(MINUTE)[0] + 0.5)
    assert [state["budget_spent"][0] for state in states] == [1.0, 0.0]
    assert states[0]["budget_allowed"][0] == states[1]["budget_allowed"][0]


def test_overspending_raises_the_price() -> None:
    budget = Budget(0.1)
    state = allocate(budget.fields, 1)
    one_alarm = [True] + [False] * (2 * APART_SAMPLES)
    spend(budget, state, one_alarm, 60.0)
    before = budget.price(state, ROW, MINUTE)[0]
    spend(budget, state, one_alarm * 15, 60.0)
    expected = budget.base(MINUTE)[0] + np.log((16 + CREDIT) / CREDIT)
    assert before < budget.price(state, ROW, MINUTE)[0] == pytest.approx(expected, rel=1e-3)


def test_one_disturbance_is_one_alert() -> None:
    budget = Budget(0.1)
    state = allocate(budget.fields, 1)
    spend(budget, state, [True] * 40 + [True, False, False] * 10, 60.0)
    assert state["budget_spent"][0] == pytest.approx(1.0, abs=0.01)


def test_absurd_values_count_as_early_only_within_ten_samples() -> None:
    budget = Budget(0.1)
    state = allocate(budget.fields, 1)
    early = []
    for count in range(60):
        is_early = budget.is_early(state, ROW)
        early.append(bool(is_early[0]))
        surprise = np.array([100.0 if count < 40 else 0.0])
        budget.update(state, ROW, MINUTE, surprise, is_early & (surprise > 0.0))
    assert early == [True] * APART_SAMPLES + [False] * 40 + [True] * 10
    assert state["budget_spent"][0] == pytest.approx(1.0, abs=0.01)


def flat_surprise(values: np.ndarray) -> np.ndarray:
    flat = FlatLine()
    state = allocate(flat.fields, 1)
    said = []
    for value in values:
        run = flat.run(state, ROW, np.array([value]))
        said.append(flat.surprise(state, ROW, run)[0])
        flat.update(state, ROW, np.array([value]), run)
    return np.array(said)


def test_run_of_repeats_is_anomalous_until_it_is_the_new_normal() -> None:
    values = np.concatenate([np.random.default_rng(0).standard_normal(300), np.full(60, 0.5)])
    said = flat_surprise(values)
    assert (said[:300] == 0.0).all()
    run = said[301 : 301 + int(LONGEST)]
    assert (np.diff(run) > 0.0).all()
    assert run[9] > 11.5
    assert (said[301 + int(LONGEST) :] == 0.0).all()


def test_run_no_longer_than_earlier_ones_is_not_anomalous() -> None:
    rng = np.random.default_rng(1)
    said = flat_surprise(np.repeat(rng.standard_normal(100), 8))
    assert (said[400:] == 0.0).all()


def test_stuck_value_is_anomalous_again_until_it_is_a_habit() -> None:
    rng = np.random.default_rng(2)
    outages = [
        np.concatenate([rng.standard_normal(300), np.full(60, value)]) for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    ]
    said = [part.max() for part in np.split(flat_surprise(np.concatenate(outages)), len(outages))]
    assert min(said[:3]) > 11.5
    assert max(said[4:]) == 0.0


@pytest.mark.parametrize("first", [np.zeros(200), np.array([0.0]), np.array([5.0] * 100 + [1e18] + [5.0] * 100)])
def test_jump_before_the_stream_moves_hides_no_flat_line(first: np.ndarray) -> None:
    lively = 2e9 + 1e5 * np.random.default_rng(0).standard_normal(1000)
    said = flat_surprise(np.concatenate([first, lively, np.full(30, lively[-1])]))
    assert said[-30:].max() > 15.0


def test_two_equal_values_are_no_flat_line_and_three_are() -> None:
    moving = np.arange(600) % 7.0
    said = flat_surprise(np.concatenate([moving, [0.5, 0.5, 0.5]]))
    assert (said[:602] == 0.0).all()
    assert said[602] > 7.4  # what an hourly stream's default budget asks for


def test_stream_that_hardly_ever_moved_is_not_stuck() -> None:
    values = np.zeros(600)
    values[100::50] = 7.0
    assert (flat_surprise(values) == 0.0).all()
