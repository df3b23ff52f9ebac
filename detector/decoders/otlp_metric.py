"""A metric of OTLP, whichever of its two spellings it came in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Hashable, Iterable
from enum import IntEnum
from typing import Any, NamedTuple

SCOPE_LABEL = "otel_scope_name"
"""As the specification names it for Prometheus. The scope's version is left out: an upgrade begins no new stream."""
NO_RECORDED_VALUE = 1
"""Flag of a point that says that there is none."""


class Temporality(IntEnum):
    """What a sum or histogram counts from."""

    UNSPECIFIED = 0
    DELTA = 1
    CUMULATIVE = 2


class Part(NamedTuple):
    """A number of a point; one but for histograms and summaries."""

    suffix: str
    """Of the metric's name, as Prometheus has it: `_count`, `_sum`, or none."""
    quantile: str
    """Empty but for those of a summary."""
    is_total: bool
    """It adds up over time, so its rate is what matters."""
    value: float | None
    """None where nothing was recorded."""


class Identity(NamedTuple):
    """What tells a series from others of its name."""

    resource: dict[str, Any]
    scope: str
    attributes: dict[str, Any]


class Point(NamedTuple):
    """What was measured of one series at one time."""

    attributes: Hashable
    """As spelled; `Metric.identity` reads them."""
    own: int
    """Labels at most that they are; 0 for a point of one part, which shares them with no other."""
    start: int
    """Begin of what was counted, nanoseconds since 1970; 0 where that is not said."""
    time: int
    """Nanoseconds since 1970; 0 where that is not said."""
    parts: list[Part]


class Metric(NamedTuple):
    """Points under one name from one scope of one resource."""

    origin: Hashable
    """Resource and scope as spelled."""
    shared: int
    """Labels at most that the resource gives to each of its series."""
    name: str
    temporality: int
    points: Iterable[Point]
    identity: Callable[[Any], Identity]
    """Of a point's attributes as spelled. Raises ValueError, RecursionError."""


def labels(identity: Identity) -> dict[str, str]:
    """Those of a series; where both use a name for different things, the resource's is `resource.NAME`.

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
    """An attribute's value as a label's: lists and maps as JSON, bytes as base64."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_text)
