"""Stuck values: how improbable the current run of repeats is, given how often the stream repeats itself.

A step is a repeat if the value moves by at most `STILL` of its usual step. Two probabilities are learned per stream,
each with a prior as pseudo-counts: that a run of repeats begins, and that it continues. -log P(run >= k) = -log begin -
(k - 1) log go_on. For a stream that often stands still for hours, both are near 1 and no run is a surprise; for one
that never repeated, the tenth repeat is, or an earlier one if samples are far apart. Past `LONGEST` steps, the run is
the new normal. Two equal values are a coincidence, and a stream that hardly ever moved has no habit of moving: neither
is judged. The habit is learned from all runs but the three longest, so an outage excuses neither the second nor the
third of its kind.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float64 = npt.NDArray[np.float64]

STILL = 0.001
SHORTEST, LONGEST = 2.0, 16.0
"""Range of run lengths that are judged, in repeats."""
FIRST_MOVES = 60.0
BEGIN_PRIOR, BEGIN_WEIGHT = 0.02, 20.0
GO_ON_PRIOR, GO_ON_WEIGHT = 0.4, 20.0
UNHEARD = 3.0
"""A run must be longer than this many times the shortest of the runs set aside."""
ASIDE = 3
STEP_RATE = 1.0 / 256.0


class FlatLine:
    """Columns `flat_*`."""

    fields = (
        Field("flat_last", dtype="float64", initial=float("nan")),
        Field("flat_step", dtype="float64"),
        Field("flat_run"),
        Field("flat_longest", (ASIDE,), dtype="int8"),
        Field("flat_moving"),
        Field("flat_begun"),
        Field("flat_still"),
        Field("flat_gone_on"),
    )

    def last(self, state: Columns, rows: Rows) -> Float64:
        """[B] the last value; NaN before the first."""
        return np.asarray(state["flat_last"][rows])

    def run(self, state: Columns, rows: Rows, values_B: Float64) -> Float64:
        """[B] repeats in a row, including this sample; 0 if the value moved."""
        step_B = np.abs(values_B - state["flat_last"][rows])
        repeat_B = step_B <= STILL * state["flat_step"][rows]
        return np.where(repeat_B, state["flat_run"][rows] + 1.0, 0.0)

    def surprise(self, state: Columns, rows: Rows, run_B: Float64) -> Float64:
        """[B] -log P(a run this long) under the habit; 0 for a run similar to an earlier one, and once accepted."""
        surprise_B = np.zeros(len(rows))
        judged_B = (run_B >= SHORTEST) & (run_B <= LONGEST) & (state["flat_moving"][rows] >= FIRST_MOVES)
        repeats = np.flatnonzero(judged_B)
        if len(repeats):
            surprise_B[repeats] = self._surprise(state, rows[repeats], run_B[repeats])
        return surprise_B

    def _surprise(self, state: Columns, rows: Rows, run_B: Float64) -> Float64:
        begin_B = state["flat_begun"][rows] + BEGIN_PRIOR * BEGIN_WEIGHT
        begin_B = begin_B / (state["flat_moving"][rows] + BEGIN_WEIGHT)
        go_on_B = state["flat_gone_on"][rows] + GO_ON_PRIOR * GO_ON_WEIGHT
        go_on_B = go_on_B / (state["flat_still"][rows] + GO_ON_WEIGHT)
        surprise_B = -np.log(begin_B) - (run_B - 1.0) * np.log(go_on_B)
        return np.where(run_B > UNHEARD * state["flat_longest"][rows, -1], surprise_B, 0.0)

    def update(self, state: Columns, rows: Rows, values_B: Float64, run_B: Float64) -> None:
        """Learn this round's steps; a run counts towards the habit once it has ended, unless it is set aside."""
        before_B = state["flat_run"][rows]
        repeat_B = run_B > 0.0
        state["flat_moving"][rows] += before_B == 0.0
        ended = np.flatnonzero(~repeat_B & (before_B > 0.0))
        if len(ended):
            self._learn_run(state, rows[ended], np.minimum(before_B[ended], LONGEST + 1.0))
        state["flat_run"][rows] = run_B
        self._learn_step(state, rows, values_B, repeat_B)

    def _learn_run(self, state: Columns, rows: Rows, runs_B: Float64) -> None:
        """Keep the `ASIDE` longest runs aside; learn from the one left over."""
        longest_BK = np.concatenate([state["flat_longest"][rows], runs_B[:, None]], axis=1)
        longest_BK = -np.sort(-longest_BK, axis=1)
        state["flat_longest"][rows] = longest_BK[:, :ASIDE]
        run_B = longest_BK[:, ASIDE]
        # A run of k repeats continued k - 1 times and stopped once.
        state["flat_begun"][rows] += run_B > 0.0
        state["flat_still"][rows] += run_B
        state["flat_gone_on"][rows] += np.maximum(run_B - 1.0, 0.0)

    def _learn_step(self, state: Columns, rows: Rows, values_B: Float64, repeat_B: npt.NDArray[np.bool_]) -> None:
        """Follow the usual step: the mean over steps that were not repeats, each capped at eight times the mean.

        Until the stream is judged, it is the mean over all steps but those of 0: a first jump, such as from 0 to the
        stream's level, must not make repeats of all that follow.
        """
        step_B = np.fmax(np.abs(values_B - state["flat_last"][rows]), 0.0)
        usual_B, moving_B = state["flat_step"][rows], state["flat_moving"][rows].astype(np.float64)
        is_young_B = moving_B < FIRST_MOVES
        rate_B = np.where(is_young_B, 1.0 / (moving_B + 1.0), STEP_RATE)
        moved_B = np.where(usual_B > 0.0, np.minimum(step_B, 8.0 * usual_B), step_B)
        learnt_B = np.where(usual_B > 0.0, usual_B + rate_B * (moved_B - usual_B), moved_B)
        counts_B = np.where(is_young_B, step_B > 0.0, ~repeat_B)
        state["flat_step"][rows] = np.where(counts_B, learnt_B, usual_B)
        state["flat_last"][rows] = values_B
