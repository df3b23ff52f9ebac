"""Counters to rates: a running total is scored by its increase per second since the stream's last sample.

A stream's first total yields no rate. Neither does one below the last: the counter was reset in between, and how far it
had come is unknown. Both are counted as `COUNTER_START`; the next sample has a rate again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows
from detector.records import LARGEST_VALUE, Float64, Kind, Uint8
from detector.streams.table import LATEST

TOTAL = Field("rate.total", dtype="float64", initial=np.nan)
"""Last total of a counter; NaN where there is none."""
CLOSEST_SECONDS = 1e-6
"""Least distance assumed between two samples: clocks cannot resolve less."""


def rates(state: Columns, rows_B: Rows, times_B: Float64, totals_B: Float64) -> Float64:
    """[B] increase per second since each row's last sample, NaN where a counter starts. Stores the totals.

    Times must be newer than the rows' last ones.
    """
    before_B = state[TOTAL.name][rows_B]
    since_B = np.maximum(times_B - state[LATEST.name][rows_B], CLOSEST_SECONDS)
    state[TOTAL.name][rows_B] = totals_B
    rates_B = np.minimum((totals_B - before_B) / since_B, LARGEST_VALUE)
    return np.where(totals_B >= before_B, rates_B, np.nan)


class Rates:
    """Turns the values of a round into those that are scored."""

    fields = (TOTAL,)

    def __init__(self, *, raw: bool) -> None:
        """With `raw`, counters are scored by their totals."""
        self.raw = raw

    def values(self, state: Columns, rows_B: Rows, times_B: Float64, values_B: Float64, kinds_B: Uint8) -> Float64:
        """[B] values to score; NaN where a counter starts, with nothing to score yet.

        A counter whose sample is scored as it is stops being a counter.
        """
        counts_B = (kinds_B == Kind.COUNTER) & (not self.raw)
        was_B = self.are_scored(state, rows_B) & ~counts_B
        if was_B.any():
            state[TOTAL.name][rows_B[was_B]] = np.nan
        if not counts_B.any():
            return values_B
        found_B = values_B.copy()
        found_B[counts_B] = rates(state, rows_B[counts_B], times_B[counts_B], values_B[counts_B])
        return found_B

    def are_scored(self, state: Columns, rows_B: Rows) -> npt.NDArray[np.bool_]:
        """[B] whether the stream's last scored value was a counter's rate."""
        return np.isfinite(state[TOTAL.name][rows_B])
