"""Residual and memory to tail probability to `anomaly_score`; more than 1 is anomalous."""

from detector.scoring.scorer import Score, Scorer, ScorerSettings

__all__ = ["Score", "Scorer", "ScorerSettings"]
