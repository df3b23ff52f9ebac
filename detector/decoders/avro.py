"""Avro: each record is one sample, or an array of samples; the configuration says where their parts are.

A record begins with a zero and the id of its schema, as Confluent's serializers write it, and the schema is looked up
once (`schema_registry.py`). Or all records have the same schema and begin with the datum. The parts of a sample mean
what they mean in JSON. Timestamp types have their schema's unit; a null value is a gap. A record is decoded or rejected
as a whole.

Reasons of a `Reject`:
    tombstone        no value, as for a deleted key in a compacted topic
    empty            an array without elements
    oversize         larger than MAX_RECORD_BYTES, or more than MOST_SAMPLES samples
    framing          does not begin with a zero and the id of a schema
    schema_unknown   there is no schema with this id
    schema           the schema is not Avro, or not one that can be read
    syntax           does not match the schema: bytes are missing, left over, or invalid
    nesting          nested too deeply
    encoding         a name or label that is not UTF-8
    shape            neither a record nor an array of records
    identity         neither name nor labels, a name that is not a text, or both a name and a stream
    labels           not a map or record of texts and numbers, too long, or one of them is `__group__`
    timestamp        neither a number nor an RFC 3339 time
    value            missing, or not a number
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NoReturn

from detector.config.avro import AvroDecoder as Settings
from detector.config.fields import Fields
from detector.decoders import avro_schema, schema_registry
from detector.decoders.avro_plan import FIELDS, IDENTITY, MISSING, TIME, VALUE, Parts, Plan, Planner, Take
from detector.decoders.avro_skip import BROKEN
from detector.decoders.columns import Columns, checked
from detector.decoders.general import Times, number_of
from detector.decoders.identity import Kinds, key_of, remember
from detector.decoders.schema_registry import Lookup, OnWait, Schema, SchemaRegistry, in_no_file, read_file
from detector.decoders.timestamps import PER_SECOND
from detector.errors import DecodeError, SchemaUnavailable
from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex

KNOWN_SCHEMAS = 1_000
KNOWN_UNKNOWN = 4_096
UNKNOWN_SECONDS = 60.0
"""How long a registry is not asked again for an id that it does not know."""

_FRAME, _FRAME_BYTES = b"\x00", 5

log = logging.getLogger(__name__)
"""From the standard library, like that of `schema_registry`."""


class AvroDecoder:
    """Decoder of Avro records; see the module for what it reads."""

    def __init__(
        self,
        settings: Settings,
        kinds: Kinds,
        on_wait: OnWait,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_wait`: see `SchemaRegistry`. Raises SchemaUnavailable."""
        per_second = PER_SECOND.get(settings.timestamp_unit, 1.0)
        self._unit = settings.timestamp_unit
        self._kinds = kinds
        self._times = Times(per_second)
        self._fields = settings.fields
        self._planner = Planner(settings.fields, per_second)
        self._now = now
        self._plans: dict[bytes, Plan] = {}
        """By the first `_FRAME_BYTES` of a record."""
        self._unknown: dict[bytes, float] = {}
        """First bytes with an unknown schema id -> the time before which it is not looked up again."""
        self._only: Plan | None = None
        self._lookup: Lookup = in_no_file
        if settings.schema_file is not None:
            self._only = self._plan_of_file("schema_file", settings.schema_file)
        for number, path in settings.schemas.items():
            self._plans[_FRAME + number.to_bytes(4)] = self._plan_of_file(f"schemas.{number}", path)
        if settings.registry.urls:
            self._lookup = registry = SchemaRegistry(settings.registry, on_wait)
            registry.check()

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        """Also raises SchemaUnavailable, with nothing decided about the batch, and whatever `on_wait` raises."""
        columns = Columns()
        take, rows, values = self._taking(columns, series), columns.rows, columns.values
        plans, only = self._plans, self._only
        begin = _FRAME_BYTES if only is None else 0
        for row, payload in enumerate(batch.values):
            size = len(values)
            try:
                payload = checked(payload)
                columns.begin_record(len(payload))
                plan = only or plans.get(payload[:_FRAME_BYTES]) or self._learn(payload)
                end = plan(payload, begin, take)
                if end != len(payload):
                    raise DecodeError("syntax", f"{len(payload) - end} bytes left over after the schema's last field")
                columns.end_record()
                if len(values) == size:
                    raise DecodeError("empty", "an array without elements")
                rows += [row] * (len(values) - size)
            except DecodeError as exc:
                columns.cut(size)
                columns.reject(batch, row, exc)
            except BROKEN as exc:
                columns.cut(size)
                columns.reject(batch, row, _broken(exc))
        return columns.finish(batch, self._unit)

    def _taking(self, columns: Columns, series: SeriesIndex) -> Take:
        """A function that adds a sample to the columns, except its row. It raises DecodeError and `BROKEN`."""
        tags, times, values, gaps = columns.tags, columns.times, columns.values, columns.gaps
        tag_of, time_of = series.by_raw.get, self._times
        no_value = f"no value at {self._fields.value!r} (decoder.avro.fields.value)"

        def take(parts: Parts) -> None:
            moment, value = parts[TIME], parts[VALUE]
            if value.__class__ is not float:
                if value is MISSING:
                    raise DecodeError("value", no_value)
                value = number_of(value)
            if moment.__class__ is not float or moment != moment:
                moment = time_of(moment)
            spelling = tuple(parts[:TIME])
            tag = tag_of(spelling)
            if tag is None:
                tag = self._new(series, spelling)
            if value is None:
                gaps.append(len(values))
                value = float("nan")
            tags.append(tag)
            times.append(moment)
            values.append(value)

        return take

    def _new(self, series: SeriesIndex, spelling: tuple[object, ...]) -> int:
        spelled, readers = spelling[:IDENTITY], spelling[IDENTITY:]
        stream, name, labels = (
            read(raw, 0)[0] if callable(read) else None for raw, read in zip(spelled, readers, strict=True)
        )
        key = key_of(stream, name, labels)
        return remember(series, spelling, key, self._kinds(key))

    def _learn(self, payload: bytes) -> Plan:
        """The plan for a schema not seen before. Raises DecodeError, SchemaUnavailable."""
        frame = payload[:_FRAME_BYTES]
        if payload[:1] != _FRAME or len(frame) < _FRAME_BYTES:
            raise DecodeError("framing", f"begins with {frame.hex() or 'nothing'}, not with 00 and a schema's id")
        number = int.from_bytes(frame[1:])
        if self._unknown.get(frame, 0.0) > self._now():
            raise DecodeError("schema_unknown", f"schema id {number} was unknown at the last lookup")
        try:
            plan = self._plan_of(self._lookup(number), f"schema id {number}")
        except DecodeError as exc:
            if exc.reason == "schema_unknown":
                _make_room(self._unknown, KNOWN_UNKNOWN)
                self._unknown[frame] = self._now() + UNKNOWN_SECONDS
                raise
            plan = _refusing(f"schema id {number}: {exc.detail}")
        _make_room(self._plans, KNOWN_SCHEMAS)
        self._plans[frame] = plan
        return plan

    def _plan_of(self, schema: Schema, shown: str) -> Plan:
        """Raises DecodeError with the reason `schema`."""
        try:
            plan, found = self._planner.plan(avro_schema.parse(schema.text, schema.references))
        except RecursionError:
            raise DecodeError("schema", "nested too deeply") from None
        for part, key in FIELDS.items():
            path = getattr(self._fields, key)
            if part not in found and (part == VALUE or path != Fields.model_fields[key].default):
                log.warning("%s has no field at %r, which decoder.avro.fields.%s names", shown, path, key)
        if not any(part < IDENTITY for part in found):
            log.warning("%s has neither stream nor name nor labels where decoder.avro.fields looks for them", shown)
        return plan

    def _plan_of_file(self, key: str, path: str) -> Plan:
        try:
            return self._plan_of(read_file(key, path), f"decoder.avro.{key}")
        except DecodeError as exc:
            raise SchemaUnavailable(
                f"decoder.avro.{key}: {path} does not contain a usable schema: {exc.detail}"
            ) from exc


