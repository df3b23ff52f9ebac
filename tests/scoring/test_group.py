"""The score of a group: many members a little anomalous, or a few strongly."""

from __future__ import annotations

import numpy as np
import pytest

from detector.columns import Columns, allocate
from detector.scoring.budget import Budget
from detector.scoring.group import ORDINARY_JUMP, GroupScore, GroupScorer, Members, Seen
from detector.scoring.interval import SamplingInterval

Array = np.ndarray
SIZES = (5, 1, 12)
STARTS = np.cumsum(SIZES) - np.array(SIZES)
MEMBERS = sum(SIZES)
COLUMNS = ("statistic", "anomaly_score", "limit", "surprise")


def new() -> tuple[GroupScorer, Columns]:
    scorer = GroupScorer(0.5, warmup_ticks=10)
    return scorer, allocate((*scorer.fields, *SamplingInterval.fields, *Budget.fields), MEMBERS + len(SIZES))


def tick(scorer: GroupScorer, state: Columns, now: int, seen: Seen, groups: tuple[int, ...] = (0, 1, 2)) -> GroupScore:
    """One tick of all groups, or of some; `seen` is what all members show."""
    rows = np.concatenate([np.arange(STARTS[g], STARTS[g] + SIZES[g]) for g in groups])
    places = np.cumsum([SIZES[g] for g in groups]) - np.array([SIZES[g] for g in groups])
    chosen = MEMBERS + np.array(groups)
    state["group.tick"][chosen] = now
    scorer.take(state, rows, np.full(len(rows), float(now)), Seen(*(part[rows] for part in seen)))
    said = scorer.score(state, chosen, Members(rows, places))
    scorer.learn(state, chosen, np.full(len(chosen), 60.0 * now), said)
    return said


def quiet(rng: np.random.Generator) -> Seen:
    novelty, size, reach = np.abs(rng.standard_normal((3, MEMBERS)))
    return Seen(0.05 * novelty, size, reach, np.zeros(MEMBERS))


def after(ticks: int, seed: int = 0) -> tuple[GroupScorer, Columns, np.random.Generator]:
    scorer, state = new()
    rng = np.random.default_rng(seed)
    for now in range(ticks):
        tick(scorer, state, now, quiet(rng))
    return scorer, state, rng


@pytest.mark.parametrize("kind", ["many are new", "many surprise", "a few jump", "many are away"])
def test_each_part_of_the_score_has_an_effect(kind: str) -> None:
    scorer, state, rng = after(600)
    for now in range(600, 630):
        seen = quiet(rng)
        if kind == "many are new":
            seen.novelty[STARTS[2] :] += 1.5
        elif kind == "many surprise":
            seen.size[STARTS[2] :] *= 10.0
        elif kind == "a few jump":
            seen.size[STARTS[2] : STARTS[2] + 3] += 16.0
        else:
            seen.reach[STARTS[2] :] += 15.0
        said = tick(scorer, state, now, seen)
    assert said.anomaly_score[2] > 1.0
    assert (said.anomaly_score[:2] < 1.0).all()


def test_larger_of_size_and_reach_counts() -> None:
    rows = slice(STARTS[2], MEMBERS)
    said = {}
    for parts in (("size",), ("reach",), ("size", "reach")):
        scorer, state, rng = after(600)
        seen = quiet(rng)
        for part in parts:
            getattr(seen, part)[rows] = {"size": 3.0, "reach": 15.0}[part]
        said[parts] = tick(scorer, state, 600, seen).statistic[2]
    assert said["size", "reach"] == pytest.approx(max(said[("size",)], said[("reach",)]))
    assert said[("size",)] != pytest.approx(said[("reach",)])


def test_one_tick_of_noise_in_one_member_is_smoothed() -> None:
    scorer, state, rng = after(600)
    seen = quiet(rng)
    seen.novelty[STARTS[2]] += 3.0
    assert tick(scorer, state, 600, seen).anomaly_score[2] < 1.0


