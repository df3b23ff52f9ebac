"""One score for the streams that belong together: the metrics of a host, the hosts of a service.

A group is judged once a tick of event time, from what its members showed in that tick. Its statistic has three parts,
each a root mean square over the members: their novelties, smoothed over eight ticks, which see many members that are
each a little unlike their past; the sizes of their residuals, as logarithms, held for some ticks, which see a few that
jump, however briefly; and their reach, how far they are from where they usually are, smoothed over sixteen ticks, which
sees an outage that has happened before. The latter two count by what they exceed their own mean. Members move
together, so nothing here counts them as independent: one pooled tail, measured on groups whose members share what
moves them, turns the statistic into a probability, and the group has an alarm budget of its own.

Shape legend: F members of all groups of a call, one group after the other; G groups.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows
from detector.scoring.budget import Budget
from detector.scoring.compress import compressed
from detector.stats.tail import PooledTail

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NOVELTY_RATE = 1.0 / 8.0
RELEASE_RATE = 1.0 / 8.0
"""A size is taken at once where it rises and let go at this rate: incidents of three ticks are incidents."""
REACH_RATE = 1.0 / 16.0
USUAL_RATE = 1.0 / 5_000.0
SIZE_WEIGHT = 0.6
REACH_WEIGHT = 0.5
NOVELTY_CAP = 50.0
"""What one member's novelty counts at most, in deviations."""
REACH_CAP = 20.0
"""The same of its distance from where it usually is."""
HALF_TRUST_TICKS = 500.0
"""History at which a group's statistic counts half: its usual level is not known yet."""
TAIL = PooledTail(threshold=0.05, rate=0.0072, mean_excess=0.0455)
"""Of quiet synthetic groups at 1, 5 and 60 minutes; `python -m benchmarks.detection fleet`."""


class GroupScore(NamedTuple):
    """What a tick says of each group; all [G]."""

    statistic: Float64
    expected: Float64
    """What is usual for the statistic: its running mean."""
    limit: Float64
    """The statistic that is worth an alarm."""
    anomaly_score: Float64
    """More than 1 is anomalous; 0 while the group warms up."""
    surprise: Float64
    novelty: Float64
    """The three parts, smoothed or held."""
    size: Float64
    reach: Float64


class Seen(NamedTuple):
    """What members' samples showed; all [N]."""

    novelty: Float64
    size: Float64
    reach: Float64
    score: Float64


class Members(NamedTuple):
    """The members of G groups."""

    rows: Rows
    """[F] members, one group after the other."""
    starts: Int64
    """[G] where each group's begin; each has at least one."""


