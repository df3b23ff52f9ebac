"""The width that covers a given share of errors, learned one error at a time.

Robbins-Monro on the logarithm of the width: it grows by step x coverage after an error outside and shrinks by
step x (1 - coverage) after one inside. The share inside converges to the coverage whatever the errors' distribution
(Gibbs and Candes 2021, equation 2, in log units).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float64 = npt.NDArray[np.float64]

FIRST_FACTOR = 1.645
"""Covers 90% of normally distributed errors, in units of their standard deviation."""
FIRST_STEP = 0.5
LAST_STEP = 0.02
NARROWEST, WIDEST = np.log(1e-3), np.log(1e3)


class CoverageFactor:
    """One factor per stream, in units of the caller's scale; `name` prefixes the columns."""

    def __init__(self, name: str, coverage: float) -> None:
        self.coverage = coverage
        self._log_factor = f"{name}_log_factor"
        self._step = f"{name}_step"
        self.fields = (
            Field(self._log_factor, initial=float(np.log(FIRST_FACTOR))),
            Field(self._step, initial=FIRST_STEP),
        )

    def factor(self, state: Columns, rows: Rows) -> Float64:
        """[B] half width of the band in units of the scale."""
        return np.exp(state[self._log_factor][rows].astype(np.float64))

    def update(self, state: Columns, rows: Rows, inside_B: npt.NDArray[np.bool_]) -> None:
        """Learn from whether this round's values lay inside the band."""
        step_B = state[self._step][rows]
        move_B = np.where(inside_B, np.float32(self.coverage - 1.0), np.float32(self.coverage))
        moved_B = state[self._log_factor][rows] + step_B * move_B
        state[self._log_factor][rows] = np.clip(moved_B, NARROWEST, WIDEST)
        # step = 1 / (1 / step + 1 / 20): the harmonic decay that stochastic approximation requires, down to a floor
        # that keeps it adapting.
        state[self._step][rows] = np.maximum(step_B / (1.0 + step_B / 20.0), np.float32(LAST_STEP))