def problems(settings: Settings) -> list[str]:
    """What is wrong with the files that are named, one line each; logs fields that lead nowhere in a schema."""
    alone: list[dict[str, object]] = [{"schemas": {number: path}} for number, path in settings.schemas.items()]
    if settings.schema_file is not None:
        alone.append({"schema_file": settings.schema_file})
    found = schema_registry.problems(settings.registry)
    for schema in alone:
        try:
            AvroDecoder(Settings.model_validate({"fields": settings.fields, **schema}), Kinds(), lambda problem: None)
        except SchemaUnavailable as exc:
            found.append(str(exc))
    return found


def _make_room(known: dict[bytes, Any], most: int) -> None:
    if len(known) >= most:
        del known[next(iter(known))]


def _refusing(why: str) -> Plan:
    def refuse(data: bytes, at: int, take: Take) -> NoReturn:
        raise DecodeError("schema", why)

    return refuse


def _broken(exc: Exception) -> DecodeError:
    if isinstance(exc, UnicodeDecodeError):
        return DecodeError("encoding", f"byte {exc.start} of a text is not UTF-8")
    if isinstance(exc, RecursionError):
        return DecodeError("nesting", "nested too deeply")
    if isinstance(exc, IndexError):
        return DecodeError("syntax", "the bytes end too early, or select a branch that the schema does not have")
    return DecodeError("syntax", str(exc))
