"""How much the return of something rare may add to a score: little for one sample, an alarm if it lasts.

A value is *rare* if it is more than half a deviation from every established one (see `stats.novelty`). A second outage
of a kind is one rare sample after another; noise with a heavy tail is not. So the bound on what a recurrence adds rises
with the share of rare values among the last few samples, less their share among the last sixty-four: a stream that
stays at a new level is new for some samples, not forever. The rise is multiplied by the square of the share of values
that were not rare over the last two days of event time. A young or a wandering stream, to which most values are rare,
gains little from it.

A *residual* far from every established one is an outage, even if there was one like it before. It is worth a plain
alarm and no more (see `scorer.PLAIN_WORTH`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows
from detector.scoring.budget import ASKED, shortfall
from detector.stats.ewm import follow

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BOUND = 1.0
"""Most that one returning rare value may add, in deviations; makes an outage that happens twice two alerts."""
LASTING = 3.0
"""Gain of the bound if the last values are all rare and none was rare before."""
RARE = 0.5
"""Distance from every established value, in deviations of the values, beyond which a value is rare."""
NOW, LATELY = 1.0 / 4.0, 1.0 / 64.0
"""Rates per sample."""
OUTAGE = 3.0
"""Distance of a residual from every established one, in deviations, beyond which it is worth an alarm. Each factor of e
by which a budget is below the default adds one deviation."""
FIRST_SECONDS = 1.5 * 86_400.0
"""History before which no residual counts as an outage: what is usual has not yet been seen a day apart."""
HALF_TRUST_SECONDS = 2 * 86_400.0
"""History at which an outage's distance counts half."""
USUAL_SECONDS = 2 * 86_400.0
LARGEST_RATE = 1.0 / 16.0


class Recurrence:
    """Columns `rare_*`: shares of rare values among the last few, among the last 64, and over two days."""

    alone = BOUND
    """Most that a single recurrence is worth, in deviations."""

    fields: tuple[Field, ...] = (Field("rare_now"), Field("rare_lately"), Field("rare_days", initial=1.0))

    def __init__(self, alerts_per_stream_week: float = ASKED) -> None:
        self._outage = OUTAGE + shortfall(alerts_per_stream_week)

    def bound(self, state: Columns, rows: Rows) -> Float64:
        """[B] most that a recurrence of a value may add, in deviations."""
        now_B, lately_B, days_B = (state[field.name][rows].astype(np.float64) for field in self.fields)
        return self.alone + LASTING * np.maximum(now_B - lately_B, 0.0) * (1.0 - days_B) ** 2

    def is_outage(self, returned_B: Float64, history_seconds_B: Float64) -> Bools:
        """[B] whether a residual is an outage, by its distance from every established one, in deviations.

        The history is in event time: samples times their usual interval.
        """
        far_B = returned_B * history_seconds_B > self._outage * (history_seconds_B + HALF_TRUST_SECONDS)
        return np.asarray(far_B & (history_seconds_B > FIRST_SECONDS))

    def update(self, state: Columns, rows: Rows, rare_B: Bools, interval_seconds_B: Float64) -> None:
        """Take in which values of this round were rare."""
        days_B = np.minimum(interval_seconds_B / USUAL_SECONDS, LARGEST_RATE)
        for name, rate in (("rare_now", NOW), ("rare_lately", LATELY), ("rare_days", days_B)):
            state[name][rows] = follow(state[name][rows], rare_B, rate)
