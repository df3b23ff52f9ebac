"""Groups of streams: turns the members' evidence of one tick of event time into one verdict per group.

A tick ends with the first sample of a later tick, of any member; a sample that comes after its tick has ended counts in
the current one. So a group's history depends only on the order of its members' samples, and groups of several
partitions are judged side by side.

Shape legend: N samples of a batch, in order, partition after partition; G groups whose tick ends together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.alerts.lifecycle import Lifecycle, Observation
from detector.columns import Rows
from detector.records import AlertStatus, Contributor, Float64, Int64, Partition, Uint8
from detector.scoring.group import GroupScorer, Members, Seen
from detector.streams.partition import NO_ROW
from detector.streams.table import LATEST, StreamTable

Bools = npt.NDArray[np.bool_]

CONTRIBUTORS = 5
"""Most members that an alert names."""
NO_TICK = -1.0
"""Value of the column `group.tick` before a group's first tick. Otherwise it is the time at which the current tick
began; `group.seen` is the beginning of the tick in which a member was last seen."""


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Settings of the `groups` section other than the scorer's, with the same names."""

    by: tuple[str, ...] = ()
    tick_seconds: float = 60.0
    alert_members: bool = True


class Part(NamedTuple):
    """A partition, and its number of samples."""

    partition: Partition
    samples: int


class Shown(NamedTuple):
    """Samples with their evidence; all [N]."""

    rows: Rows
    times: Float64
    scored: Bools
    """Whether the sample counts; others only keep their groups alive."""
    novelty: Float64
    size: Float64
    reach: Float64
    scores: Float64
    offsets: Int64


class Verdicts(NamedTuple):
    """Groups whose tick ended with the samples `picks`; all [G]."""

    picks: Int64
    groups: Rows
    times: Float64
    status: Uint8
    before: Uint8


class Groups:
    """Judges the groups of a stream table."""

    def __init__(self, settings: GroupSettings, scorer: GroupScorer, lifecycle: Lifecycle) -> None:
        self.settings = settings
        self.scorer = scorer
        self.lifecycle = lifecycle

    def process(self, table: StreamTable, parts: Sequence[Part], shown: Shown) -> Iterator[Verdicts]:
        """Take in samples in order, partition after partition as in `parts`; yields verdicts whenever ticks end."""
        ends = np.cumsum([part.samples for part in parts])
        split = np.split(shown.rows, ends[:-1])
        groups_N = np.concatenate(
            [table.group_rows(part.partition, rows) for part, rows in zip(parts, split, strict=True)]
        )
        grouped = groups_N != NO_ROW
        latest = table.columns[LATEST.name]
        np.maximum.at(latest, groups_N[grouped], shown.times[grouped])
        some = np.flatnonzero(grouped & shown.scored)
        if not len(some):
            return
        # A partition's groups stay side by side, in the order of their rows.
        by_group = some[np.argsort(np.searchsorted(ends, some, "right") * len(latest) + groups_N[some], kind="stable")]
        groups_N = groups_N[by_group]
        begun_N = self._begun(table, groups_N)
        ticks_N = _latest_within(groups_N, np.floor(shown.times[by_group] / self.settings.tick_seconds), begun_N)
        epochs_N = _epochs(groups_N, ticks_N, begun_N)
        ticks_N *= self.settings.tick_seconds
        for epoch in range(int(epochs_N.max()) + 1):
            here = np.flatnonzero(epochs_N == epoch)
            first_G = here[_starts(groups_N[here])]
            groups_G = groups_N[first_G]
            if epoch > 0:
                began = table.columns["group.tick"][groups_G] != NO_TICK
                if began.any():
                    picks_G, groups = by_group[first_G[began]], groups_G[began]
                    places = np.searchsorted(ends, picks_G, "right")
                    members = _members(table, [part.partition for part in parts], places, groups)
                    yield self._judge(table, shown, picks_G, groups, members)
                table.columns["group.tick"][groups_G] = ticks_N[first_G]
            picks = by_group[here]
            seen = Seen(shown.novelty[picks], shown.size[picks], shown.reach[picks], shown.scores[picks])
            self.scorer.take(table.columns, shown.rows[picks], ticks_N[here], seen)

    def reset_leading(self, table: StreamTable, partition: Partition, now: float) -> Rows:
        """Reset groups that lead event time by far, and return their rows; the caller ends and forgets their alerts.

        A member with a wrong clock began their tick, which would never end.
        """
        leading = table.leading_groups(partition, now)
        table.columns["group.tick"][leading] = NO_TICK
        table.columns[LATEST.name][leading] = now
        return leading

    def _begun(self, table: StreamTable, groups_N: Rows) -> Float64:
        """[N] number of each group's current tick; -1 before the first, or if the ticks had another length."""
        began_N = table.columns["group.tick"][groups_N]
        numbers_N = np.rint(began_N / self.settings.tick_seconds)
        known_N = (numbers_N * self.settings.tick_seconds == began_N) & (began_N >= 0.0)
        table.columns["group.tick"][groups_N[~known_N]] = NO_TICK
        return np.where(known_N, numbers_N, NO_TICK)

    def _judge(self, table: StreamTable, shown: Shown, picks_G: Int64, groups_G: Rows, members: Members) -> Verdicts:
        """Score, decide and learn the tick that ends in each group."""
        state = table.columns
        times_G = state["group.tick"][groups_G] + self.settings.tick_seconds
        said = self.scorer.score(state, groups_G, members)
        before_G = state["alert.status"][groups_G]
        self.scorer.remember_peaks(state, groups_G, members, before_G == AlertStatus.NONE)
        seen = Observation(
            times_G,
            said.statistic,
            said.expected,
            np.zeros(len(groups_G)),
            said.limit,
            said.anomaly_score,
            shown.offsets[picks_G],
        )
        status_G = self.lifecycle.decide(state, groups_G, seen)
        self.scorer.learn(state, groups_G, times_G, said)
        return Verdicts(picks_G, groups_G, times_G, status_G, before_G)


