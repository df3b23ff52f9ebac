"""From series key to row, order in time, and rounds with at most one sample per stream."""

from detector.streams.ordering import judge, rounds, screen
from detector.streams.table import StreamTable

__all__ = ["StreamTable", "judge", "rounds", "screen"]