def test_jump_counts_at_once_and_decays_slowly() -> None:
    scorer, state, rng = after(600)
    calm, jump = quiet(rng), quiet(rng)
    jump.size[STARTS[2] : STARTS[2] + 3] = 1e3
    usual = state["group.usual_largest"][MEMBERS + 2]
    at_once = tick(scorer, state, 600, jump).parts.jump[2]
    assert at_once == pytest.approx(np.log1p(1e3) - usual - ORDINARY_JUMP)
    let_go = [tick(scorer, state, now, calm).parts.jump[2] for now in (601, 602)]
    assert let_go == pytest.approx([at_once * 7 / 8, at_once * 49 / 64])


def test_group_is_not_scored_in_warm_up_and_causes_no_flood_of_alerts_after() -> None:
    scorer, state = new()
    rng = np.random.default_rng(1)
    loud = (Seen(*(20.0 * part for part in quiet(rng))) for _ in range(30))
    said = [tick(scorer, state, now, seen).anomaly_score for now, seen in enumerate(loud)]
    assert (np.stack(said[:10]) == 0.0).all()
    assert (np.stack(said) < 1.0).all()


def test_members_silent_in_a_tick_do_not_count() -> None:
    scorer, state, _ = after(50)
    before = {name: column.copy() for name, column in state.items()}
    rows = np.arange(STARTS[2], MEMBERS)
    state["group.tick"][MEMBERS + 2] = 50.0
    present = rows[:4]
    scorer.take(state, present, np.full(4, 50.0), Seen(*(np.full(4, shown) for shown in (2.0, 1.0, 3.0, 0.5))))
    said = scorer.score(state, np.array([MEMBERS + 2]), Members(rows, np.zeros(1, dtype=np.int64)))
    smoothed = before["group.smoothed_novelty"][MEMBERS + 2]
    assert said.parts.novelty[0] == pytest.approx(smoothed + (2.0 - smoothed) / 8.0, rel=1e-6)


def test_largest_of_several_samples_in_a_tick_counts() -> None:
    scorer, state = new()
    rows = np.array([0, 0, 0])
    several = Seen(np.array([1.0, 3.0, 2.0]), np.array([9.0, 1.0, 1.0]), np.array([1.0, 1.0, 4.0]), np.zeros(3))
    scorer.take(state, rows, np.zeros(3), several)
    shown = [state[f"group.{name}"][0] for name in ("novelty", "size", "reach")]
    assert shown == [3.0, 9.0, 4.0]
    scorer.take(state, rows[:1], np.ones(1), Seen(*(np.array([part]) for part in (0.5, 0.25, 0.125, 0.0))))
    assert [state[f"group.{name}"][0] for name in ("novelty", "size", "reach")] == [0.5, 0.25, 0.125]


def test_score_changes_nothing_and_does_not_depend_on_other_groups() -> None:
    together, apart = new(), new()
    rng = np.random.default_rng(2)
    for now in range(200):
        seen = quiet(rng)
        said = tick(*together, now, seen)
        alone = [tick(*apart, now, seen, groups=(g,)) for g in rng.permutation(len(SIZES)).tolist()]
        for name in COLUMNS:
            found = np.sort(np.concatenate([getattr(one, name) for one in alone]))
            np.testing.assert_array_equal(np.sort(getattr(said, name)), found)
    for name, column in together[1].items():
        np.testing.assert_array_equal(column, apart[1][name])
    before = {name: column.copy() for name, column in together[1].items()}
    together[0].score(together[1], np.array([MEMBERS]), Members(np.arange(SIZES[0]), np.zeros(1, dtype=np.int64)))
    for name, column in together[1].items():
        np.testing.assert_array_equal(column, before[name])


def test_score_is_finite_for_any_members() -> None:
    scorer, state = new()
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for now in range(30):
            said = tick(scorer, state, now, Seen(*np.full((4, MEMBERS), 1e31)))
    assert all(np.isfinite(getattr(said, name)).all() for name in COLUMNS)
