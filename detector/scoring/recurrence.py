"""What the coming back of something rare is worth: little where it is one sample, an alarm where it lasts.

A value is *rare* when it is more than half a deviation from all that is established (see `stats.novelty`). One rare
sample after another is what an outage looks like whose like was seen before, and what noise with a heavy tail does not
look like. So the bound of the credit for recurrence rises with the share of rare values among the last few, less that
among the last sixty-four: a stream that stays at a new level is news for some samples, not for ever. A stream to which
most is rare, as to a young or a wandering one, gets little of it: the square of the share that was usual over the last
two days of event time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows
from detector.stats.ewm import follow

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BOUND = 1.0
"""Most that the second coming of something rare is worth, in deviations: an outage labelled twice is two alerts."""
LASTING = 3.0
"""What the bound gains where the last values are all rare and none was before."""
RARE = 0.5
"""Distance from the established, in deviations of the value, beyond which a value is rare."""
NOW, LATELY = 1.0 / 4.0, 1.0 / 64.0
"""Rates a sample."""
USUAL_SECONDS = 2 * 86_400.0
LARGEST_RATE = 1.0 / 16.0


class Recurrence:
    """Columns `rare_*`, shares of rare values: among the last few, among the last 64, and over two days."""

    fields: tuple[Field, ...] = (Field("rare_now"), Field("rare_lately"), Field("rare_days", initial=1.0))

    def bound(self, state: Columns, rows: Rows) -> Float64:
        """[B] most that a distance from the established may count, in deviations."""
        now_B, lately_B, days_B = (state[field.name][rows].astype(np.float64) for field in self.fields)
        return BOUND + LASTING * np.maximum(now_B - lately_B, 0.0) * (1.0 - days_B) ** 2

    def update(self, state: Columns, rows: Rows, rare_B: Bools, interval_seconds_B: Float64) -> None:
        """Take in which values of a round were rare."""
        days_B = np.minimum(interval_seconds_B / USUAL_SECONDS, LARGEST_RATE)
        for name, rate in (("rare_now", NOW), ("rare_lately", LATELY), ("rare_days", days_B)):
            state[name][rows] = follow(state[name][rows], rare_B, rate)
