"""Metricbeat's JSON, as its Kafka output writes it: nested events, `{"@timestamp", "host": {}, "system": {}, ...}`.

A record is one event, an array of events, or one event per line. A number, or a boolean as 0 or 1, is a sample of the
series named by its dotted path, such as `system.network.in.bytes`; `metricbeat_fields` lists the exceptions. Labels are
the fields that identify a series: host and service, names and ids, and what modules tell their series apart by. Other
texts, nulls and arrays are ignored.

Metricbeat does not say what is a counter. Counters are known fields, those that end in `_total` and, in its Prometheus
modules, those that end in `_sum`, `_count` and `_bucket`; `decoder.counters` names others, `decoder.gauges` exceptions.

Reasons of a `Reject`:
    tombstone   no value
    empty       white space, or an array without elements
    oversize    larger than MAX_RECORD_BYTES, or more than MOST_SAMPLES samples
    encoding    not UTF-8
    syntax      not JSON
    nesting     nested too deeply
    shape       JSON, but not a Metricbeat event: it has no `metricset`
    identity    a number under an empty name, without labels
    labels      labels or the path of a field too long, or too many labels of all samples together
    timestamp   neither a number nor an RFC 3339 time
    no_numbers  no sample, as in an event that reports a failure
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from detector.config.decoder import MetricbeatDecoder as Settings
from detector.decoders.columns import Columns, decode_records
from detector.decoders.general import NOT_PARSED, Times, first_of, misshapen
from detector.decoders.identity import Kinds, key_of, remember
from detector.decoders.metricbeat_fields import COUNTERS, Fields, Label
from detector.errors import DecodeError
from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex

_WHAT = "event of Metricbeat"
_TIME, _METRICSET = "@timestamp", "metricset"
_PROMETHEUS = ("prometheus.", "openmetrics.")
_MOST_CONSTANT_BYTES = 32 << 20
_ENTRY_BYTES = 512
"""Memory that an entry takes in addition to its JSON."""

Event = dict[str, msgspec.Raw]

_ONE = msgspec.json.Decoder(Event)
_SEVERAL = msgspec.json.Decoder(list[Event])
_PARSE = msgspec.json.Decoder().decode


class MetricbeatDecoder:
    """Decoder of Metricbeat events."""

    def __init__(self, settings: Settings, counters: list[str], gauges: list[str]) -> None:
        known = [*COUNTERS, *counters]
        self._kinds = Kinds(known, gauges, suffixes=("_total",))
        self._prometheus_kinds = Kinds(known, gauges)
        self._times = Times(per_second=1.0)
        self._fields = Fields(settings.labels, settings.ignore)
        self._constant: dict[tuple[str, bytes], list[Label]] = {}
        """(name, JSON) of a field without values -> its labels: a host's description is long and does not change."""
        self._constant_bytes = 0

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        def read(columns: Columns, row: int, payload: bytes) -> None:
            try:
                for event in first_of(_WAYS, payload, _WHAT):
                    self._take(columns, row, event, series)
            except NOT_PARSED as exc:
                raise misshapen(payload, _WHAT, exc) from exc

        return decode_records(batch, "s", read)

    def _take(self, columns: Columns, row: int, event: Event, series: SeriesIndex) -> None:
        """Raises DecodeError, or one of NOT_PARSED."""
        if _METRICSET not in event:
            raise DecodeError("shape", f"no {_WHAT}: it has no `{_METRICSET}`")
        time = self._times(_PARSE(event.pop(_TIME, b"null")))
        labels: list[Label] = []
        values: list[tuple[str, float]] = []
        for name, raw in event.items():
            content = bytes(raw)
            constant = self._constant.get((name, content))
            if constant is None:
                self._read(name, content, labels, values)
            else:
                labels += constant
        columns.share(len(labels), len(values))
        identity = msgspec.json.encode(labels)
        needed: Mapping[str, str | float] | None = None
        for path, value in values:
            tag = series.by_raw.get((identity, path))
            if tag is None:
                needed = self._fields.identity(labels) if needed is None else needed
                tag = self._new(series, identity, needed, path)
            columns.tags.append(tag)
            columns.rows.append(row)
            columns.times.append(time)
            columns.values.append(value)

    def _read(self, name: str, content: bytes, labels: list[Label], values: list[tuple[str, float]]) -> None:
        found: list[Label] = []
        size = len(values)
        self._fields.read(name, _PARSE(content), found, values)
        labels += found
        if len(values) == size:
            self._constant_bytes += len(content) + _ENTRY_BYTES
            if self._constant_bytes > _MOST_CONSTANT_BYTES:
                self._constant.clear()
                self._constant_bytes = len(content)
            self._constant[name, content] = found

    def _new(self, series: SeriesIndex, identity: bytes, labels: Mapping[str, str | float], path: str) -> int:
        key = key_of(None, path, labels)
        kinds = self._prometheus_kinds if path.startswith(_PROMETHEUS) else self._kinds
        return remember(series, (identity, path), key, kinds(key))


def _one(payload: bytes) -> list[Event]:
    return [_ONE.decode(payload)]


_WAYS = (_one, _SEVERAL.decode, _ONE.decode_lines)
