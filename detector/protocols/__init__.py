"""Every interface between stages, one file per stage. Implementations need not inherit from them.

Unless a docstring says otherwise, all calls come from one thread, the worker's.
"""

from detector.protocols.clock import Clock
from detector.protocols.decoders import Decoder
from detector.protocols.models import Forecast, Forecaster, Learnt, LearntWeights, Recorder, WeightsInUse
from detector.protocols.sinks import AlertBoard, Message, Sink
from detector.protocols.sources import AssignmentChanges, PausableSource, SkippedRange, Source
from detector.protocols.state import StateReader, StateStore, Stored

__all__ = [
    "AlertBoard",
    "AssignmentChanges",
    "Clock",
    "Decoder",
    "Forecast",
    "Forecaster",
    "Learnt",
    "LearntWeights",
    "Message",
    "PausableSource",
    "Recorder",
    "Sink",
    "SkippedRange",
    "Source",
    "StateReader",
    "StateStore",
    "Stored",
    "WeightsInUse",
]
