"""The scorer: score reads only, results are finite, and the designed-for faults are detected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.columns import Columns, allocate
from detector.scoring import Score, Scorer, ScorerSettings

Array = np.ndarray
COLUMNS = ("novelty", "anomaly_score", "lower", "upper", "surprise", "size", "reach")


def play(
    values: Array, *, scorer: Scorer | None = None, loc: Array | None = None, step_seconds: float = 60.0
) -> tuple[dict[str, Array], Columns]:
    """[T, B] values through a scorer against a persistence forecast; ([T, B] of each part of the score, state)."""
    scorer = scorer or Scorer()
    rounds, count = values.shape
    state = allocate(scorer.fields, count)
    rows = np.arange(count)
    scale = np.ones(count)
    said: list[Score] = []
    last = np.full(count, np.nan)
    for now in range(rounds):
        expected = last if loc is None else loc[now]
        arguments = (state, rows, np.full(count, now * step_seconds), values[now], expected, scale)
        said.append(scorer.score(*arguments))
        scorer.learn(*arguments[:4], said[-1])
        last = values[now]
    return {name: np.stack([getattr(score, name) for score in said]) for name in COLUMNS}, state


def noise(rounds: int, count: int, seed: int = 0) -> Array:
    return 50.0 + 3.0 * np.random.default_rng(seed).standard_normal((rounds, count))


def test_state_of_a_stream_has_the_designed_size() -> None:
    assert sum(field.nbytes for field in Scorer().fields) <= 2048


def test_score_changes_nothing() -> None:
    scorer = Scorer()
    _, state = play(noise(100, 8), scorer=scorer)
    before = {name: column.copy() for name, column in state.items()}
    scorer.score(state, np.arange(8), np.full(8, 6000.0), np.full(8, 99.0), np.full(8, 50.0), np.ones(8))
    for name, column in state.items():
        np.testing.assert_array_equal(column, before[name])


def season(rounds: int, count: int) -> Array:
    """Hourly values with a daily habit."""
    hours = np.arange(rounds)[:, None] + np.arange(count)[None, :]
    return 20.0 * np.sin(2 * np.pi * hours / 24.0) + noise(rounds, count)


def test_reach_is_the_distance_from_the_usual_level_in_deviations() -> None:
    values = noise(300, 4)
    values[299] += 30.0
    reach = play(values)[0]["reach"]
    assert (reach[0] == 0.0).all()
    expected = np.abs(values[299] - values[:299].mean(axis=0)) / values[:299].std(axis=0)
    np.testing.assert_allclose(reach[299], expected, rtol=1e-6)


def test_reach_excludes_what_the_time_of_day_explains() -> None:
    values = season(400, 24)
    by_habit, by_level = (play(values, step_seconds=step)[0]["reach"][240:] for step in (3600.0, 60.0))
    assert np.median(by_habit) < 0.5 * np.median(by_level)


@pytest.mark.parametrize(("step_seconds", "compact"), [(60.0, False), (3600.0, False), (3600.0, True)])
def test_result_does_not_depend_on_other_streams_of_the_call(step_seconds: float, compact: bool) -> None:
    values = noise(300, 24)
    values[:, ::2] = season(300, 12)
    values[200:210, ::5] += 40.0
    scorer = Scorer(compact=compact)
    together, state = play(values, scorer=scorer, step_seconds=step_seconds)
    apart = allocate(scorer.fields, 24)
    rng = np.random.default_rng(2)
    last = np.full(24, np.nan)
    for now in range(300):
        order = rng.permutation(24)
        for rows in np.array_split(order, rng.integers(1, 6)):
            arguments = (
                apart,
                rows,
                np.full(len(rows), now * step_seconds),
                values[now, rows],
                last[rows],
                np.ones(len(rows)),
            )
            score = scorer.score(*arguments)
            scorer.learn(*arguments[:4], score)
            for name in COLUMNS:
                np.testing.assert_array_equal(getattr(score, name), together[name][now, rows])
        last = values[now]
    for name, column in state.items():
        np.testing.assert_array_equal(column, apart[name])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=120),
    st.floats(-1e30, 1e30) | st.just(float("nan")) | st.just(float("inf")),
    st.floats(0.0, 1e30),
)
def test_scores_of_finite_values_are_finite(values: list[float], loc: float, scale: float) -> None:
    scorer = Scorer(ScorerSettings(warmup_samples=10))
    state = allocate(scorer.fields, 1)
    row = np.zeros(1, dtype=np.int64)
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        for now, value in enumerate(values):
            arguments = (state, row, np.array([now * 1.0]), np.array([value]), np.array([loc]), np.array([scale]))
            score = scorer.score(*arguments)
            scorer.learn(*arguments[:4], score)
            assert all(np.isfinite(getattr(score, name)).all() for name in COLUMNS)
            assert score.anomaly_score[0] >= 0.0
    unset = {"value_memory", "residual_memory", "departure_memory"}  # infinity marks an empty place there
    assert all(np.isfinite(column).all() for name, column in state.items() if name not in unset)


def test_warm_up_scores_nothing() -> None:
    values = noise(100, 3)
    values[40] += 500.0
    said, _ = play(values, scorer=Scorer(ScorerSettings(warmup_samples=60)))
    assert (said["anomaly_score"][:60] == 0.0).all()
    assert (said["anomaly_score"][60:] > 0.0).any()


def test_warm_up_scores_nothing_beside_a_stream_that_is_judged() -> None:
    scorer, values = Scorer(), noise(100, 2)
    state = allocate(scorer.fields, 2)
    values[99] += 500.0
    for now, both in enumerate(values):
        rows = np.arange(2 if now >= 70 else 1)
        arguments = (
            state,
            rows,
            np.full(len(rows), now * 60.0),
            both[rows],
            np.full(len(rows), 50.0),
            np.ones(2)[rows],
        )
        score = scorer.score(*arguments)
        scorer.learn(*arguments[:4], score)
    for part in ("novelty", "anomaly_score", "surprise"):
        judged, warming = getattr(score, part)
        assert judged > 1.0
        assert warming == 0.0


def fault(kind: str, values: Array, start: int, rng: np.random.Generator) -> None:
    """Put one fault into [T, B] values of deviation 3."""
    tail = values[start:]
    if kind == "spike":
        tail[:3] += 25.0
    elif kind == "dip":
        tail[:3] -= 25.0
    elif kind == "level shift":
        tail += 25.0
    elif kind == "flat line":
        tail[:] = tail[0]
    elif kind == "variance burst":
        tail[:40] += 18.0 * rng.standard_normal(tail[:40].shape)
    elif kind == "drop to zero":
        tail[:30] = 0.0


@pytest.mark.parametrize("kind", ["spike", "dip", "level shift", "flat line", "variance burst", "drop to zero"])
def test_strong_faults_are_caught_within_ten_samples(kind: str) -> None:
    values = noise(400, 60)
    fault(kind, values, 300, np.random.default_rng(4))
    said, _ = play(values)
    hot = said["anomaly_score"] > 1.0
    assert hot[300:310].any(axis=0).mean() >= 0.95
    assert hot[:300].any(axis=0).sum() <= 1


def test_level_shift_is_one_alert_and_then_accepted() -> None:
    values = noise(900, 20)
    values[600:] += 30.0
    said, _ = play(values)
    hot = said["anomaly_score"] > 1.0
    assert hot[600:606].any(axis=0).all()
    assert not hot[640:].any()


def test_recurrence_alerts_again() -> None:
    values = noise(2600, 10)
    for start in (1500, 2500):
        values[start : start + 20] += 60.0
    said, _ = play(values, step_seconds=3600.0)
    hot = said["anomaly_score"] > 1.0
    for start in (1500, 2500):
        assert hot[start : start + 20].any(axis=0).mean() >= 0.9, start


def test_recurrence_counts_more_than_half_after_weeks_of_hourly_samples() -> None:
    values = noise(401, 10)
    values[[200, 400]] = 110.0
    said, _ = play(values, step_seconds=3600.0, loc=np.full(values.shape, 50.0))
    # 400 / (400 + 300) of one deviation, and nothing for what is new.
    np.testing.assert_allclose(said["novelty"][400], 4 / 7, rtol=1e-3)


def test_unprecedented_calm_alerts_and_a_usual_one_does_not() -> None:
    rng = np.random.default_rng(9)
    values = noise(1600, 20)
    usual = values.copy()
    for start in range(100, 1600, 200):
        usual[start : start + 60] = 50.0 + 0.1 * rng.standard_normal((60, 20))
    values[1400:1440] = 50.0 + 0.1 * rng.standard_normal((40, 20))
    level = np.full(values.shape, 50.0)
    said, _ = play(values, loc=level)
    hot = said["anomaly_score"] > 1.0
    assert hot[1400:1440].any(axis=0).all()
    assert hot[:1400].any(axis=0).sum() <= 1
    said, _ = play(usual, loc=level)
    assert not (said["anomaly_score"][1000:] > 1.0).any()


def test_end_of_an_outage_is_not_a_calm() -> None:
    values = noise(900, 20)
    values[600:604] = -1000.0
    said, _ = play(values, loc=np.full(values.shape, 50.0), step_seconds=3600.0)
    assert (said["anomaly_score"][600] > 1.0).all()
    assert not (said["anomaly_score"][620:] > 1.0).any()


def test_noise_at_a_third_for_hours_is_a_calm() -> None:
    values = noise(2800, 20)
    usual = play(values, loc=np.full(values.shape, 50.0))[0]["anomaly_score"][2500:2680]
    values[2500:2680] = 50.0 + (values[2500:2680] - 50.0) / 3.0
    calm = play(values, loc=np.full(values.shape, 50.0))[0]["anomaly_score"][2500:2680]
    assert (calm > 1.0).any(axis=0).mean() >= 0.9
    assert not (usual > 1.0).any()


def test_residual_is_judged_by_the_deviation_of_residuals() -> None:
    """A departure that is no more than the stream's usual swing is rare where that swing is foretold."""
    rng = np.random.default_rng(10)
    wave = 100.0 * np.sin(np.arange(900) / 9.0)[:, None] + np.zeros((900, 20))
    values = wave + 8.0 * rng.standard_normal(wave.shape)
    values[850] += 85.0 * np.where(wave[850] > 0.0, -1.0, 1.0)
    said, _ = play(values, loc=wave)
    hot = said["anomaly_score"] > 1.0
    assert hot[850].all()
    assert hot[:850].any(axis=0).sum() <= 1


