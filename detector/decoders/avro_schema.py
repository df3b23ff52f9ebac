"""Avro schemas: parses their JSON into types with all names resolved.

Follows the Avro specification 1.12. Attributes that do not affect the bytes (defaults, aliases, documentation) are
ignored. So are logical types that are unknown or do not fit their type, as the specification demands. Schemas are not
trusted: their depth and number of types are bounded, and an array whose items take no bytes is rejected, because a few
bytes could promise any number of items.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from detector.errors import DecodeError

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_MOST_TYPES = 10_000
_DEEPEST = 100
_LARGEST_SCALE = 1_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_PER_SECOND = {"millis": 1e3, "micros": 1e6, "nanos": 1e9}
_DAYS = (86_400.0, 1.0)


@dataclass(eq=False)
class Primitive:
    """A type that holds no other."""

    name: str
    moment: tuple[float, float] | None = None
    """(factor, divisor) of a number that is a timestamp: seconds since 1970 are number * factor / divisor."""
    scale: int | None = None
    """Of bytes that hold a decimal: the number of digits after the point."""


@dataclass(eq=False)
class Fixed:
    """A fixed number of bytes."""

    size: int
    scale: int | None = None
    is_uuid: bool = False


@dataclass(eq=False)
class Enum:
    """One of several words."""

    symbols: list[str]


@dataclass(eq=False)
class Array:
    """Any number of values of one type."""

    items: Type
    least_bytes: int = 0
    """Smallest size of an item."""


@dataclass(eq=False)
class Map:
    """Any number of values of one type, each under a text."""

    values: Type
    least_bytes: int = 1
    """Smallest size of a value and its text."""


@dataclass(eq=False)
class Union:
    """One of several types."""

    branches: list[Type]


@dataclass(eq=False)
class Record:
    """Named fields in their order. It may contain itself, through a union, array or map."""

    name: str
    fields: list[tuple[str, Type]] = field(default_factory=list)
    least_bytes: int = 0
    """Smallest size of all fields together; if it is 0, they never take any bytes."""


Type = Primitive | Fixed | Enum | Array | Map | Union | Record


def parse(text: str, references: Iterable[str] = ()) -> Type:
    """The type that a schema describes. It may name types from `references`, which come in an order that resolves them.

    Raises DecodeError with the reason `schema`.

    >>> parse('["null", {"type": "long", "logicalType": "timestamp-millis"}]').branches[1].moment
    (1.0, 1000.0)
    """
    reading = _Reading()
    try:
        for reference in references:
            reading.type(_json(reference))
        found = reading.type(_json(text))
        known: dict[Record, int] = {}
        for kind in reading.containers:
            _measure(kind, known)
    except RecursionError:
        raise _wrong("nested too deeply") from None
    return found


def _measure(kind: Array | Map | Record, known: dict[Record, int]) -> None:
    match kind:
        case Array(items=inner):
            kind.least_bytes = _least(inner, known)
            if not kind.least_bytes:
                raise _wrong("an array whose items take no bytes")
        case Map(values=inner):
            kind.least_bytes = 1 + _least(inner, known)
        case Record():
            kind.least_bytes = _least(kind, known)


def _least(kind: Type, known: dict[Record, int]) -> int:
    """Smallest size of a value, in bytes."""
    match kind:
        case Primitive(name="null"):
            return 0
        case Primitive(name="float"):
            return 4
        case Primitive(name="double"):
            return 8
        case Fixed(size=size):
            return size
        case Record(fields=fields):
            if kind not in known:
                known[kind] = 1  # for a record that contains itself unconditionally, so has no end
                known[kind] = sum(_least(inner, known) for _, inner in fields)
            return known[kind]
        case _:
            return 1


class _Reading:
    """The types known by name so far, while schemas are parsed."""

    def __init__(self) -> None:
        self.containers: list[Array | Map | Record] = []
        self._named: dict[str, Type] = {}
        self._types = 0

    def type(self, given: Any, space: str = "", depth: int = 0) -> Type:
        """Parse a type. Names without a dot belong to the namespace `space`."""
        self._types += 1
        if self._types > _MOST_TYPES or depth > _DEEPEST:
            raise _wrong(f"more than {_MOST_TYPES} types" if depth <= _DEEPEST else "nested too deeply")
        if isinstance(given, str):
            return self._of_name(given, space)
        if isinstance(given, list):
            if not given:
                raise _wrong("a union of nothing")
            return Union([self.type(branch, space, depth + 1) for branch in given])
        if not isinstance(given, dict):
            raise _wrong(f"a {type_name(given)} instead of a type")
        return self._complex(given, space, depth)

    def _of_name(self, name: str, space: str) -> Type:
        if name in _PRIMITIVES:
            return Primitive(name)
        found = self._named.get(_full(name, space)) or self._named.get(name)
        if found is None:
            raise _wrong(f"unknown type {name[:60]!r}")
        return found

    def _complex(self, given: dict[str, Any], space: str, depth: int) -> Type:
        kind = given.get("type")
        match kind:
            case "record" | "error":
                return self._record(given, space, depth)
            case "enum":
                symbols = given.get("symbols")
                if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
                    raise _wrong("an enum without symbols")
                return self._define(given, space, Enum(symbols))
            case "fixed":
                return self._define(given, space, _fixed(given))
            case "array":
                return self._container(Array(self.type(given.get("items"), space, depth + 1)))
            case "map":
                return self._container(Map(self.type(given.get("values"), space, depth + 1)))
            case str() if kind in _PRIMITIVES:
                return _logical(kind, given)
            case _:
                return self.type(kind, space, depth + 1)

    def _container(self, kind: Array | Map | Record) -> Type:
        self.containers.append(kind)
        return kind

    def _record(self, given: dict[str, Any], space: str, depth: int) -> Record:
        fields = given.get("fields")
        if not isinstance(fields, list):
            raise _wrong("a record without fields")
        record = Record(self._name(given, space))
        self._define(given, space, self._container(record))
        inner = record.name.rpartition(".")[0]
        for one in fields:
            name = one.get("name") if isinstance(one, dict) else None
            if not isinstance(name, str):
                raise _wrong(f"a field without a name in {record.name[:60]}")
            record.fields.append((name, self.type(one.get("type"), inner, depth + 1)))
        if len({name for name, _ in record.fields}) < len(record.fields):
            raise _wrong(f"two fields of one name in {record.name[:60]}")
        return record

    def _define(self, given: dict[str, Any], space: str, kind: Type) -> Type:
        name = self._name(given, space)
        if name in self._named:
            raise _wrong(f"two types are called {name[:60]}")
        self._named[name] = kind
        return kind

    @staticmethod
    def _name(given: dict[str, Any], space: str) -> str:
        name, own = given.get("name"), given.get("namespace")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _wrong(f"{given.get('type')} without a name")
        return _full(name, own if isinstance(own, str) else space)


def type_name(given: Any) -> str:
    """Name of a value's Python type, for errors."""
    return type(given).__name__


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise _wrong("nested too deeply") from None
    except ValueError:
        # Registries may keep the name of a primitive type without its quotes.
        if text.strip() in _PRIMITIVES:
            return text.strip()
        raise _wrong("is not JSON") from None


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def _fixed(given: dict[str, Any]) -> Fixed:
    size = given.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _wrong("a fixed without a size")
    return Fixed(size, _scale(given), is_uuid=given.get("logicalType") == "uuid" and size == 16)


def _logical(name: str, given: dict[str, Any]) -> Primitive:
    logical = given.get("logicalType")
    if name == "long" and isinstance(logical, str):
        stem, _, unit = logical.rpartition("-")
        is_moment = stem in ("timestamp", "local-timestamp") and unit in _PER_SECOND
        return Primitive(name, moment=(1.0, _PER_SECOND[unit]) if is_moment else None)
    if name == "int" and logical == "date":
        return Primitive(name, moment=_DAYS)
    return Primitive(name, scale=_scale(given) if name == "bytes" else None)


def _scale(given: dict[str, Any]) -> int | None:
    """Digits after the point; None if the type is not a decimal."""
    precision, scale = given.get("precision"), given.get("scale", 0)
    if given.get("logicalType") != "decimal" or not isinstance(precision, int) or not isinstance(scale, int):
        return None
    return scale if 0 <= scale <= min(precision, _LARGEST_SCALE) else None


def _wrong(what: str) -> DecodeError:
    return DecodeError("schema", what)
