"""The bank of naive forecasts and the normaliser."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.columns import Columns, allocate
from detector.models.features import FEATURE_NAMES, FEATURES, features, squash
from detector.models.naive import EXPERT_NAMES, EXPERTS, FIELDS, OLDEST, Bank, Clock, Slot, next_interval, unpack

START = 1.7e9
Array = npt.NDArray[Any]
EXTREME = st.floats(-1e30, 1e30, allow_nan=False, allow_infinity=False)


def play(times: Array, values: Array) -> Columns:
    """State after streams [S, T] were learnt."""
    values = np.atleast_2d(values)
    state = allocate(FIELDS, len(values))
    everyone = np.arange(len(values))
    for step in range(values.shape[1]):
        Bank().learn(state, everyone, np.broadcast_to(times[step], len(values)).astype(float), values[:, step])
    return state


def regular(steps: int, interval: float = 60.0) -> Array:
    return START + interval * np.arange(steps)


def slot(state: Columns, which: int | slice, row: int = 0) -> Any:
    return state["bank"][row, which]


def test_layout_has_room_for_every_expert():
    width = {name: len(range(*getattr(Slot, name).indices(Slot.SIZE))) for name in ("EXPERTS", "ERRORS")}
    assert width == {"EXPERTS": EXPERTS, "ERRORS": EXPERTS}
    assert len(EXPERT_NAMES) == EXPERTS
    assert len(FEATURE_NAMES) == FEATURES


def test_last_value_and_means_follow_a_new_level():
    state = play(regular(2000), np.r_[np.zeros(1000), np.full(1000, 5.0)])
    np.testing.assert_allclose(slot(state, Slot.EXPERTS)[:7], 5.0, atol=0.01)


def test_day_profile_learns_a_daily_job():
    hours = np.arange(24 * 7 * 3)
    errors = slot(play(START + 3600.0 * hours, np.where(hours % 24 == 9, 10.0, 0.0)), Slot.ERRORS)
    assert errors[EXPERT_NAMES.index("day_profile")] < 0.3 * errors[0]


def test_week_profile_learns_differences_between_days():
    hours = np.arange(24 * 7 * 5)
    values = 5 * np.cos(hours / 12 * np.pi) * np.where(hours // 24 % 7 >= 5, -1.0, 1.0)
    errors = slot(play(START + 3600.0 * hours, values), Slot.ERRORS)
    week = errors[EXPERT_NAMES.index("week_profile")]
    assert week < 0.5 * errors[0]
    assert week < 0.5 * errors[EXPERT_NAMES.index("day_profile")]


def test_day_profile_beats_the_day_before_with_edges_and_noise():
    times = 1.7e9 - 1.7e9 % 86400 + 900.0 * np.arange(96 * 14)
    hours = times % 86400 / 3600
    values = np.where((hours >= 9) & (hours < 18), 80.0, 20.0) + np.random.default_rng(0).uniform(-4, 4, len(times))
    errors = slot(play(times, values), Slot.ERRORS)
    day_ago = np.abs(values[96:] - values[:-96]).mean()
    assert errors[EXPERT_NAMES.index("steady_day")] < 0.95 * day_ago
    assert day_ago < errors[: EXPERT_NAMES.index("running_median")].min()


def test_hour_profile_learns_jobs_on_the_clock():
    minutes = np.arange(60 * 30)
    values = np.where(minutes % 60 == 17, 10.0, 0.0) + np.where(minutes % 60 == 40, 6.0, 0.0)
    errors = slot(play(START + 60.0 * minutes, values), Slot.ERRORS)
    assert errors[EXPERT_NAMES.index("hour_profile")] < 0.3 * errors[0]


def test_spike_hardly_moves_the_normaliser_and_a_shift_does():
    rng = np.random.default_rng(0)
    calm = rng.normal(size=1000)
    spiked, shifted = np.r_[calm, 1e6], np.r_[calm, 50 + rng.normal(size=3000)]
    after_calm, after_spike = (play(regular(len(v)), v) for v in (calm, spiked))
    assert abs(slot(after_spike, Slot.DEVIATION) - slot(after_calm, Slot.DEVIATION)) < 0.02
    assert abs(slot(after_spike, Slot.MEAN) - slot(after_calm, Slot.MEAN)) < 0.02
    after_shift = play(regular(len(shifted)), shifted)
    assert slot(after_shift, Slot.MEAN) + shifted[0] > 40


@pytest.mark.parametrize("age", [2000, OLDEST])
def test_spike_hardly_moves_the_error_of_the_last_value_at_any_age(age: float):
    rng = np.random.default_rng(0)
    state = play(regular(1001), rng.normal(size=1001))
    state["bank"][0, Slot.AGE] = age
    before = float(slot(state, Slot.ERRORS)[0])
    for step, value in enumerate(np.r_[1e4, rng.normal(size=10)]):
        Bank().learn(state, np.array([0]), regular(1002 + step)[-1:], np.array([value]))
    assert slot(state, Slot.ERRORS)[0] < 2.0 * before


def test_small_ripple_on_a_huge_level_is_resolved():
    rng = np.random.default_rng(0)
    ripple = rng.normal(size=500)
    near, far = play(regular(500), ripple), play(regular(500), 1e9 + ripple)
    np.testing.assert_allclose(slot(near, Slot.ERRORS), slot(far, Slot.ERRORS), rtol=1e-3, atol=2e-3)


def test_interval_ignores_gaps_and_follows_changes():
    interval, age = np.array([60.0]), np.array([100.0], np.float32)
    assert abs(next_interval(interval, np.array([6000.0]), age)[0] - 60) <= 3.01
    for _ in range(100):
        interval = next_interval(interval, np.array([10.0]), age)
    assert interval[0] == 10.0


def test_usual_interval_is_the_step_of_a_regular_stream():
    state = play(regular(50, 300.0), np.arange(50.0))
    assert state["bank_clock"][0, Clock.INTERVAL] == 300.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(EXTREME, st.floats(1e-3, 1e8)), min_size=1, max_size=40))
def test_everything_stays_finite(samples):
    values, steps = np.array(samples).T
    state = play(START + np.cumsum(steps), values)
    assert all(np.isfinite(column).all() for column in state.values())
    inputs, unit = features(unpack(state, np.array([0])))
    assert np.isfinite(inputs).all()
    assert np.isfinite(unit).all()
    assert (unit > 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(0, 2**31), st.integers(1, 69))
def test_row_does_not_depend_on_the_others(count, seed, cut):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 12)) * 10.0 ** rng.integers(-6, 12, (count, 1))
    together = play(regular(12), values)
    apart = allocate(FIELDS, count)
    for step in range(12):
        order = rng.permutation(count)
        for part in (order[:cut], order[cut:]):
            if len(part):
                Bank().learn(apart, part, np.full(len(part), START + 60.0 * step), values[part, step])
    for name, column in together.items():
        assert column.tobytes() == apart[name].tobytes(), name
    whole, _ = features(unpack(together, np.arange(count)))
    single = np.concatenate([features(unpack(together, np.array([row])))[0] for row in range(count)], axis=1)
    assert whole.tobytes() == single.tobytes()


def test_squash_is_asinh():
    x = np.array([-3e5, -1.0, -1e-3, 0.0, 0.5, 40.0], np.float32)
    np.testing.assert_allclose(squash(x), np.arcsinh(x), rtol=1e-4, atol=1e-6)


def test_profiles_learn_streams_that_skip_nodes():
    """Every five minutes, 53 s past the minute: only every fifth node is ever nearest to a sample."""
    steps = np.arange(12 * 40)
    values = np.where(steps % 12 == 3, 10.0, 0.0)
    errors = slot(play(1_700_000_000 // 3600 * 3600 + 53 + 300.0 * steps, values), Slot.ERRORS)
    assert errors[EXPERT_NAMES.index("hour_profile")] < 0.3 * errors[0]
