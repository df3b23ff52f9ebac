"""OTLP's JSON encoding: lowerCamelCase keys, 64-bit integers as texts, enumerations as numbers.

Follows the OTLP specification's "JSON Protobuf Encoding". Buckets and exemplars are ignored.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import msgspec

from detector.decoders.otlp_metric import NO_RECORDED_VALUE, Identity, Metric, Part, Point, Temporality

Number = int | float | str
NOTHING = msgspec.Raw(b"")


class _Struct(msgspec.Struct, rename="camel", gc=False):
    pass


class _AnyValue(_Struct):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: Number | None = None
    array_value: _Values | None = None
    kvlist_value: _KeyValues | None = None
    bytes_value: str | None = None


class _Values(_Struct):
    values: list[_AnyValue] = []


class _KeyValue(_Struct):
    key: str = ""
    value: _AnyValue | None = None


class _KeyValues(_Struct):
    values: list[_KeyValue] = []


class _Resource(_Struct):
    attributes: list[_KeyValue] = []


class _Scope(_Struct):
    name: str = ""


class _Quantile(_Struct):
    quantile: Number = 0.0
    value: Number = 0.0


class _Point(_Struct):
    """A data point of any kind."""

    attributes: msgspec.Raw = NOTHING
    start_time_unix_nano: int | str = 0
    time_unix_nano: int | str = 0
    as_double: Number | None = None
    as_int: int | str | None = None
    count: int | str = 0
    sum: Number | None = None
    quantile_values: list[_Quantile] = []
    flags: int = 0


class _Points(_Struct):
    """A gauge, sum, histogram or summary."""

    data_points: list[_Point] = []
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False


class _Metric(_Struct):
    name: str = ""
    gauge: _Points | None = None
    sum: _Points | None = None
    histogram: _Points | None = None
    exponential_histogram: _Points | None = None
    summary: _Points | None = None


class _ScopeMetrics(_Struct):
    scope: msgspec.Raw = NOTHING
    metrics: list[_Metric] = []


class _ResourceMetrics(_Struct):
    resource: msgspec.Raw = NOTHING
    scope_metrics: list[_ScopeMetrics] = []


class _MetricsData(_Struct):
    resource_metrics: list[_ResourceMetrics] | msgspec.UnsetType = msgspec.UNSET


_READ = msgspec.json.Decoder(_MetricsData)
_READ_RESOURCE = msgspec.json.Decoder(_Resource | None)
_READ_SCOPE = msgspec.json.Decoder(_Scope | None)
_READ_ATTRIBUTES = msgspec.json.Decoder(list[_KeyValue] | None)
_TEMPORALITIES = {f"AGGREGATION_TEMPORALITY_{each.name}": each for each in Temporality}
"""Some producers write the names of enumerations, which the specification forbids."""


def metrics(payload: bytes) -> Iterator[Metric]:
    """All metrics of a record. Raises msgspec.MsgspecError, ValueError or RecursionError if it is not OTLP."""
    for resource_metrics in _resource_metrics(payload):
        resource = bytes(resource_metrics.resource)
        shared, owner = _most_labels(resource), _owner(resource)
        for scope_metrics in resource_metrics.scope_metrics:
            scope = bytes(scope_metrics.scope)
            for metric in scope_metrics.metrics:
                yield from _metric(metric, (resource, scope), shared, owner)


def _resource_metrics(payload: bytes) -> list[_ResourceMetrics]:
    found = _READ.decode(payload).resource_metrics
    if found is msgspec.UNSET:
        if others := msgspec.json.decode(payload):
            raise msgspec.ValidationError(f"no `resourceMetrics`, but {next(iter(others))[:60]!r}")
        return []
    return found


def _owner(resource: bytes) -> Callable[[], dict[str, Any]]:
    """The resource's attributes, decoded once, and only if one of its series is new."""
    return cache(lambda: _pairs(((_READ_RESOURCE.decode(resource) if resource else None) or _Resource()).attributes))


def _metric(
    metric: _Metric, spelled: tuple[bytes, bytes], shared: int, owner: Callable[[], dict[str, Any]]
) -> Iterator[Metric]:
    _, scope = spelled

    def identity(attributes: bytes) -> Identity:
        origin = (_READ_SCOPE.decode(scope) if scope else None) or _Scope()
        own = (_READ_ATTRIBUTES.decode(attributes) if attributes else None) or []
        return Identity(owner(), origin.name, _pairs(own))

    def of(found: _Points, temporality: int, points: Iterator[Point]) -> Metric:
        return Metric(spelled, shared, metric.name, temporality, points, identity)

    if metric.gauge:
        points = (_number(each, is_total=False) for each in metric.gauge.data_points)
        yield of(metric.gauge, Temporality.UNSPECIFIED, points)
    if metric.sum:
        temporality = _temporality(metric.sum)
        is_total = metric.sum.is_monotonic or temporality == Temporality.DELTA
        yield of(metric.sum, temporality, (_number(each, is_total=is_total) for each in metric.sum.data_points))
    for histogram in (metric.histogram, metric.exponential_histogram):
        if histogram:
            yield of(histogram, _temporality(histogram), map(_distribution, histogram.data_points))
    if metric.summary:
        points = (_distribution(each, unwritten_sum=0.0) for each in metric.summary.data_points)
        yield of(metric.summary, Temporality.CUMULATIVE, points)


def _temporality(points: _Points) -> int:
    said = points.aggregation_temporality
    return said if isinstance(said, int) else _TEMPORALITIES.get(said, Temporality.UNSPECIFIED)


def _number(point: _Point, *, is_total: bool) -> Point:
    value = point.as_int if point.as_double is None else point.as_double
    return _with_time(point, [Part("", "", is_total, None if value is None else float(value))])


def _distribution(point: _Point, unwritten_sum: float | None = None) -> Point:
    """`unwritten_sum`: what it means that there is no sum; None if it then is not known."""
    parts = [Part("_count", "", True, float(point.count))]
    total = unwritten_sum if point.sum is None else point.sum
    if total is not None:
        parts.append(Part("_sum", "", True, float(total)))
    parts += [Part("", f"{float(each.quantile):g}", False, float(each.value)) for each in point.quantile_values]
    return _with_time(point, parts)


def _with_time(point: _Point, parts: list[Part]) -> Point:
    if point.flags & NO_RECORDED_VALUE:
        parts = [part._replace(value=None) for part in parts]
    attributes = bytes(point.attributes)
    own = _most_labels(attributes) if len(parts) > 1 else 0
    return Point(attributes, own, int(point.start_time_unix_nano), int(point.time_unix_nano), parts)


def _most_labels(attributes: bytes) -> int:
    """Upper bound: each with a value has at least three colons, after `key`, `value` and its type, and eight quotes."""
    return min(attributes.count(b":") // 3, attributes.count(b'"') // 8)


def _pairs(found: list[_KeyValue]) -> dict[str, Any]:
    return {each.key: _any(each.value) for each in found}


def _any(value: _AnyValue | None) -> Any:
    if value is None:
        return None
    if value.int_value is not None:
        return int(value.int_value)
    if value.double_value is not None:
        return float(value.double_value)
    if value.array_value is not None:
        return [_any(each) for each in value.array_value.values]
    if value.kvlist_value is not None:
        return _pairs(value.kvlist_value.values)
    if value.bytes_value is not None:
        return base64.b64decode(value.bytes_value)
    return value.string_value if value.bool_value is None else value.bool_value
