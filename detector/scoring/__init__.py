"""From residual and memory to tail probability to `anomaly_score`, for streams and groups; above 1 is anomalous."""

from detector.scoring.group import GroupScorer
from detector.scoring.score import Score, ScorerSettings
from detector.scoring.scorer import Scorer

__all__ = ["GroupScorer", "Score", "Scorer", "ScorerSettings"]
