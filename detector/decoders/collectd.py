"""collectd's JSON (`write_kafka` or `write_http` with `Format JSON`): an array of value lists, one series per value.

A series is named as by collectd's own Prometheus output, without its prefix: plugin, type if it differs, data source
unless it is `value`, joined by `_`. Its labels are `host`, `plugin_instance` and `type_instance`. A null is a gap.

With `StoreRates true`, collectd's default, values of the types `derive`, `counter` and `absolute` are already rates.
The record does not say so: `decoder.collectd.store_rates` must match `StoreRates`. Without it, `derive` and `counter`
are counters, and an `absolute` value, which counts since the previous read, is divided by the interval.

Reasons of a `Reject`: `tombstone`, `empty`, `oversize`, `encoding`, `syntax`, `nesting`, `shape` (JSON, but no
value lists), `identity`, `labels`, `no_numbers` (lists without values).
"""

from __future__ import annotations

import math

import msgspec

from detector.config.decoder import CollectdDecoder as Settings
from detector.decoders.columns import Columns, decode_records
from detector.decoders.general import NOT_PARSED, documents
from detector.decoders.identity import remember
from detector.errors import DecodeError
from detector.records import Kind, RawBatch, SampleBatch
from detector.series import SeriesIndex, SeriesKey


class _ValueList(msgspec.Struct, gc=False):
    values: list[float | None]
    dstypes: list[str]
    dsnames: list[str]
    time: float
    host: str
    plugin: str
    type: str
    interval: float = 0.0
    plugin_instance: str = ""
    type_instance: str = ""


_PARSE = msgspec.json.Decoder(list[_ValueList]).decode
_COUNTERS = ("derive", "counter")


class CollectdDecoder:
    """Decoder of collectd's JSON."""

    def __init__(self, settings: Settings) -> None:
        self._store_rates = settings.store_rates

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        def read(columns: Columns, row: int, payload: bytes) -> None:
            for found in _value_lists(payload):
                self._take(columns, row, found, series)

        return decode_records(batch, "s", read)

    def _take(self, columns: Columns, row: int, found: _ValueList, series: SeriesIndex) -> None:
        if not len(found.values) == len(found.dsnames) == len(found.dstypes):
            raise DecodeError("shape", "values, dsnames and dstypes differ in length")
        place = found.host, found.plugin, found.plugin_instance, found.type, found.type_instance
        for value, source, kind in zip(found.values, found.dsnames, found.dstypes, strict=True):
            tag = series.by_raw.get((place, source, kind))
            if tag is None:
                tag = self._new(series, place, source, kind)
            if value is None:
                columns.gaps.append(len(columns.values))
                value = math.nan
            elif kind == "absolute" and not self._store_rates:
                value = value / found.interval if found.interval > 0 else math.nan
            columns.rows.append(row)
            columns.tags.append(tag)
            columns.times.append(found.time)
            columns.values.append(value)

    def _new(self, series: SeriesIndex, place: tuple[str, str, str, str, str], source: str, kind: str) -> int:
        host, plugin, plugin_instance, type_, type_instance = place
        parts = (plugin, type_ if type_ != plugin else "", source if source != "value" else "")
        labels = {"host": host, "plugin_instance": plugin_instance, "type_instance": type_instance}
        counts = kind in _COUNTERS and not self._store_rates
        key = SeriesKey.of("_".join(filter(None, parts)), labels)
        return remember(series, (place, source, kind), key, Kind.COUNTER if counts else Kind.GAUGE)


def _value_lists(payload: bytes) -> list[_ValueList]:
    """Raises DecodeError."""
    try:
        found = _PARSE(payload)
    except NOT_PARSED as exc:
        documents(payload)  # raises what is wrong, unless the JSON is valid
        raise DecodeError("shape", str(exc)) from exc
    if not found:
        raise DecodeError("empty", "an array without elements")
    return found
