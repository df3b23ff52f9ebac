"""Reads Avro's binary encoding: for each type, a function from the position of a value to the value.

Only what a sample needs is read. Containers are read as an empty list or dict, except a map or record of labels, so the
memory that a record takes is bounded by its size in bytes.
"""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Callable
from typing import Any

from detector.decoders.avro_schema import Array, Enum, Fixed, Map, Primitive, Record, Type, Union
from detector.decoders.avro_skip import Skip, Skips, enough, items, number, sized_bytes, symbol, truth, union
from detector.decoders.timestamps import END_OF_TIME

Read = Callable[[bytes, int], tuple[Any, int]]
"""(bytes, position of a value) -> (value, position after it). Raises what `avro_skip` does."""

_DOUBLE = struct.Struct("<d").unpack_from
_FLOAT = struct.Struct("<f").unpack_from


class Reads:
    """Makes functions that read values."""

    def __init__(self, skips: Skips, per_second: float = 0.0) -> None:
        """Timestamps are read as floats, `per_second` of them to a second; with 0, as plain integers."""
        self._skips = skips
        self._per_second = per_second
        self._records: dict[Record, Read] = {}

    def of(self, kind: Type) -> Read:
        """The function for this type. It reads containers as an empty list or dict."""
        match kind:
            case Primitive():
                return self._primitive(kind)
            case Fixed(size=size, scale=scale, is_uuid=is_uuid):
                read = _fixed(size)
                if is_uuid:
                    return lambda data, at: (str(uuid.UUID(bytes=read(data, at)[0])), at + size)
                return read if scale is None else _decimal(read, scale)
            case Enum(symbols=symbols):
                return lambda data, at: symbol(data, at, symbols)
            case Array():
                return _instead([], self._skips.of(kind))
            case Map() | Record():
                return _instead({}, self._skips.of(kind))
            case Union(branches=branches):
                found: Read = union([self.of(branch) for branch in branches])
                return found

    def mapping(self, kind: Type) -> Read:
        """The same, except that a map or record is read, one level deep."""
        match kind:
            case Map(values=inner, least_bytes=least):
                return _map(self.of(inner), least)
            case Record():
                if kind not in self._records:
                    self._records[kind] = self._record(kind)
                return self._records[kind]
            case Union(branches=branches):
                found: Read = union([self.mapping(branch) for branch in branches])
                return found
            case _:
                return self.of(kind)

    def _record(self, record: Record) -> Read:
        """Leaves out nulls: a few bytes could hold any number of them."""
        parts = [(name, self.of(kind)) for name, kind in record.fields if not _is_null(kind)]
        return lambda data, at: _record(data, at, parts)

    def _primitive(self, kind: Primitive) -> Read:
        if kind.moment is not None and self._per_second:
            return _moment(*kind.moment, self._per_second)
        return _PRIMITIVE_READS[kind.name] if kind.scale is None else _decimal(sized_bytes, kind.scale)


def _is_null(kind: Type) -> bool:
    return isinstance(kind, Primitive) and kind.name == "null"


def _moment(factor: float, divisor: float, per_second: float) -> Read:
    def read(data: bytes, at: int) -> tuple[float, int]:
        value, at = number(data, at)
        seconds = value * factor / divisor
        # If units are told by magnitude, a time beyond the end of time would be taken for one in another unit.
        return seconds * per_second if seconds < END_OF_TIME else math.inf, at

    return read


def _string(data: bytes, at: int) -> tuple[str, int]:
    found, at = sized_bytes(data, at)
    return found.decode(), at


def _fixed(size: int) -> Callable[[bytes, int], tuple[bytes, int]]:
    def read(data: bytes, at: int) -> tuple[bytes, int]:
        enough(data, at, size)
        return data[at : at + size], at + size

    return read


def _decimal(read: Callable[[bytes, int], tuple[bytes, int]], scale: int) -> Read:
    divisor = 10**scale

    def decimal(data: bytes, at: int) -> tuple[float, int]:
        digits, at = read(data, at)
        if not digits:
            raise ValueError("a decimal without bytes")
        unscaled = int.from_bytes(digits, "big", signed=True)
        try:
            return unscaled / divisor, at
        except OverflowError:
            return float("inf") if unscaled > 0 else float("-inf"), at

    return decimal


_PRIMITIVE_READS: dict[str, Read] = {
    "null": lambda data, at: (None, at),
    "boolean": lambda data, at: (data[at] == 1, truth(data, at)),
    "int": number,
    "long": number,
    "float": lambda data, at: (_FLOAT(data, at)[0], at + 4),
    "double": lambda data, at: (_DOUBLE(data, at)[0], at + 8),
    "bytes": sized_bytes,
    "string": _string,
}


def _instead(placeholder: Any, skip: Skip) -> Read:
    return lambda data, at: (placeholder, skip(data, at))


def _map(value: Read, least: int) -> Read:
    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        found = {}
        count, at = items(data, at, least)
        while count:
            for _ in range(count):
                name, at = _string(data, at)
                found[name], at = value(data, at)
            count, at = items(data, at, least)
        return found, at

    return read


def _record(data: bytes, at: int, parts: list[tuple[str, Read]]) -> tuple[dict[str, Any], int]:
    found = {}
    for name, read in parts:
        found[name], at = read(data, at)
    return found, at
