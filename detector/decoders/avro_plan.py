"""How to read the samples of one Avro schema: where each part of a sample is, worked out once per schema.

A plan skips what no sample needs. Stream, name and labels are kept as raw bytes: bytes seen before, under the same
type, mean the same series and need not be decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from detector.config.fields import Fields
from detector.decoders.avro_read import Read, Reads
from detector.decoders.avro_schema import Array, Map, Primitive, Record, Type, Union
from detector.decoders.avro_skip import Skip, Skips, enough, items, over_nothing, sized, sized_bytes, union_for
from detector.errors import DecodeError

STREAM, NAME, LABELS = 0, 1, 2
IDENTITY = 3
"""Number of parts that identify a sample's series: their bytes come first, then the functions that read them."""
TIME, VALUE = 6, 7
FIELDS = {STREAM: "stream", NAME: "name", LABELS: "labels", TIME: "timestamp", VALUE: "value"}
"""Part -> the configuration key that says where it is."""
MISSING: Any = object()
"""A part that the record does not have."""

Parts = list[Any]
"""A sample: the bytes of its stream, name and labels; the functions that read these; its time; its value."""
Take = Callable[[Parts], None]
Plan = Callable[[bytes, int, Take], int]
"""(bytes, position of the datum, what takes each sample) -> position after it. Raises DecodeError and `BROKEN`."""
_Step = Callable[[bytes, int, Parts], int]


@dataclass
class _Wanted:
    """What is wanted of a value: the value itself, as these parts of a sample, and values nested in it."""

    parts: list[int] = field(default_factory=list)
    inner: dict[str, _Wanted] = field(default_factory=dict)


class Planner:
    """Makes plans for samples whose parts are at the same paths in every schema."""

    def __init__(self, fields: Fields, per_second: float) -> None:
        """Timestamps are read as numbers, `per_second` of them to a second."""
        self._per_second = per_second
        self._wanted = _Wanted()
        for part, key in FIELDS.items():
            wanted = self._wanted
            for name in getattr(fields, key).split("."):
                wanted = wanted.inner.setdefault(name, _Wanted())
            wanted.parts.append(part)

    def plan(self, kind: Type) -> tuple[Plan, set[int]]:
        """(plan for data of this type, a record or an array of records; the parts whose paths lead somewhere)."""
        skips = Skips()
        steps = _Steps(skips, Reads(skips), Reads(skips, self._per_second))
        return self._several(kind, steps), steps.found

    def _several(self, kind: Type, steps: _Steps) -> Plan:
        match kind:
            case Array(items=inner, least_bytes=least):
                return _array(self._one(inner, steps), least)
            case Union(branches=branches):
                found: Plan = union_for([self._several(branch, steps) for branch in branches])
                return found
            case _:
                return self._one(kind, steps)

    def _one(self, kind: Type, steps: _Steps) -> Plan:
        match kind:
            case Record():
                return _record(steps.inside(kind, self._wanted.inner))
            case Union(branches=branches):
                found: Plan = union_for([self._one(branch, steps) for branch in branches])
                return found
            case _:
                return _no_record


def _record(step: _Step) -> Plan:
    def plan(data: bytes, at: int, take: Take) -> int:
        parts: Parts = [None, None, None, None, None, None, None, MISSING]
        at = step(data, at, parts)
        enough(data, at, 0)
        take(parts)
        return at

    return plan


def _array(item: Plan, least: int) -> Plan:
    def plan(data: bytes, at: int, take: Take) -> int:
        count, at = items(data, at, least)
        while count:
            for _ in range(count):
                at = item(data, at, take)
            count, at = items(data, at, least)
        return at

    return plan


def _no_record(data: bytes, at: int, take: Take) -> int:
    raise DecodeError("shape", "neither a record nor an array of records")


