"""Counters to rates: what is scored of a running total is its increase per second since the stream's last sample.

A stream's first total yields no rate, and neither does one that is below the last: the counter began anew in between,
and nobody knows how far it had come. Both are counted as `COUNTER_START`; the next sample has a rate again.
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
"""Samples that are closer together than clocks can tell count as this far apart."""


def rates(state: Columns, rows_B: Rows, times_B: Float64, totals_B: Float64) -> Float64:
    """[B] increase per second since each row's last sample, NaN where a counter starts. Stores the totals.

    The times must be newer than the rows' last ones.
    """
    before_B = state[TOTAL.name][rows_B]
    since_B = np.maximum(times_B - state[LATEST.name][rows_B], CLOSEST_SECONDS)
    state[TOTAL.name][rows_B] = totals_B
    rates_B = np.minimum((totals_B - before_B) / since_B, LARGEST_VALUE)
    return np.where(totals_B >= before_B, rates_B, np.nan)


class Rates:
    """What is scored of the samples of a round."""

    fields = (TOTAL,)

    def __init__(self, *, raw: bool) -> None:
        """With `raw`, counters are scored as they come."""
        self.raw = raw

    def values(self, state: Columns, rows_B: Rows, times_B: Float64, values_B: Float64, kinds_B: Uint8) -> Float64:
        """[B] values to score; NaN where a counter starts and there is nothing to score yet.

        What is scored as it comes, and was a counter before, is none any more.
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
        """[B] where the stream's last value was the rate of a counter."""
        return np.isfinite(state[TOTAL.name][rows_B])
