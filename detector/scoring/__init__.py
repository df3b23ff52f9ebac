"""Residual and memory to tail probability to `anomaly_score`; more than 1 is anomalous. Streams, and groups of them."""

from detector.scoring.group import GroupScorer
from detector.scoring.score import Score, ScorerSettings
from detector.scoring.scorer import Scorer

__all__ = ["GroupScorer", "Score", "Scorer", "ScorerSettings"]
