"""OTLP's protobuf encoding: `MetricsData`, which on the wire is the same as `ExportMetricsServiceRequest`.

Field numbers are those of opentelemetry/proto/metrics/v1/metrics.proto. Buckets and exemplars are ignored.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

from detector.decoders.otlp_metric import NO_RECORDED_VALUE, Identity, Metric, Part, Point, Temporality
from detector.decoders.protobuf import FIXED64, LENGTH, VARINT, fields, signed

_DOUBLE = struct.Struct("<d").unpack
_SIGNED = struct.Struct("<q").unpack
_UNSIGNED = struct.Struct("<Q").unpack

_NAME = 1
_GAUGE, _SUM, _HISTOGRAM, _EXPONENTIAL, _SUMMARY = 5, 7, 9, 10, 11
_POINTS, _TEMPORALITY, _IS_MONOTONIC = 1, 2, 3
_START, _TIME, _AS_DOUBLE, _AS_INT = 2, 3, 4, 6
_COUNT, _TOTAL, _QUANTILES = 4, 5, 6
_ANY_VALUES = {1: LENGTH, 2: VARINT, 3: VARINT, 4: FIXED64, 5: LENGTH, 6: LENGTH, 7: LENGTH}
"""Field -> wire type in an `AnyValue`; a field of another wire type counts as unknown."""


class _Layout(NamedTuple):
    """Field numbers of what all kinds of points have."""

    attributes: int
    flags: int
    is_number: bool = False


_LAYOUTS = {
    _GAUGE: _Layout(7, 8, is_number=True),
    _SUM: _Layout(7, 8, is_number=True),
    _HISTOGRAM: _Layout(9, 10),
    _EXPONENTIAL: _Layout(1, 10),
    _SUMMARY: _Layout(7, 8),
}


def metrics(payload: bytes) -> Iterator[Metric]:
    """All metrics of a record. Raises ValueError or RecursionError if it is not OTLP."""
    for resource_metrics in _messages(payload, 1):
        resource = b"".join(_messages(resource_metrics, 1))
        shared = len(_messages(resource, 1))
        owner = _owner(resource)
        for scope_metrics in _messages(resource_metrics, 2):
            scope = b"".join(_messages(scope_metrics, 1))
            identity = _identity(owner, scope)
            for message in _messages(scope_metrics, 2):
                yield from _metric(message, (resource, scope), shared, identity)


def _owner(resource: bytes) -> Callable[[], dict[str, Any]]:
    """The resource's attributes, decoded once, and only if one of its series is new."""
    return cache(lambda: _pairs(_messages(resource, 1)))


def _identity(owner: Callable[[], dict[str, Any]], scope: bytes) -> Callable[[Any], Identity]:
    def identity(attributes: tuple[bytes, ...]) -> Identity:
        names = _messages(scope, _NAME)
        return Identity(owner(), names[-1].decode() if names else "", _pairs(attributes))

    return identity


def _metric(
    message: bytes, origin: tuple[bytes, bytes], shared: int, identity: Callable[[Any], Identity]
) -> Iterator[Metric]:
    name, found = "", []
    for number, wire, part in fields(message):
        if wire == LENGTH and isinstance(part, bytes):
            if number == _NAME:
                name = part.decode()
            elif number in _LAYOUTS:
                found.append((number, part))
    for kind, aggregated in found:
        points, temporality, is_monotonic = _aggregation(kind, aggregated)
        is_total = is_monotonic or temporality == Temporality.DELTA
        layout = _LAYOUTS[kind]
        read = map(partial(_point, layout=layout, is_total=is_total), points)
        yield Metric(origin, shared, name, temporality, read, identity)


def _aggregation(kind: int, message: bytes) -> tuple[list[bytes], int, bool]:
    """(points, temporality, whether it only grows)."""
    points, said = [], {}
    for number, wire, value in fields(message):
        if isinstance(value, int):
            said[number] = value
        elif number == _POINTS and wire == LENGTH:
            points.append(value)
    if kind == _GAUGE:
        return points, Temporality.UNSPECIFIED, False
    if kind == _SUMMARY:
        return points, Temporality.CUMULATIVE, True
    return points, said.get(_TEMPORALITY, 0), kind != _SUM or bool(said.get(_IS_MONOTONIC, 0))


def _point(message: bytes, layout: _Layout, *, is_total: bool) -> Point:
    attributes: list[bytes] = []
    fixed: dict[int, bytes] = {}
    quantiles: list[bytes] = []
    flags = 0
    for number, wire, value in fields(message):
        if isinstance(value, int):
            flags = value if number == layout.flags else flags
        elif wire == FIXED64:
            fixed[number] = value
        elif number == layout.attributes and wire == LENGTH:
            attributes.append(value)
        elif number == _QUANTILES and wire == LENGTH:
            quantiles.append(value)
    if layout.is_number:
        parts = [Part("", "", is_total, _number(fixed))]
    else:
        # A sum that is not written is unknown in histograms, but 0 in summaries, where the field is not optional.
        is_summary = layout is _LAYOUTS[_SUMMARY]
        count, total = fixed.get(_COUNT, bytes(8)), fixed.get(_TOTAL, bytes(8) if is_summary else None)
        parts = [Part("_count", "", True, float(_UNSIGNED(count)[0]))]
        parts += [Part("_sum", "", True, _DOUBLE(total)[0])] if total is not None else []
        parts += map(_quantile, quantiles) if is_summary else []
    if flags & NO_RECORDED_VALUE:
        parts = [part._replace(value=None) for part in parts]
    start, time = fixed.get(_START, b""), fixed.get(_TIME, b"")
    own = len(attributes) if len(parts) > 1 else 0
    return Point(tuple(attributes), own, int.from_bytes(start, "little"), int.from_bytes(time, "little"), parts)


def _number(fixed: dict[int, bytes]) -> float | None:
    if _AS_DOUBLE in fixed:
        value: float = _DOUBLE(fixed[_AS_DOUBLE])[0]
        return value
    return float(_SIGNED(fixed[_AS_INT])[0]) if _AS_INT in fixed else None


def _quantile(message: bytes) -> Part:
    said = {
        number: _DOUBLE(value)[0] for number, wire, value in fields(message)
        if wire == FIXED64 and isinstance(value, bytes)
    }  # fmt: skip
    return Part("", f"{said.get(1, 0.0):g}", False, said.get(2, 0.0))


def _messages(message: bytes, number: int) -> list[bytes]:
    """The values of the field `number`, in their order."""
    return [
        value for field, wire, value in fields(message)
        if field == number and wire == LENGTH and isinstance(value, bytes)
    ]  # fmt: skip


def _pairs(messages: tuple[bytes, ...] | list[bytes]) -> dict[str, Any]:
    """Attributes in `KeyValue` messages."""
    return {b"".join(_messages(each, 1)).decode(): _any(b"".join(_messages(each, 2))) for each in messages}


def _any(message: bytes) -> Any:
    """The value in an `AnyValue`; the last of its fields counts."""
    found: Any = None
    for number, wire, value in fields(message):
        if _ANY_VALUES.get(number) != wire:
            continue
        match number, value:
            case 1, bytes():
                found = value.decode()
            case 2, int():
                found = bool(value)
            case 3, int():
                found = signed(value)
            case 4, bytes():
                (found,) = _DOUBLE(value)
            case 5, bytes():
                found = [_any(each) for each in _messages(value, 1)]
            case 6, bytes():
                found = _pairs(_messages(value, 1))
            case 7, bytes():
                found = value
    return found
