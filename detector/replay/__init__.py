"""Replay: the pipeline over CSV files, one stream a file, and every row's verdict written beside it."""

from detector.replay.files import ROWS_PER_SLICE, ReplayFile, demand_rows, find_files
from detector.replay.run import Observer, replay
from detector.replay.summary import Summary, plural

__all__ = [
    "ROWS_PER_SLICE",
    "Observer",
    "ReplayFile",
    "Summary",
    "demand_rows",
    "find_files",
    "plural",
    "replay",
]
