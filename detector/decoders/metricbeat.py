"""Metricbeat's JSON, as its Kafka output writes it: an event, nested, `{"@timestamp", "host": {}, "system": {}, ...}`.

A number, or a boolean as 0 or 1, is a sample of the series of its dotted path, such as `system.network.in.bytes`;
`metricbeat_fields` says which are none. The series' labels are what identifies: host and service, what is called a name
or an id, and what modules tell their series apart by. Texts that are no labels, null and arrays are passed over. One
event a record, an array of them, or one a line.

Metricbeat does not say what is a counter. Known fields are, those that end in `_total`, and of its Prometheus modules
also those that end in `_sum`, `_count` and `_bucket`; `decoder.counters` names others, `decoder.gauges` exceptions.

Reasons of a `Reject`:
    tombstone   no bytes at all
    empty       white space, or an array without elements
    oversize    larger than MAX_RECORD_BYTES
    encoding    not UTF-8
    syntax      no JSON
    nesting     nested too deeply
    shape       JSON, but no event of Metricbeat: it has no `metricset`
    identity    a number under an empty name, and no label
    labels      too long, or the path of a field is, or too many of all samples together
    timestamp   no RFC 3339 time
    no_numbers  no sample in it, as in an event that says what failed
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
"""What an entry takes beside its JSON."""

Event = dict[str, msgspec.Raw]

_ONE = msgspec.json.Decoder(Event)
_SEVERAL = msgspec.json.Decoder(list[Event])
_PARSE = msgspec.json.Decoder().decode


class MetricbeatDecoder:
    """Decoder of Metricbeat's events."""

    def __init__(self, settings: Settings, counters: list[str], gauges: list[str]) -> None:
        known = [*COUNTERS, *counters]
        self._kinds = Kinds(known, gauges, suffixes=("_total",))
        self._prometheus_kinds = Kinds(known, gauges)
        self._times = Times(per_second=1.0)
        self._fields = Fields(settings.labels, settings.ignore)
        self._constant: dict[tuple[str, bytes], list[Label]] = {}
        """(name, JSON) of a field without values -> its labels: what is said of a host is long, and does not change."""
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
