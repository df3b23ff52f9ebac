"""Settings of a scorer, and its result for a round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.scoring.calm import Level
from detector.scoring.season import Departure
from detector.stats.novelty import Distance

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScorerSettings:
    """The `scoring` section of the configuration, with the same names."""

    alerts_per_stream_week: float = 0.1
    warmup_samples: int = 60
    band_coverage: float = 0.9
    direction: str = "both"
    min_dev_from_expected: float = 0.0
    min_rel_dev_from_expected: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of one round of samples, and the intermediate results that `learn` needs. All [B]."""

    raw: Float64
    """The largest novelty, weighted by trust, in deviations."""
    anomaly_score: Float64
    """Above 1 is anomalous; 0 during warmup."""
    lower: Float64
    upper: Float64
    warming: Bools
    surprise: Float64
    """-log p of the more surprising part; 0 during warmup, and for deviations that the settings exclude."""
    believed: Float64
    """Values to learn from: the given ones, except that those which start an alarm as absurd values, and further absurd
    ones soon after, become the forecast."""
    residual: Float64
    """Value minus forecast; reduced after a surprise and after a pause, as `Scorer._residual` describes."""
    size: Float64
    """Absolute residual, in deviations of the residuals so far."""
    reach: Float64
    """Distance of the value from the mean of all earlier ones, or from the daily habit if that is nearer, in deviations
    of the values."""
    rare: Bools
    """The value is far from every established one."""
    value_distance: Distance
    residual_distance: Distance
    departure: Departure
    habit_distance: Distance
    """Only of the rows whose daily habit counts (`departure.is_open`), in their order."""
    flat_run: Float64
    level: Level
    """Only of the rows whose value moved, in their order."""
