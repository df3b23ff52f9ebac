"""JSON records: `{"name", "labels": {}, "timestamp", "value"}`, one object, an array of them, or one per line.

`stream` may replace `name`. A record is decoded or rejected as a whole, so that a dead letter can be replayed as it is.
The prefix that Confluent's serializers put before the JSON is skipped. A record that is one object of the usual form
costs one parser call and one look-up. The general way (`general.py`) reads everything else, and would read the usual
form to the same samples.

Reasons of a `Reject`:
    tombstone   no value, as for a deleted key in a compacted topic
    empty       white space, or an array without elements
    oversize    larger than MAX_RECORD_BYTES
    encoding    not UTF-8
    syntax      not JSON
    nesting     nested too deeply
    shape       JSON, but not objects
    identity    neither name nor labels, a name that is not a text, or both a name and a stream
    labels      not a flat object, too long, or one of them is `__group__`
    timestamp   neither a number nor an RFC 3339 time
    value       missing, or not a number
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from detector.config.decoder import JsonDecoder as Settings
from detector.config.fields import Fields
from detector.decoders.columns import MAX_RECORD_BYTES, Columns, checked
from detector.decoders.general import GeneralDecoder, Times, number_of
from detector.decoders.identity import Kinds, key_of, parse_json, remember
from detector.decoders.timestamps import PER_SECOND
from detector.errors import DecodeError
from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex

_FRAME, _FRAME_BYTES = b"\x00", 5
"""Confluent's serializers put a zero and the id of a schema before the JSON."""
_NOT_USUAL = (msgspec.MsgspecError, RecursionError, ValueError, DecodeError, TypeError)
"""The errors of the fast way, after which the general way reads the record or tells what is wrong with it."""


class JsonDecoder:
    """Decoder of JSON records; see the module for what it reads."""

    def __init__(self, settings: Settings, kinds: Kinds | None = None) -> None:
        self._unit = settings.timestamp_unit
        self._kinds = kinds or Kinds()
        self._times = Times(PER_SECOND.get(self._unit, 1.0))
        self._general = GeneralDecoder(settings.fields, self._times, self._kinds)
        usual = _usual_form(settings.fields)
        self._one = msgspec.json.Decoder(usual) if usual else None
        self._many = msgspec.json.Decoder(list[usual]) if usual else None  # type: ignore[valid-type]

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        columns = Columns()
        rows, tags, times, values = columns.rows, columns.tags, columns.times, columns.values
        parse: Callable[[Any], Any] = self._one.decode if self._one else _never
        tag_of = series.by_raw.get
        for row, payload in enumerate(batch.values):
            # Everything up to `continue` is paid for every sample: no unnecessary calls or objects.
            size = len(values)
            try:
                if len(payload) <= MAX_RECORD_BYTES:  # type: ignore[arg-type]  # a tombstone is a TypeError
                    sample = parse(payload)
                    if sample.value.__class__ is float and sample.timestamp.__class__ is float:
                        tag = tag_of((sample.stream, sample.name, bytes(sample.labels)))
                        if tag is not None:
                            rows.append(row)
                            tags.append(tag)
                            times.append(sample.timestamp)
                            values.append(sample.value)
                            continue
                    self._take(columns, row, [sample], series)
                    continue
            except _NOT_USUAL:
                columns.cut(size)
            try:
                self._record(columns, row, payload, series)
            except DecodeError as exc:
                columns.reject(batch, row, exc)
        return columns.finish(batch, self._unit)

    def _record(self, columns: Columns, row: int, payload: bytes | None, series: SeriesIndex) -> None:
        """Every sample of a record that is not one object of the usual form. Raises DecodeError."""
        payload = checked(payload)
        framed = payload[:1] == _FRAME and len(payload) > _FRAME_BYTES
        payload = payload[_FRAME_BYTES:] if framed else payload
        size = len(columns.values)
        try:
            found = self._usual(payload, single=framed)
            self._take(columns, row, found, series)
        except _NOT_USUAL:
            columns.cut(size)
            found = []
        if not found:
            columns.extend(row, self._general(payload, series))

    def _usual(self, payload: bytes, *, single: bool) -> list[Any]:
        """Objects of the usual form in an array or in lines; empty if the record is something else.

        `single`: a lone object has not been tried yet.
        """
        if self._one is None or self._many is None:
            return []
        if payload.lstrip()[:1] == b"[":
            return list(self._many.decode(payload))
        lines = sum(1 for line in payload.split(b"\n") if line.strip())
        found = self._one.decode_lines(payload) if lines > 1 or single else []
        return found if len(found) == lines else []

    def _take(self, columns: Columns, row: int, found: list[Any], series: SeriesIndex) -> None:
        """Add samples of the usual form; may raise one of _NOT_USUAL after adding some."""
        tag_of, number_at = series.by_raw.get, self._times
        for sample in found:
            time, value = sample.timestamp, sample.value
            if time.__class__ is not float:
                time = number_at(time)
            if value.__class__ is not float:
                value = number_of(value)
            spelling = (sample.stream, sample.name, bytes(sample.labels))
            tag = tag_of(spelling)
            if tag is None:
                stream, name, labels = spelling
                key = key_of(stream, name, parse_json(labels.decode()) if labels else None)
                tag = remember(series, spelling, key, self._kinds(key))
            if value is None:
                columns.gaps.append(len(columns.values))
                value = math.nan
            columns.rows.append(row)
            columns.tags.append(tag)
            columns.times.append(time)
            columns.values.append(value)


def _usual_form(fields: Fields) -> Any:
    """A type for the fast parser: top-level fields under the configured names. None where fields are nested."""
    names = fields.model_dump()
    if len(set(names.values())) < len(names) or any("." in name for name in names.values()):
        return None
    return msgspec.defstruct(
        "UsualForm",
        [
            ("value", float | str | bool | None),
            ("timestamp", float | str | None, None),
            ("name", str, ""),
            ("labels", msgspec.Raw, msgspec.Raw(b"")),
            ("stream", str, ""),
        ],
        rename=names,
        gc=False,
    )


def _never(payload: Any) -> Any:
    raise msgspec.DecodeError("no fast path for this format")
