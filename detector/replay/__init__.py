"""Replay: runs the pipeline over recorded series and gives every row a verdict."""

from detector.replay.files import ReplayFile, demand_rows, find_files
from detector.replay.reader import ROWS_PER_SLICE, Reader
from detector.replay.recorded import RecordFormat
from detector.replay.run import Observer, replay
from detector.replay.summary import Summary, plural

__all__ = [
    "ROWS_PER_SLICE",
    "Observer",
    "Reader",
    "RecordFormat",
    "ReplayFile",
    "Summary",
    "demand_rows",
    "find_files",
    "plural",
    "replay",
]
