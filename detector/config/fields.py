"""Where the parts of a sample are, for formats whose records may have any shape."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from detector.config.values import Section

Unit = Literal["auto", "s", "ms", "us", "ns"]
"""Unit of numeric timestamps."""


def _path(text: str) -> str:
    if not all(text.split(".")):
        raise ValueError(
            "is not a path, which is names separated by dots, such as metric.name; "
            "leave the key out if records have no such part"
        )
    return text


FieldPath = Annotated[str, AfterValidator(_path)]


class Fields(Section):
    """Dotted paths to the parts of a sample."""

    name: FieldPath = "name"
    labels: FieldPath = "labels"
    stream: FieldPath = "stream"
    timestamp: FieldPath = "timestamp"
    value: FieldPath = "value"