def test_dip_of_a_skewed_stream_is_judged_by_its_lower_side() -> None:
    rng = np.random.default_rng(11)
    values = 10.0 + rng.standard_normal((900, 20)) + 60.0 * (rng.random((900, 20)) < 0.12)
    values[850] = -20.0
    said, _ = play(values, loc=np.full(values.shape, 10.0))
    hot = said["anomaly_score"] > 1.0
    assert hot[850].all()
    assert hot[:850].any(axis=0).sum() <= 1


def test_flat_line_scores_slightly_above_the_threshold() -> None:
    values = noise(400, 20)
    values[300:] = values[300]
    highest = play(values)[0]["anomaly_score"][300:].max(axis=0)
    assert (highest > 1.0).all()
    assert (highest < 1.06).all()


def test_stream_that_is_often_constant_has_no_flat_line() -> None:
    rng = np.random.default_rng(6)
    plateaus = np.repeat(rng.integers(1, 4, (100, 20)).astype(float), 20, axis=0)
    said, _ = play(plateaus)
    assert not (said["anomaly_score"][1000:] > 1.0).any()


def test_inverted_day_alerts_on_a_daily_stream() -> None:
    values = season(1500, 20)
    values[1200:1236] = values[1188:1224].copy()  # half a day late, every value an ordinary one
    said, state = play(values, step_seconds=3600.0)
    hot = said["anomaly_score"] > 1.0
    assert hot[1200:1248].any(axis=0).mean() >= 0.8
    assert hot[200:1200].any(axis=0).mean() <= 0.40  # 20 streams x 6 weeks x 0.1 are 12 alerts, of any streams
    assert (state["departure_seen"] > 1000).all()