def _members(table: StreamTable, partitions: Sequence[Partition], places_G: Int64, groups_G: Rows) -> Members:
    """Members of these groups; `places_G` are indices into `partitions`, ascending."""
    rows, starts, before = [], [], 0
    for place in np.unique(places_G).tolist():
        found, starts_G = table.members(partitions[place], groups_G[places_G == place])
        rows.append(found)
        starts.append(starts_G + before)
        before += len(found)
    return Members(np.concatenate(rows), np.concatenate(starts))


def contributors(table: StreamTable, partition: Partition, group: int) -> tuple[int, tuple[Contributor, ...]]:
    """(number of members judged so far, those with the largest scores in the episode, the largest first).

    Members not judged may be there because their first sample comes later in the same batch.
    """
    rows, _ = table.members(partition, np.array([group], dtype=np.int64))
    judged = int(np.count_nonzero(table.columns["group.seen"][rows] >= 0.0))
    peaks = table.columns["group.peak"][rows].astype(np.float64)
    ranked = np.argsort(-peaks, kind="stable")[:CONTRIBUTORS]
    return judged, tuple(Contributor(table.key(int(rows[at])), float(peaks[at])) for at in ranked if peaks[at] > 0.0)


def _starts(groups_N: Rows) -> Bools:
    """[N] whether a sample is the first of its group; samples are sorted by group."""
    start_N = np.ones(len(groups_N), dtype=np.bool_)
    start_N[1:] = groups_N[1:] != groups_N[:-1]
    return start_N


def _latest_within(groups_N: Rows, ticks_N: Float64, begun_N: Float64) -> Float64:
    """[N] the group's newest tick up to each sample; samples are sorted by group."""
    start_N = _starts(groups_N)
    segment_N = np.cumsum(start_N) - 1
    apart = float(max(ticks_N.max(), begun_N.max())) + 2.0
    return np.asarray(np.maximum.accumulate(np.maximum(ticks_N, begun_N) + segment_N * apart) - segment_N * apart)


def _epochs(groups_N: Rows, ticks_N: Float64, begun_N: Float64) -> Int64:
    """[N] number of the group's ticks that ended before or with each sample since the batch began."""
    start_N = _starts(groups_N)
    ends_N = ticks_N > np.where(start_N, begun_N, np.concatenate(([0.0], ticks_N[:-1])))
    total_N = np.cumsum(ends_N, dtype=np.int64)
    before_N: Int64 = np.maximum.accumulate(np.where(start_N, total_N - ends_N, 0))
    return total_N - before_N
