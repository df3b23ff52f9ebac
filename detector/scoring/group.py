"""One score for streams that belong together: the metrics of a host, the hosts of a service.

A group is judged once per tick of event time, from its members' samples in that tick. Its statistic has four parts:

- novelty: root mean square over the members, smoothed. Finds many members that each differ a little from their past.
- size: root mean square of the logarithms of the residuals' sizes, smoothed. Finds many members that are hard to
  forecast.
- reach: root mean square of the members' distances from where they usually are, smoothed longer. Finds outages of a
  kind that has happened before.
- jump: excess of the three largest residuals over what is ordinary for them, held for some ticks. Finds a few members,
  however briefly.

The last three count by how far they exceed their own means, with the same weight. Size and reach often show the same
event, so only the larger one counts. Members move together, so they are never treated as independent: one pooled tail
per profile, measured on groups whose members share causes, turns the statistic into a probability. A group has its own
alert budget.

Shape legend: N samples of members; F members of all groups in a call, group after group; G groups.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows
from detector.scoring.budget import Budget
from detector.scoring.compress import compressed
from detector.scoring.interval import SamplingInterval
from detector.stats.tail import PooledTail

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SMOOTHING = 1.0 / 8.0
REACH_SMOOTHING = 1.0 / 16.0
RELEASE = 1.0 / 8.0
"""A jump counts at once and decays at this rate, so an incident of only three ticks is found."""
USUAL_RATE = 1.0 / 5_000.0
WEIGHT = 0.5
"""Weight of the jump, and of the larger of size and reach, relative to novelty."""
LARGEST = 3
ORDINARY_JUMP = 1.0
"""Amount by which the logarithm of the largest residuals may exceed its mean without counting."""
NOVELTY_CAP = 50.0
"""Most that one member's novelty counts, in deviations."""
REACH_CAP = 20.0
"""The same for a member's distance from where it usually is."""
HALF_TRUST_TICKS = 500.0
"""History at which a group's statistic has half weight; a younger group's usual level is uncertain."""
TAIL = PooledTail(threshold=0.05, rate=0.0039, mean_excess=0.074)
"""Measured on quiet synthetic groups at 1, 5 and 60 minutes; `python -m benchmarks.detection fleet` measures others."""
COMPACT_TAIL = PooledTail(threshold=0.05, rate=0.001, mean_excess=0.05)
"""The same for streams of the compact profile, whose coarse memories find less that is new."""


class GroupScore(NamedTuple):
    """Verdict on one tick of each group; all [G]."""

    statistic: Float64
    expected: Float64
    """Running mean of the statistic."""
    limit: Float64
    """The statistic that would be worth an alarm."""
    anomaly_score: Float64
    """Above 1 is anomalous; 0 during warmup."""
    surprise: Float64
    parts: Parts


class Parts(NamedTuple):
    """Parts of the statistic; all [G]."""

    novelty: Float64
    size: Float64
    reach: Float64
    largest: Float64
    """Mean logarithm of the tick's largest sizes."""
    jump: Float64


class Seen(NamedTuple):
    """Scores of members' samples; all [N]."""

    novelty: Float64
    size: Float64
    reach: Float64
    score: Float64


class Members(NamedTuple):
    """The members of G groups."""

    rows: Rows
    """[F] members, group after group."""
    starts: Int64
    """[G] where each group's members begin; each group has at least one."""