class _Steps:
    """Makes functions that step over a value and note the parts of a sample in it."""

    def __init__(self, skips: Skips, reads: Reads, times: Reads) -> None:
        self._skips = skips
        self._reads = reads
        self._times = times
        self.found: set[int] = set()
        """Parts of a sample that the type may have."""
        self._records: dict[tuple[Record, int], _Step] = {}
        """By record and what is wanted in it: many fields and branches may name the same record."""

    def of(self, kind: Type, wanted: _Wanted) -> _Step:
        steps = [self._note(kind, part) for part in wanted.parts]
        if wanted.inner:
            steps.append(self.inside(kind, wanted.inner))
        return steps[0] if len(steps) == 1 else _all_at_one_place(steps)

    def inside(self, kind: Type, inner: dict[str, _Wanted]) -> _Step:
        """A step that notes what is under these names, if the value has names."""
        match kind:
            case Record():
                if (kind, id(inner)) not in self._records:
                    self._records[kind, id(inner)] = self._record(kind, inner)
                return self._records[kind, id(inner)]
            case Map(values=values, least_bytes=least):
                named = {name.encode(): self.of(values, wanted) for name, wanted in inner.items()}
                return _entries(named, _over(self._skips.of(values)), least)
            case Union(branches=branches):
                found: _Step = union_for([self.inside(branch, inner) for branch in branches])
                return found
            case _:
                return _over(self._skips.of(kind))

    def _record(self, record: Record, inner: dict[str, _Wanted]) -> _Step:
        steps = []
        for name, kind in record.fields:
            if name in inner:
                steps.append(self.of(kind, inner[name]))
            elif (skip := self._skips.of(kind)) is not over_nothing:
                steps.append(_over(skip))
        return _one_after_the_other(steps)

    def _note(self, kind: Type, part: int) -> _Step:
        self.found.add(part)
        if part not in (TIME, VALUE):
            look = self._reads.mapping(kind) if part == LABELS else self._reads.of(kind)
            if isinstance(kind, Primitive) and kind.name == "string":
                return _note_text(part, look)
            return _note_bytes(part, self._skips.of(kind), look)
        if isinstance(kind, Union):
            found: _Step = union_for([self._note(branch, part) for branch in kind.branches])
            return found
        return _note_value(part, (self._times if part == TIME else self._reads).of(kind))


def _note_bytes(part: int, skip: Skip, look: Read) -> _Step:
    reader = part + IDENTITY

    def note(data: bytes, at: int, parts: Parts) -> int:
        behind = skip(data, at)
        parts[part] = data[at:behind]
        parts[reader] = look
        return behind

    return note


def _note_text(part: int, look: Read) -> _Step:
    """The same for a text, but faster."""
    reader = part + IDENTITY

    def note(data: bytes, at: int, parts: Parts) -> int:
        size = data[at]
        behind = at + 1 + (size >> 1) if size < 0x80 and not size & 1 else sized(data, at)
        parts[part] = data[at:behind]
        parts[reader] = look
        return behind

    return note


def _note_value(part: int, read: Read) -> _Step:
    def note(data: bytes, at: int, parts: Parts) -> int:
        parts[part], at = read(data, at)
        return at

    return note


def _over(skip: Skip) -> _Step:
    return lambda data, at, parts: skip(data, at)


def _one_after_the_other(steps: list[_Step]) -> _Step:
    def walk(data: bytes, at: int, parts: Parts) -> int:
        for step in steps:
            at = step(data, at, parts)
        return at

    return walk


def _all_at_one_place(steps: list[_Step]) -> _Step:
    def walk(data: bytes, at: int, parts: Parts) -> int:
        return max([step(data, at, parts) for step in steps])

    return walk


def _entries(named: dict[bytes, _Step], other: _Step, least: int) -> _Step:
    """A step over a map."""

    def walk(data: bytes, at: int, parts: Parts) -> int:
        count, at = items(data, at, least)
        while count:
            for _ in range(count):
                name, at = sized_bytes(data, at)
                at = named.get(name, other)(data, at, parts)
            count, at = items(data, at, least)
        return at

    return walk
