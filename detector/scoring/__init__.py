"""Residual and memory to tail probability to `anomaly_score`; more than 1 is anomalous. Streams, and groups of them."""

from detector.scoring.group import GroupScorer
from detector.scoring.scorer import Score, Scorer, ScorerSettings

__all__ = ["GroupScorer", "Score", "Scorer", "ScorerSettings"]
