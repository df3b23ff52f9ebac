"""`detector train`: makes a backbone from synthetic streams or from files, and writes it with its card."""

from detector.train.loop import train
from detector.train.material import curriculum
from detector.train.options import FILE_PATIENCE, Progress, TrainOptions, command

__all__ = ["FILE_PATIENCE", "Progress", "TrainOptions", "command", "curriculum", "train"]
