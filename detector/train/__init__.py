"""`detector train`: trains a backbone on synthetic streams, files or a topic, and writes it with its card."""

from detector.train.loop import train
from detector.train.material import curriculum
from detector.train.options import FILE_PATIENCE, Progress, TopicRange, TrainOptions, command

__all__ = ["FILE_PATIENCE", "Progress", "TopicRange", "TrainOptions", "command", "curriculum", "train"]
