"""An OTLP metric, whichever of the two encodings it came in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Hashable, Iterable
from enum import IntEnum
from typing import Any, NamedTuple

SCOPE_LABEL = "otel_scope_name"
"""The specification's name for Prometheus. The scope's version is left out, so that an upgrade begins no new stream."""
NO_RECORDED_VALUE = 1
"""Flag of a point without a value."""


class Temporality(IntEnum):
    """Whether a sum or histogram counts since the previous point or since a fixed start."""

    UNSPECIFIED = 0
    DELTA = 1
    CUMULATIVE = 2


class Part(NamedTuple):
    """A number of a point; only histograms and summaries have more than one."""

    suffix: str
    """Suffix of the metric's name, as in Prometheus: `_count`, `_sum`, or empty."""
    quantile: str
    """Empty, except for the quantiles of a summary."""
    is_total: bool
    """It adds up over time, so its rate is what matters."""
    value: float | None
    """None where nothing was recorded."""


class Identity(NamedTuple):
    """What tells a series from others of the same name."""

    resource: dict[str, Any]
    scope: str
    attributes: dict[str, Any]


class Point(NamedTuple):
    """What was measured of one series at one time."""

    attributes: Hashable
    """As encoded; `Metric.identity` reads them."""
    own: int
    """Upper bound on the number of attributes; 0 for a point of one part, which does not share them."""
    start: int
    """Start of the counting interval, in nanoseconds since 1970; 0 if not given."""
    time: int
    """Nanoseconds since 1970; 0 if not given."""
    parts: list[Part]


class Metric(NamedTuple):
    """Points under one name from one scope of one resource."""

    origin: Hashable
    """Resource and scope as encoded."""
    shared: int
    """Upper bound on the labels that the resource gives to each of its series."""
    name: str
    temporality: int
    points: Iterable[Point]
    identity: Callable[[Any], Identity]
    """Takes a point's attributes as encoded. Raises ValueError, RecursionError."""


def labels(identity: Identity) -> dict[str, str]:
    """Labels of a series; if resource and point give a name different values, the resource's is `resource.NAME`.

    >>> labels(Identity({"host": "a", "zone": 1}, "", {"host": "b", "ok": True}))
    {'resource.host': 'a', 'zone': '1', 'host': 'b', 'ok': 'true'}
    """
    own = {name: _text(value) for name, value in identity.attributes.items()}
    found = {SCOPE_LABEL: identity.scope} if identity.scope else {}
    for name, value in identity.resource.items():
        text = _text(value)
        found[f"resource.{name}" if own.get(name, text) != text else name] = text
    return found | own


def _text(value: Any) -> str:
    """An attribute's value as a label value: lists and maps as JSON, bytes as base64."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_text)
