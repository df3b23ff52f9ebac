"""Where the parts of a sample lie, in formats whose records may have any shape."""

from __future__ import annotations

from typing import Literal

from detector.config.values import Section

Unit = Literal["auto", "s", "ms", "us", "ns"]
"""Of numbers that are times."""


class Fields(Section):
    """Dotted paths to what a sample is made of."""

    name: str = "name"
    labels: str = "labels"
    stream: str = "stream"
    timestamp: str = "timestamp"
    value: str = "value"
