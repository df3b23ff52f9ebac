"""Synthetic metric streams and labelled faults, reproducible from a seed. Needs numpy only."""

from detector.synthetic.draw import draw_streams
from detector.synthetic.families import FAMILIES
from detector.synthetic.faults import KINDS, Fault, inject
from detector.synthetic.streams import START, Streams, streams

__all__ = ["FAMILIES", "KINDS", "START", "Fault", "Streams", "draw_streams", "inject", "streams"]
