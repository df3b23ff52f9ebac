"""The compact profile: small memories, lower scores for recurrences, and tails of its own."""

from __future__ import annotations

import numpy as np
import pytest

from detector.app import build_pipeline
from detector.columns import Columns, allocate
from detector.config import Config
from detector.scoring import GroupScorer, Scorer
from detector.scoring.budget import Budget
from detector.scoring.compact import CoarseMemory
from detector.scoring.group import Members, Seen
from detector.scoring.interval import SamplingInterval

Array = np.ndarray
ONE = np.zeros(1, dtype=np.int64)


def remembered(numbers: Array) -> tuple[CoarseMemory, Columns]:
    """A memory of four that has taken these numbers in."""
    memory = CoarseMemory("value", 4)
    state = allocate(memory.fields, 1)
    for now, number in enumerate((*numbers, *np.full(5, numbers[0]))):
        meet(memory, state, 60.0 * now, float(number))
    return memory, state


def meet(memory: CoarseMemory, state: Columns, time: float, number: float) -> None:
    arguments = (state, ONE, np.full(1, time), np.full(1, number))
    memory.update(*arguments, memory.distance(*arguments))


@pytest.mark.parametrize(("number", "distance"), [(12.0, 0.0), (25.0, 0.0), (-1.0, 1.0), (63.0, 3.0)])
def test_distance_counts_in_full_only_beyond_the_extremes(number: float, distance: float) -> None:
    memory, state = remembered(np.array([0.0, 10.0, 30.0, 60.0]))
    found = memory.distance(state, ONE, np.zeros(1), np.full(1, number))
    assert found.any[0] == pytest.approx(distance)


def test_new_extreme_is_remembered_however_small_its_lead() -> None:
    memory, state = remembered(np.array([0.0, 10.0, 30.0, 60.0]))
    for now, number in enumerate((61.0, *np.full(5, 30.0))):
        meet(memory, state, 1e3 + 60.0 * now, number)
    assert state["value_memory"][0, -1] == 61.0


def test_new_level_alerts_once_and_not_for_a_day() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4_000, 12))
    values[3_700:] += 12.0
    scorer = Scorer(compact=True)
    state, rows = allocate(scorer.fields, 12), np.arange(12)
    alarms = []
    for now, round_values in enumerate(values):
        arguments = (state, rows, np.full(12, 600.0 * now), round_values, np.zeros(12), np.ones(12))
        score = scorer.score(*arguments)
        scorer.learn(*arguments[:4], score)
        alarms.append(score.anomaly_score > 1.0)
    assert np.stack(alarms)[3_700:3_703].any(axis=0).all(), "told"
    assert np.stack(alarms)[3_720:3_840].mean() < 0.05


def test_group_of_compact_members_has_its_own_tail() -> None:
    scores = []
    for compact in (False, True):
        scorer = GroupScorer(0.5, warmup_ticks=10, compact=compact)
        state = allocate((*scorer.fields, *SamplingInterval.fields, *Budget.fields), 4)
        for now in range(2_000):
            state["group.tick"][3] = now
            shown = 0.3 if now > 1_900 else 0.0
            seen = Seen(np.full(3, shown), np.ones(3), np.ones(3), np.zeros(3))
            scorer.take(state, np.arange(3), np.full(3, float(now)), seen)
            said = scorer.score(state, np.array([3]), Members(np.arange(3), ONE))
            scorer.learn(state, np.array([3]), np.full(1, 300.0 * now), said)
        scores.append(said.anomaly_score[0])
    full, of_compact = scores
    assert full < 1.0 < of_compact


@pytest.mark.parametrize("profile", ["full", "compact"])
def test_groups_of_a_worker_have_the_tail_of_its_profile(profile: str) -> None:
    pipeline = build_pipeline(Config.model_validate({"model": {"profile": profile}, "groups": {"by": ["host"]}}))
    assert pipeline.groups is not None
    limits = []
    for scorer in (pipeline.groups.scorer, GroupScorer(compact=profile == "compact")):
        state = allocate((*scorer.fields, *SamplingInterval.fields, *Budget.fields), 2)
        limits.append(scorer.score(state, np.array([1]), Members(ONE, ONE)).limit[0])
    assert limits[0] == limits[1]
