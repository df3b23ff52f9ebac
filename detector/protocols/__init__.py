"""Every interface between stages; those of `detector/sinks` are in `sinks.py`. Implementations need not inherit.

One thread, the worker's, calls all of them, unless a docstring says otherwise.
"""

from detector.protocols.clock import Clock
from detector.protocols.decoders import Decoder
from detector.protocols.models import Forecast, Forecaster, LearntWeights, Recorder, WeightsInUse
from detector.protocols.sinks import AlertEncoder, Message, RejectEncoder, Sink
from detector.protocols.sources import AssignmentChanges, SkippedRange, Source
from detector.protocols.state import StateReader, StateStore, Stored

__all__ = [
    "AlertEncoder",
    "AssignmentChanges",
    "Clock",
    "Decoder",
    "Forecast",
    "Forecaster",
    "LearntWeights",
    "Message",
    "Recorder",
    "RejectEncoder",
    "Sink",
    "SkippedRange",
    "Source",
    "StateReader",
    "StateStore",
    "Stored",
    "WeightsInUse",
]