class GroupScorer:
    """Columns `group.*`: in a member's row its evidence of the current tick, in a group's own row its statistics.

    A group's row also has the columns of `Budget` and `SamplingInterval`, as a stream's.
    """

    fields = (
        Field("group.seen", dtype="float64", initial=-1.0),
        Field("group.novelty"),
        Field("group.size"),
        Field("group.reach"),
        Field("group.score"),
        Field("group.peak"),
        Field("group.tick", dtype="float64", initial=-1.0),
        Field("group.smoothed_novelty"),
        Field("group.smoothed_size"),
        Field("group.usual_size"),
        Field("group.smoothed_reach"),
        Field("group.usual_reach"),
        Field("group.usual_largest"),
        Field("group.jump"),
        Field("group.usual"),
        Field("group.ticks"),
    )

    def __init__(self, alerts_per_group_week: float = 0.5, warmup_ticks: int = 60, *, compact: bool = False) -> None:
        """Set `compact` if the members are scored with the compact profile."""
        self._tail = COMPACT_TAIL if compact else TAIL
        self._budget = Budget(alerts_per_group_week)
        self._interval = SamplingInterval()
        self.warmup_ticks = warmup_ticks

    def take(self, state: Columns, rows_N: Rows, ticks_N: Float64, seen: Seen) -> None:
        """Take in members' samples of a group's current tick; of several of one member, the largest scores count."""
        fresh = rows_N[state["group.seen"][rows_N] != ticks_N]
        for name, values_N in seen._asdict().items():
            column = state[f"group.{name}"]
            column[fresh] = 0.0
            np.maximum.at(column, rows_N, values_N.astype(np.float32))
        state["group.seen"][rows_N] = ticks_N

    def score(self, state: Columns, groups: Rows, members: Members) -> GroupScore:
        """Judge the tick that ends, `group.tick` of each group; changes nothing."""
        parts = self._parts(state, groups, members)
        size_G = parts.size - state["group.usual_size"][groups]
        reach_G = np.log1p(parts.reach) - state["group.usual_reach"][groups]
        larger_G = np.maximum(np.maximum(size_G, reach_G), 0.0)
        statistic_G = parts.novelty + WEIGHT * (larger_G + parts.jump)
        ticks_G = state["group.ticks"][groups].astype(np.float64)
        statistic_G *= ticks_G / (ticks_G + HALF_TRUST_TICKS)
        surprise_G = np.where(ticks_G < self.warmup_ticks, 0.0, self._tail.surprise(statistic_G))
        price_G = self._budget.price(state, groups, self._interval.seconds(state, groups))
        return GroupScore(
            statistic=statistic_G,
            expected=state["group.usual"][groups].astype(np.float64),
            limit=self._tail.score(price_G),
            anomaly_score=compressed(surprise_G / price_G),
            surprise=surprise_G,
            parts=parts,
        )

    def _parts(self, state: Columns, groups: Rows, members: Members) -> Parts:
        """Parts of the statistic, from the members seen in the tick; smoothed or held."""
        counts_G = np.diff(np.append(members.starts, len(members.rows)))
        seen_F = state["group.seen"][members.rows] == np.repeat(state["group.tick"][groups], counts_G)
        present_G = np.maximum(np.add.reduceat(seen_F.astype(np.float64), members.starts), 1.0)
        novelty_F, size_F, reach_F = (
            np.where(seen_F, state[f"group.{name}"][members.rows].astype(np.float64), 0.0)
            for name in ("novelty", "size", "reach")
        )
        size_F = np.log1p(size_F)
        squares = (np.minimum(novelty_F, NOVELTY_CAP) ** 2, size_F**2, np.minimum(reach_F, REACH_CAP) ** 2)
        novelty_G, size_G, reach_G = (np.sqrt(np.add.reduceat(one, members.starts) / present_G) for one in squares)
        by_size = np.lexsort((-size_F, np.repeat(np.arange(len(groups)), counts_G)))
        place_F = np.arange(len(members.rows)) - np.repeat(members.starts, counts_G)
        largest_G = np.add.reduceat(size_F[by_size] * (place_F < LARGEST), members.starts)
        largest_G /= np.minimum(present_G, LARGEST)
        beyond_G = np.maximum(largest_G - state["group.usual_largest"][groups] - ORDINARY_JUMP, 0.0)
        return Parts(
            novelty=_followed(state["group.smoothed_novelty"][groups], novelty_G, SMOOTHING),
            size=_followed(state["group.smoothed_size"][groups], size_G, SMOOTHING),
            reach=_followed(state["group.smoothed_reach"][groups], reach_G, REACH_SMOOTHING),
            largest=largest_G,
            jump=np.maximum(beyond_G, _followed(state["group.jump"][groups], beyond_G, RELEASE)),
        )

    def learn(self, state: Columns, groups: Rows, times_G: Float64, said: GroupScore) -> None:
        """Take in the tick that `score` judged, which ends at `times_G`."""
        ticks_G = state["group.ticks"][groups] + 1.0
        rate_G = np.maximum(1.0 / ticks_G, USUAL_RATE)
        parts = said.parts
        usual = {
            "usual_size": parts.size,
            "usual_reach": np.log1p(parts.reach),
            "usual_largest": parts.largest,
            "usual": said.statistic,
        }
        for name, value_G in usual.items():
            column = state[f"group.{name}"]
            column[groups] = _followed(column[groups], value_G, rate_G)
        state["group.smoothed_novelty"][groups] = parts.novelty
        state["group.smoothed_size"][groups] = parts.size
        state["group.smoothed_reach"][groups] = parts.reach
        state["group.jump"][groups] = parts.jump
        state["group.ticks"][groups] = ticks_G
        self._budget.update(state, groups, self._interval.seconds(state, groups), said.surprise)
        self._interval.update(state, groups, times_G)

    def remember_peaks(self, state: Columns, groups: Rows, members: Members, fresh_G: Bools) -> None:
        """Keep each member's largest score of the episode; groups in `fresh_G` had no open alert and start over."""
        counts_G = np.diff(np.append(members.starts, len(members.rows)))
        seen_F = state["group.seen"][members.rows] == np.repeat(state["group.tick"][groups], counts_G)
        score_F = np.where(seen_F, state["group.score"][members.rows], np.float32(0.0))
        before_F = np.where(np.repeat(fresh_G, counts_G), np.float32(0.0), state["group.peak"][members.rows])
        state["group.peak"][members.rows] = np.maximum(score_F, before_F)


def _followed(mean_G: npt.NDArray[np.float32], value_G: Float64, rate_G: Float64 | float) -> Float64:
    """[G] mean + rate x (value - mean)."""
    before_G = mean_G.astype(np.float64)
    return np.asarray(before_G + rate_G * (value_G - before_G))