def test_missing_season_alerts_despite_noise() -> None:
    minutes, day = np.arange(5 * 1440), 1440
    rate = 30.0 + 12.0 * np.sin(2 * np.pi * minutes[:, None] / day)
    values = np.random.default_rng(5).poisson(np.repeat(rate, 16, axis=1)).astype(float)
    fault = slice(4 * day + 300, 4 * day + 540)
    missing = values.copy()
    missing[fault] = np.random.default_rng(6).poisson(
        27.0, (240, 16)
    )  # for four hours about the peak; usual is 38 to 42
    caught, quiet = ((play(way)[0]["anomaly_score"][fault.start :] > 1.0).any(axis=0) for way in (missing, values))
    assert caught.mean() >= 0.8
    assert quiet.mean() <= 0.1


def test_small_spike_alerts_if_the_forecast_is_good() -> None:
    minutes = np.arange(4000)
    usual = np.repeat(50.0 + 20.0 * np.sin(2 * np.pi * minutes[:, None] / 1440), 16, axis=1)
    values = usual + np.random.default_rng(7).standard_normal(usual.shape)
    values[3500] = usual[3500] + 6.5  # of noise of 1, in a stream whose deviation is 14
    hot = play(values, loc=usual)[0]["anomaly_score"] > 1.0
    assert hot[3500].mean() >= 0.8


