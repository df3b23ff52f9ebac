"""Vector's JSON: a metric event, `{"name", "namespace", "tags": {}, "timestamp", "kind", "counter": {"value"}}`.

Both of its codecs are read: `json`, and `native_json`, which wraps the event in `{"metric": {...}}`. A record is one
event, an array of them, or one per line. A series is named and labelled as by Vector's own Prometheus sinks:
`namespace_name`, and for a tag with several values the last that is not null.

Absolute counters, and counts and sums of absolute distributions, histograms, summaries and sketches, are counters.
Incremental ones count since the previous event: they are divided by the event's `interval_ms` or, without one, taken as
they are. The value of a set is its size. Buckets and bins are ignored. Vector writes numbers that are not finite as
null, which is a gap. `decoder.counters` and `decoder.gauges` do not apply: the format says what is a counter.

Reasons of a `Reject`:
    tombstone    no value
    empty        white space, or an array without elements
    oversize     larger than MAX_RECORD_BYTES, or more than MOST_SAMPLES samples
    encoding     not UTF-8
    syntax       not JSON
    nesting      nested too deeply
    shape        JSON, but not a metric event: a log event, for example, or a metric without a value
    incremental  a change of a gauge, without the value that it changes
    identity     neither a name nor a tag
    labels       invalid tags, or too long, or too many of all samples together
    timestamp    not an RFC 3339 time
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec

from detector.decoders.columns import Columns, decode_records
from detector.decoders.general import Times, first_of
from detector.decoders.identity import key_of, most_labels, raw_labels, remember
from detector.errors import DecodeError
from detector.records import Kind, RawBatch, SampleBatch
from detector.series import SeriesIndex

_MS_PER_SECOND = 1e3
_WRAPPED = b'{"metric"'
"""How `native_json` begins."""

Count = Annotated[float, msgspec.Meta(ge=0)]
Number = tuple[str, str, bool, float | None]
"""(suffix of the metric's name, quantile or empty, whether it adds up over time, value or None for a gap)"""
Spelling = tuple[bytes, str | None, str, str, str, Kind]
"""(tags, namespace, name, suffix, quantile, kind) of a series."""


class _Struct(msgspec.Struct, gc=False):
    pass


class _Value(_Struct):
    value: float | None


class _Set(_Struct):
    values: list[str]


class _Observed(_Struct):
    value: float | None
    rate: Count


class _Distribution(_Struct):
    samples: list[_Observed]


class _Quantile(_Struct):
    quantile: float
    value: float | None


class _Aggregated(_Struct):
    """A histogram, a summary, or the content of a sketch."""

    count: Count
    sum: float | None
    quantiles: list[_Quantile] = []


class _Sketches(_Struct):
    datadog: _Aggregated = msgspec.field(name="AgentDDSketch")


class _Sketch(_Struct):
    sketch: _Sketches


class _Metric(_Struct):
    """Has exactly one of the values."""

    name: str
    kind: Literal["absolute", "incremental"]
    namespace: str | None = None
    tags: msgspec.Raw = msgspec.Raw(b"")
    timestamp: str | None = None
    interval_ms: Count | None = None
    counter: _Value | None = None
    gauge: _Value | None = None
    set: _Set | None = None
    distribution: _Distribution | None = None
    aggregated_histogram: _Aggregated | None = None
    aggregated_summary: _Aggregated | None = None
    sketch: _Sketch | None = None


class _Native(_Struct):
    metric: _Metric


_ONE, _NATIVE = msgspec.json.Decoder(_Metric), msgspec.json.Decoder(_Native)
_SEVERAL, _NATIVES = msgspec.json.Decoder(list[_Metric]), msgspec.json.Decoder(list[_Native])


class VectorDecoder:
    """Decoder of Vector's `json` and `native_json` codecs."""

    def __init__(self) -> None:
        self._times = Times(per_second=1.0)

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        def read(columns: Columns, row: int, payload: bytes) -> None:
            for metric in first_of(_WAYS, payload, "metric event"):
                self._take(columns, row, metric, series)

        return decode_records(batch, "s", read)

    def _take(self, columns: Columns, row: int, metric: _Metric, series: SeriesIndex) -> None:
        time, tags = self._times(metric.timestamp), bytes(metric.tags)
        is_delta = metric.kind == "incremental"
        numbers = _numbers(metric)
        if len(numbers) > 1:
            columns.share(most_labels(tags), len(numbers))
        labels: dict[str, Any] | None = None
        for suffix, quantile, is_total, value in numbers:
            kind = Kind.COUNTER if is_total and not is_delta else Kind.GAUGE
            if value is None:
                columns.gaps.append(len(columns.values))
                value = math.nan
            elif is_total and is_delta and metric.interval_ms:
                value = value * _MS_PER_SECOND / metric.interval_ms
            spelling = tags, metric.namespace, metric.name, suffix, quantile, kind
            tag = series.by_raw.get(spelling)
            if tag is None:
                labels = _labels(tags) if labels is None else labels
                tag = _new(series, spelling, labels)
            columns.tags.append(tag)
            columns.rows.append(row)
            columns.times.append(time)
            columns.values.append(value)


def _numbers(metric: _Metric) -> list[Number]:
    """The numbers of an event. Raises DecodeError."""
    counter, gauge, sketch = metric.counter, metric.gauge, metric.sketch
    histogram, summary = metric.aggregated_histogram, metric.aggregated_summary
    found = (counter, gauge, metric.set, metric.distribution, histogram, summary, sketch)
    if len(found) - found.count(None) > 1:
        raise DecodeError("shape", "a metric with several values")
    if counter is not None:
        return [("", "", True, counter.value)]
    if gauge is not None:
        if metric.kind == "incremental":
            raise DecodeError("incremental", "a change of a gauge, without the value that it changes")
        return [("", "", False, gauge.value)]
    if metric.set is not None:
        return [("", "", False, float(len(metric.set.values)))]
    if metric.distribution is not None:
        samples = metric.distribution.samples
        return [("_count", "", True, sum(each.rate for each in samples)), ("_sum", "", True, _sum(samples))]
    totals = histogram or summary if sketch is None else sketch.sketch.datadog
    if totals is None:
        raise DecodeError("shape", "a metric without a value")
    numbers: list[Number] = [("_count", "", True, totals.count), ("_sum", "", True, totals.sum)]
    return numbers + [("", f"{each.quantile:g}", False, each.value) for each in totals.quantiles]


def _sum(samples: list[_Observed]) -> float | None:
    """The sum of the observations; None if one of them is not finite."""
    total = 0.0
    for each in samples:
        if each.value is None:
            return None
        total += each.value * each.rate
    return total


def _labels(tags: bytes) -> dict[str, Any]:
    """Raises DecodeError."""
    found = raw_labels(tags) if tags else {}
    if not isinstance(found, dict | None):
        raise DecodeError("labels", f"the tags are a {type(found).__name__}")
    return {tag: _single(value) for tag, value in (found or {}).items()}


def _new(series: SeriesIndex, spelling: Spelling, labels: dict[str, Any]) -> int:
    _, namespace, name, suffix, quantile, kind = spelling
    full = "_".join(filter(None, (namespace, name)))
    key = key_of(None, full + suffix, labels | {"quantile": quantile} if quantile else labels)
    return remember(series, spelling, key, kind)


def _single(value: Any) -> Any:
    """The last of a tag's values that is not null.

    >>> _single("a"), _single(["a", "b", None]), _single([])
    ('a', 'b', None)
    """
    return next((each for each in reversed(value) if each is not None), None) if isinstance(value, list) else value


def _one(payload: bytes) -> list[_Metric]:
    return [_NATIVE.decode(payload).metric if payload.startswith(_WRAPPED) else _ONE.decode(payload)]


def _natives(payload: bytes) -> list[_Metric]:
    return [each.metric for each in _NATIVES.decode(payload)]


def _native_lines(payload: bytes) -> list[_Metric]:
    return [each.metric for each in _NATIVE.decode_lines(payload)]


_WAYS = (_one, _SEVERAL.decode, _ONE.decode_lines, _natives, _native_lines)
