"""What a scorer is told, and what it says of a round."""

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
    """The `scoring` section of the configuration, by the same names."""

    alerts_per_stream_week: float = 0.1
    warmup_samples: int = 60
    band_coverage: float = 0.9
    direction: str = "both"
    min_dev_from_expected: float = 0.0
    min_rel_dev_from_expected: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """What one round of samples is worth, and what `learn` needs to know again. All [B]."""

    raw: Float64
    anomaly_score: Float64
    """More than 1 is anomalous; 0 while the stream warms up."""
    lower: Float64
    upper: Float64
    warming: Bools
    surprise: Float64
    """-log p of the more surprising part; 0 while the stream warms up."""
    believed: Float64
    """What is to be learnt: the values, but the expectation in the place of an absurd one with which alarms begin."""
    residual: Float64
    """Value less forecast; after a pause, what is left of it."""
    size: Float64
    """The residual without its sign, in deviations of the residuals so far."""
    reach: Float64
    """Distance of the value from the mean of all before it, or from its daily habit where that is nearer, in deviations
    of the values."""
    rare: Bools
    """The value is far from all that is established."""
    value_distance: Distance
    residual_distance: Distance
    departure: Departure
    habit_distance: Distance
    """Of the rows whose habit is open, in their order."""
    flat_run: Float64
    level: Level
    """Of the rows whose value moved, in their order."""
