"""Settings of a scorer, and its result for a round."""

from __future__ import annotations

from dataclasses import dataclass

from detector.columns import Bool
from detector.records import Float64
from detector.scoring.budget import ASKED
from detector.scoring.views import Evidence


@dataclass(frozen=True, slots=True)
class ScorerSettings:
    """The `scoring` section of the configuration, with the same names."""

    alerts_per_stream_week: float = ASKED
    warmup_samples: int = 60
    band_coverage: float = 0.9
    direction: str = "both"
    min_dev_from_expected: float = 0.0
    min_rel_dev_from_expected: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of one round of samples. All [B]."""

    anomaly_score: Float64
    """Above 1 is anomalous; 0 during warmup."""
    expected: Float64
    """The forecast, but not below 0 for a stream that was never negative; NaN where there was none."""
    lower: Float64
    """No lower than such a stream's 0, either."""
    upper: Float64
    warming: Bool
    novelty: Float64
    """The largest novelty, weighted by trust, in deviations; 0 during warmup."""
    size: Float64
    """Absolute residual, in deviations of the residuals so far."""
    reach: Float64
    """Distance of the value from the mean of all earlier ones, or from the daily habit if that is nearer, in deviations
    of the values."""
    believed: Float64
    """Values to learn from: the given ones, except that those which start an alarm as absurd values, and further absurd
    ones soon after, become the forecast."""
    surprise: Float64
    """-log p of the more surprising part; 0 during warmup, and for deviations that the settings exclude."""
    evidence: Evidence
    """For `Scorer.learn`."""
