"""A figure over series with its standard error, and differences of two figures on the same series.

Shape legend: K folds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from detector.records import Float64


class Estimate(NamedTuple):
    """A figure, and the same figure without one fold after the other: the delete-one-fold jackknife."""

    value: float
    without: Float64
    """[K]"""

    @property
    def standard_error(self) -> float:
        """By the spread of `without` (Efron and Tibshirani 1993, section 11.5).

        >>> Estimate(2.0, np.array([2.5, 2.0, 1.5])).standard_error.__round__(3)
        0.577
        """
        folds = len(self.without)
        return float(np.sqrt((folds - 1) / folds * ((self.without - self.without.mean()) ** 2).sum()))

    def less(self, other: Estimate) -> Estimate:
        """The paired difference: what the same series have in common falls out."""
        return Estimate(self.value - other.value, self.without - other.without)


def estimate(count: int, folds: int, figure: Callable[[Sequence[int]], float]) -> Estimate:
    """`figure` of `count` series by their places, of all and without each fold of every `folds`-th one."""
    everything = range(count)
    without = [figure([place for place in everything if place % folds != fold]) for fold in range(folds)]
    return Estimate(figure(everything), np.array(without))


def mean_of(independent: Sequence[Estimate]) -> tuple[float, float]:
    """(mean, its standard error) of figures on series that have nothing in common."""
    errors = np.array([one.standard_error for one in independent])
    return float(np.mean([one.value for one in independent])), float(np.sqrt((errors**2).sum()) / len(independent))