def test_return_from_a_spike_is_no_second_surprise() -> None:
    """The forecast after a spike is the spike, and what comes back is far from it."""
    values = noise(1000, 16)
    values[900] += 40.0
    said, state = play(values)
    assert (said["anomaly_score"][900] > 1.0).all()
    assert (said["size"][900] > 5.0).all()
    assert (said["size"][901] < 5.0).all()
    assert (said["anomaly_score"][901] < 1.0).all()
    assert (state["residual_memory"].min(axis=1) > -20.0).all()


def test_step_is_judged_against_its_new_level_after_the_first_sample() -> None:
    values = noise(1000, 16)
    values[900:] += 40.0
    said, _ = play(values)
    assert (said["anomaly_score"][900] > 1.0).all()
    assert (said["size"][901:920] < 5.0).all()


def test_stream_without_a_daily_habit_has_no_cost_from_it() -> None:
    _, state = play(noise(600, 20), step_seconds=3600.0)
    assert (state["departure_seen"] < 60).all()


def test_direction_and_minimum_deviation_are_applied() -> None:
    values = noise(400, 2)
    values[350, 0] += 60.0
    values[350, 1] -= 60.0
    usual = np.full(values.shape, 50.0)
    for chosen, expected in (("both", [True, True]), ("above", [True, False]), ("below", [False, True])):
        said, _ = play(values, scorer=Scorer(ScorerSettings(direction=chosen)), loc=usual)
        assert (said["anomaly_score"][350] > 1.0).tolist() == expected
    for options in (ScorerSettings(min_dev_from_expected=200.0), ScorerSettings(min_rel_dev_from_expected=4.0)):
        said, _ = play(values, scorer=Scorer(options), loc=usual)
        assert (said["anomaly_score"] <= 1.0).all()


@pytest.mark.parametrize(
    "options", [ScorerSettings(direction="above"), ScorerSettings(min_dev_from_expected=200.0)], ids=["side", "size"]
)
def test_excluded_deviations_spend_no_budget(options: ScorerSettings) -> None:
    values = noise(1200, 4)
    values[300::30] -= 60.0 + np.random.default_rng(1).uniform(0.0, 90.0, (30, 4))
    usual = np.full(values.shape, 50.0)
    spent = [play(values, scorer=Scorer(chosen), loc=usual)[1]["budget_spent"] for chosen in (options, None)]
    assert (spent[0] == 0.0).all()
    assert (spent[1] > 0.9).all()


@pytest.mark.parametrize(("draw", "times_over"), [("normal", 2.0), ("logistic", 12.0)])
@pytest.mark.parametrize("step_seconds", [300.0, 3600.0])
def test_quiet_streams_keep_the_budget(step_seconds: float, draw: str, times_over: float) -> None:
    """The pooled tail is that of light noise; a heavier one overspends by a factor that is bounded, and documented."""
    rng = np.random.default_rng(8)
    rounds, streams = 1000, 100
    values = 20.0 + getattr(rng, draw)(size=(rounds, streams))
    said, _ = play(values, step_seconds=step_seconds, loc=np.full((rounds, streams), 20.0))
    alarms = (said["anomaly_score"][200:] > 1.0).sum()
    allowed = 0.1 * streams * (rounds - 200) * step_seconds / (7 * 86_400.0)
    assert alarms <= times_over * allowed + 3.0


def test_constant_stream_never_alerts_because_of_rounding() -> None:
    rng = np.random.default_rng(3)
    values = np.zeros((500, 4))
    values[:, 1:] = [5.0, -1e9, 1e-9]
    said, _ = play(values, loc=values + rng.standard_normal(values.shape) * np.maximum(np.abs(values) * 1e-7, 1e-12))
    assert (said["anomaly_score"] <= 1.0).all()


def test_larger_budget_alerts_sooner() -> None:
    values = noise(600, 100)
    counts = []
    for budget in (0.01, 1.0, 100.0):
        said, _ = play(values, scorer=Scorer(ScorerSettings(alerts_per_stream_week=budget)))
        counts.append(int((said["anomaly_score"] > 1.0).sum()))
    assert counts[0] <= counts[1] < counts[2]
