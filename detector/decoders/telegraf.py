"""Telegraf's JSON: `{"name", "tags": {}, "fields": {}, "timestamp"}`, one series per field.

Also its batches (`{"metrics": [...]}`, an array, or one metric per line) and its CloudEvents (`{"data": {...}}`). A
series is named `name_field` and labelled with the tags; metrics of Telegraf's Prometheus inputs are named by the field
alone. Booleans are 0 and 1; texts are not samples. Times are read by magnitude: `json_timestamp_units` may be 1s,
1ms, 1us or 1ns.

The format carries no types. Only names that end in `_total` are counters and, in metrics of the Prometheus inputs,
those that end in `_sum`, `_count` and `_bucket`; `decoder.counters` names others.

Reasons of a `Reject`: `tombstone`, `empty`, `oversize`, `encoding`, `syntax`, `nesting`, `shape` (JSON, but no
such metric), `identity`, `labels`, `timestamp`, `no_numbers` (only texts).
"""

from __future__ import annotations

from typing import Any

import msgspec

from detector.decoders.columns import Columns, decode_records
from detector.decoders.general import Times, first_of
from detector.decoders.identity import Kinds, key_of, most_labels, raw_labels, remember
from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex

PROMETHEUS = "prometheus"
"""The name that Telegraf's Prometheus inputs give to everything; its own Prometheus outputs leave it out, too."""


class _Metric(msgspec.Struct, gc=False):
    name: str
    fields: dict[str, float | bool | str | None]
    timestamp: float | str | None = None
    tags: msgspec.Raw = msgspec.Raw(b"")


class _Wrapped(msgspec.Struct, gc=False):
    """A batch, or a CloudEvent."""

    metrics: list[_Metric] = []
    data: _Metric | None = None


_ONE = msgspec.json.Decoder(_Metric)
_SEVERAL = msgspec.json.Decoder(list[_Metric])
_WRAPPED = msgspec.json.Decoder(_Wrapped)


class TelegrafDecoder:
    """Decoder of Telegraf's `json` and `cloudevents` formats."""

    def __init__(self, counters: list[str], gauges: list[str]) -> None:
        self._kinds = Kinds(counters, gauges, suffixes=("_total",))
        self._prometheus_kinds = Kinds(counters, gauges)
        self._times = Times(per_second=1.0)

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        def read(columns: Columns, row: int, payload: bytes) -> None:
            for metric in first_of(_WAYS, payload, "metric of Telegraf"):
                self._take(columns, row, metric, series)

        return decode_records(batch, "auto", read)

    def _take(self, columns: Columns, row: int, metric: _Metric, series: SeriesIndex) -> None:
        time, name, tags = self._times(metric.timestamp), metric.name, bytes(metric.tags)
        if len(metric.fields) > 1:
            columns.share(most_labels(tags), len(metric.fields))
        labels: Any = None
        for field, value in metric.fields.items():
            if value.__class__ is str:
                continue
            tag = series.by_raw.get((tags, name, field))
            if tag is None:
                labels = raw_labels(tags) if labels is None and tags else labels
                tag = self._new(series, (tags, name, field), labels)
            if value is None:
                columns.gaps.append(len(columns.values))
                value = float("nan")
            columns.rows.append(row)
            columns.tags.append(tag)
            columns.times.append(time)
            columns.values.append(value)  # type: ignore[arg-type]  # True is 1

    def _new(self, series: SeriesIndex, spelling: tuple[bytes, str, str], labels: Any) -> int:
        _, name, field = spelling
        key = key_of(None, prefixed(name, field), labels)
        kinds = self._prometheus_kinds if name == PROMETHEUS else self._kinds
        return remember(series, spelling, key, kinds(key))


def prefixed(name: str, field: str) -> str:
    """The name of a series.

    >>> prefixed("cpu", "usage_idle"), prefixed("prometheus", "up")
    ('cpu_usage_idle', 'up')
    """
    return field if name == PROMETHEUS else "_".join(filter(None, (name, field)))


def _one(payload: bytes) -> list[_Metric]:
    return [_ONE.decode(payload)]


def _wrapped(payload: bytes) -> list[_Metric]:
    found = _WRAPPED.decode(payload)
    return [*found.metrics, found.data] if found.data else found.metrics


_WAYS = (_one, _wrapped, _SEVERAL.decode, _ONE.decode_lines)