class GroupScorer:
    """Columns `group.*`: of a member what it showed in the present tick, of a group's own row what it was judged by."""

    fields = (
        Field("group.seen", dtype="float64", initial=-1.0),
        Field("group.novelty"),
        Field("group.size"),
        Field("group.reach"),
        Field("group.score"),
        Field("group.peak"),
        Field("group.tick", dtype="float64", initial=-1.0),
        Field("group.smoothed_novelty"),
        Field("group.held_size"),
        Field("group.usual_size"),
        Field("group.smoothed_reach"),
        Field("group.usual_reach"),
        Field("group.usual"),
        Field("group.ticks"),
    )

    def __init__(self, alerts_per_group_week: float = 0.5, warmup_ticks: int = 60) -> None:
        self._budget = Budget(alerts_per_group_week)
        self.warmup_ticks = warmup_ticks

    def take(self, state: Columns, rows_N: Rows, ticks_N: Float64, seen: Seen) -> None:
        """Members' samples of a group's present tick; of several samples of one member the largest count."""
        fresh = rows_N[state["group.seen"][rows_N] != ticks_N]
        for name, values_N in seen._asdict().items():
            column = state[f"group.{name}"]
            column[fresh] = 0.0
            np.maximum.at(column, rows_N, values_N.astype(np.float32))
        state["group.seen"][rows_N] = ticks_N

    def score(self, state: Columns, groups: Rows, members: Members) -> GroupScore:
        """Judge the tick that ends, `group.tick` of each; changes nothing."""
        novelty_G, size_G, reach_G = self._parts(state, groups, members)
        novelty_G = _followed(state["group.smoothed_novelty"][groups], novelty_G, NOVELTY_RATE)
        size_G = np.maximum(size_G, _followed(state["group.held_size"][groups], size_G, RELEASE_RATE))
        reach_G = _followed(state["group.smoothed_reach"][groups], reach_G, REACH_RATE)
        statistic_G = novelty_G + SIZE_WEIGHT * np.maximum(size_G - state["group.usual_size"][groups], 0.0)
        statistic_G += REACH_WEIGHT * np.maximum(np.log1p(reach_G) - state["group.usual_reach"][groups], 0.0)
        ticks_G = state["group.ticks"][groups].astype(np.float64)
        statistic_G *= ticks_G / (ticks_G + HALF_TRUST_TICKS)
        surprise_G = np.where(ticks_G < self.warmup_ticks, 0.0, TAIL.surprise(statistic_G))
        price_G = self._budget.price(state, groups)
        return GroupScore(
            statistic=statistic_G,
            expected=state["group.usual"][groups].astype(np.float64),
            limit=TAIL.score(price_G),
            anomaly_score=compressed(surprise_G / price_G),
            surprise=surprise_G,
            novelty=novelty_G,
            size=size_G,
            reach=reach_G,
        )

    def _parts(self, state: Columns, groups: Rows, members: Members) -> tuple[Float64, Float64, Float64]:
        """[G] root mean squares of novelty, log size and reach of the members that were seen in the tick."""
        counts_G = np.diff(np.append(members.starts, len(members.rows)))
        seen_F = state["group.seen"][members.rows] == np.repeat(state["group.tick"][groups], counts_G)
        present_G = np.maximum(np.add.reduceat(seen_F.astype(np.float64), members.starts), 1.0)
        novelty_F, size_F, reach_F = (
            state[f"group.{name}"][members.rows].astype(np.float64) for name in ("novelty", "size", "reach")
        )
        parts = (np.minimum(novelty_F, NOVELTY_CAP), np.log1p(size_F), np.minimum(reach_F, REACH_CAP))
        squares = (np.add.reduceat(np.where(seen_F, part_F**2, 0.0), members.starts) for part_F in parts)
        novelty_G, size_G, reach_G = (np.sqrt(squares_G / present_G) for squares_G in squares)
        return novelty_G, size_G, reach_G

    def learn(self, state: Columns, groups: Rows, times_G: Float64, said: GroupScore) -> None:
        """Take in the tick that `score` judged; it ends at `times_G`."""
        ticks_G = state["group.ticks"][groups] + 1.0
        rate_G = np.maximum(1.0 / ticks_G, USUAL_RATE)
        usual = {"usual_size": said.size, "usual_reach": np.log1p(said.reach), "usual": said.statistic}
        for name, value_G in usual.items():
            column = state[f"group.{name}"]
            column[groups] = _followed(column[groups], value_G, rate_G)
        state["group.smoothed_novelty"][groups] = said.novelty
        state["group.held_size"][groups] = said.size
        state["group.smoothed_reach"][groups] = said.reach
        state["group.ticks"][groups] = ticks_G
        self._budget.update(state, groups, times_G, said.surprise)

    def remember_peaks(self, state: Columns, groups: Rows, members: Members, fresh_G: Bools) -> None:
        """Each member's largest score of the episode; anew where the group has no open alert before this tick."""
        counts_G = np.diff(np.append(members.starts, len(members.rows)))
        seen_F = state["group.seen"][members.rows] == np.repeat(state["group.tick"][groups], counts_G)
        score_F = np.where(seen_F, state["group.score"][members.rows], np.float32(0.0))
        before_F = np.where(np.repeat(fresh_G, counts_G), np.float32(0.0), state["group.peak"][members.rows])
        state["group.peak"][members.rows] = np.maximum(score_F, before_F)


def _followed(mean_G: npt.NDArray[np.float32], value_G: Float64, rate_G: Float64 | float) -> Float64:
    """[G] mean + rate x (value - mean)."""
    before_G = mean_G.astype(np.float64)
    return np.asarray(before_G + rate_G * (value_G - before_G))
