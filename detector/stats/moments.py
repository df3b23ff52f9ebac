"""Mean and standard deviation of a stream's whole history (Welford 1962), also for either side of the mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float64 = npt.NDArray[np.float64]


class Moments:
    """Count, mean and deviation over the whole history; `name` prefixes the columns."""

    def __init__(self, name: str) -> None:
        self._count = f"{name}_count"
        self._mean = f"{name}_mean"
        self._squares = f"{name}_squares"
        self.fields: tuple[Field, ...] = (
            Field(self._count, dtype="float64"),
            Field(self._mean, dtype="float64"),
            Field(self._squares, dtype="float64"),
        )

    def count(self, state: Columns, rows: Rows) -> Float64:
        """[B] samples seen."""
        return np.asarray(state[self._count][rows], dtype=np.float64)

    def mean(self, state: Columns, rows: Rows) -> Float64:
        """[B] mean of the samples seen; 0 before the first."""
        return np.asarray(state[self._mean][rows], dtype=np.float64)

    def deviation(self, state: Columns, rows: Rows) -> Float64:
        """[B] standard deviation; positive."""
        variance_B = state[self._squares][rows] / np.maximum(state[self._count][rows], 1.0)
        return np.asarray(np.maximum(np.sqrt(variance_B), np.finfo(np.float32).tiny))

    def varies(self, state: Columns, rows: Rows) -> npt.NDArray[np.bool_]:
        """[B] whether two values have differed."""
        return np.asarray(state[self._squares][rows] > 0.0)

    def update(self, state: Columns, rows: Rows, values_B: Float64) -> None:
        """Take in the values of this round."""
        self._learn(state, rows, values_B)

    def _learn(self, state: Columns, rows: Rows, values_B: Float64) -> tuple[Float64, Float64, Float64]:
        """Take in the values: ([B] count with them, mean before them, what they added to the sum of squares)."""
        count_B = state[self._count][rows] + 1.0
        before_B, squares_B = state[self._mean][rows], state[self._squares][rows]
        away_B = values_B - before_B
        mean_B = before_B + away_B / count_B
        sum_B = squares_B + away_B * (values_B - mean_B)
        state[self._squares][rows] = sum_B
        state[self._mean][rows] = mean_B
        state[self._count][rows] = count_B
        return count_B, before_B, sum_B - squares_B


class SidedMoments(Moments):
    """Moments with separate deviations below and above the mean, and the mean magnitude.

    Skewed streams vary less on one side.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._magnitude = f"{name}_magnitude"
        self._low_count = f"{name}_low_count"
        self._low_squares = f"{name}_low_squares"
        self.fields = (
            *self.fields,
            Field(self._magnitude),
            Field(self._low_count, dtype="int32"),
            Field(self._low_squares, dtype="float64"),
        )

    def floored_deviation(self, state: Columns, rows: Rows, floor_of_magnitude: float) -> Float64:
        """[B] standard deviation, at least `floor_of_magnitude` times the mean magnitude; positive."""
        magnitude_B = state[self._magnitude][rows].astype(np.float64)
        return np.maximum(self.deviation(state, rows), floor_of_magnitude * magnitude_B)

    def side_deviation(self, state: Columns, rows: Rows, values_B: Float64) -> Float64:
        """[B] root mean square distance from the mean of all earlier values on the same side as `values_B`."""
        low_B, low_squares_B = state[self._low_count][rows], state[self._low_squares][rows]
        high_B = state[self._count][rows] - low_B
        high_squares_B = np.maximum(state[self._squares][rows] - low_squares_B, 0.0)
        is_low_B = values_B < state[self._mean][rows]
        squares_B = np.where(is_low_B, low_squares_B, high_squares_B)
        return np.asarray(np.sqrt(squares_B / np.maximum(np.where(is_low_B, low_B, high_B), 1.0)))

    def update(self, state: Columns, rows: Rows, values_B: Float64) -> None:
        """Take in the values of this round."""
        count_B, before_B, added_B = self._learn(state, rows, values_B)
        is_low_B = values_B < before_B
        state[self._low_count][rows] += is_low_B
        state[self._low_squares][rows] += np.where(is_low_B, added_B, 0.0)
        magnitude_B = state[self._magnitude][rows]
        state[self._magnitude][rows] = magnitude_B + (np.abs(values_B) - magnitude_B) / count_B
