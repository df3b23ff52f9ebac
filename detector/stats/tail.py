"""Tail probability of a non-negative score: peaks over a fixed threshold, with a pooled prior.

Above the threshold u a score's tail is exponential, P(S > s) = rate x exp(-(s - u) / mean_excess) (Pickands 1975 with
shape 0). A stream's own rate and mean excess are blended with a prior by pseudo-counts, so that a new stream has the
prior's tail and an old one its own. Scores are in units of the stream's deviation, so one u fits all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TailPrior:
    """The pooled tail, and how many samples and peaks of a stream's own weigh as much."""

    threshold: float
    rate: float
    """P(S > threshold)."""
    mean_excess: float
    rate_weight: float
    """Samples."""
    excess_weight: float
    """Peaks."""


class Tail:
    """A stream's own peaks; `name` prefixes the columns."""

    def __init__(
        self, name: str, prior: TailPrior, largest_excess: float = 5.0, memory_samples: float = 50_000.0
    ) -> None:
        self.prior = prior
        self._largest = largest_excess
        self._keep = 1.0 - 1.0 / memory_samples
        self._samples = f"{name}_samples"
        self._peaks = f"{name}_peaks"
        self._excess = f"{name}_excess"
        self.fields = (Field(self._samples), Field(self._peaks), Field(self._excess))

    def surprise(self, state: Columns, rows: Rows, scores_B: Float64) -> Float64:
        """[B] -log P(S > score), strictly increasing in the score for a given state; 0 at a score of 0."""
        prior = self.prior
        samples_B = state[self._samples][rows].astype(np.float64) + prior.rate_weight
        peaks_B = state[self._peaks][rows].astype(np.float64)
        rate_B = (peaks_B + prior.rate * prior.rate_weight) / samples_B
        excess_B = state[self._excess][rows] + prior.mean_excess * prior.excess_weight
        excess_B /= peaks_B + prior.excess_weight
        at_threshold_B = -np.log(np.minimum(rate_B, 0.9))
        below_B = at_threshold_B * np.minimum(scores_B, prior.threshold) / prior.threshold
        return np.asarray(below_B + np.maximum(scores_B - prior.threshold, 0.0) / excess_B)

    def update(self, state: Columns, rows: Rows, scores_B: Float64) -> None:
        """Take in the scores of this round. A single excess counts at most `largest_excess` times the prior's mean."""
        excess_B = np.minimum(scores_B - self.prior.threshold, self._largest * self.prior.mean_excess)
        peak_B = excess_B > 0.0
        keep = np.float32(self._keep)
        state[self._samples][rows] = state[self._samples][rows] * keep + np.float32(1.0)
        state[self._peaks][rows] = state[self._peaks][rows] * keep + peak_B
        state[self._excess][rows] = state[self._excess][rows] * keep + np.where(peak_B, excess_B, 0.0)
