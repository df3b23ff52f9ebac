"""Tail probability of a non-negative score under a pooled tail, the same for every stream.

Above a threshold u the tail is exponential, P(S > s) = rate x exp(-(s - u) / mean_excess): peaks over threshold
(Pickands 1975) with shape 0. Below it, -log P is proportional to the score, so scores keep their order everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PooledTail:
    """The tail of the scores of quiet streams.

    >>> tail = PooledTail(threshold=1.0, rate=0.01, mean_excess=0.5)
    >>> np.exp(-tail.surprise(np.array([0.0, 1.0, 2.0]))).round(5).tolist()
    [1.0, 0.01, 0.00135]
    """

    threshold: float
    rate: float
    """P(S > threshold)."""
    mean_excess: float

    def surprise(self, scores_B: Float64) -> Float64:
        """[B] -log P(S > score), strictly increasing; 0 at a score of 0."""
        below_B = -np.log(self.rate) * np.minimum(scores_B / self.threshold, 1.0)
        return np.asarray(below_B + np.maximum(scores_B - self.threshold, 0.0) / self.mean_excess)

    def score(self, surprise_B: Float64) -> Float64:
        """[B] inverse of `surprise`."""
        at_threshold = -np.log(self.rate)
        above_B = self.threshold + (surprise_B - at_threshold) * self.mean_excess
        return np.asarray(np.where(surprise_B < at_threshold, surprise_B / at_threshold * self.threshold, above_B))
