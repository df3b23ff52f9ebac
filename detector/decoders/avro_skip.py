"""Skips values in Avro's binary encoding: for each type, a function from the position of a value to the one after it.

Follows the Avro specification 1.12. The position after a value may be beyond the end of the bytes: the outermost caller
compares. Bytes that do not fit the type raise one of `BROKEN`. A block that promises more items than the bytes can hold
is rejected before the first item, so the work is bounded by the number of bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from detector.decoders.avro_schema import Array, Enum, Fixed, Map, Primitive, Record, Type, Union

Skip = Callable[[bytes, int], int]
"""(bytes, position of a value) -> position after it."""

BROKEN = (ValueError, IndexError, struct.error, RecursionError)
"""The errors of bytes that do not fit the type; UnicodeDecodeError is a ValueError."""

_LONGEST_SHIFT = 63


def number(data: bytes, at: int) -> tuple[int, int]:
    """(value, position after it) of a zigzag varint, the encoding of ints, longs, lengths and counts.

    >>> number(bytes.fromhex("ac02"), 0), number(bytes.fromhex("01"), 0)
    ((150, 2), (-1, 1))
    """
    value = data[at]
    at += 1
    if value >= 0x80:
        value &= 0x7F
        shift = 7
        while (byte := data[at]) >= 0x80:
            value |= (byte & 0x7F) << shift
            at += 1
            shift += 7
            if shift > _LONGEST_SHIFT:
                raise ValueError("a number of more than ten bytes")
        value |= byte << shift
        at += 1
        if value >> 64:
            raise ValueError("a number of more than 64 bits")
    return (value >> 1) ^ -(value & 1), at


def sized(data: bytes, at: int) -> int:
    """Skip bytes that begin with their length."""
    size = data[at]
    at += 1
    if size >= 0x80:
        size, at = number(data, at - 1)
        size <<= 1
    if size & 1 or size < 0:
        raise ValueError("a length below 0")
    return at + (size >> 1)


def sized_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """(bytes behind their length, position after them)."""
    end = sized(data, at)
    enough(data, end, 0)
    return data[at + 1 if data[at] < 0x80 else over_number(data, at) : end], end


def enough(data: bytes, at: int, needed: int) -> None:
    """Raises ValueError if fewer bytes than needed follow from `at` on."""
    if needed > len(data) - at:
        raise ValueError(f"{needed - len(data) + at} bytes are missing")


def over_number(data: bytes, at: int) -> int:
    """Skip a zigzag varint."""
    return number(data, at)[1]


def items(data: bytes, at: int, least: int) -> tuple[int, int]:
    """(number of items in the block at `at`, position of the first); 0 items after the last block."""
    count = data[at]
    if count < 0x80 and not count & 1:
        count, at = count >> 1, at + 1
    else:
        count, at = number(data, at)
    if count < 0:  # the block's length in bytes follows
        count, at = -count, over_number(data, at)
    if count * least > len(data) - at:
        enough(data, at, count * least)
    return count, at


class Skips:
    """Makes functions that skip values."""

    def __init__(self) -> None:
        self._records: dict[Record, Skip] = {}

    def of(self, kind: Type) -> Skip:
        """The function for this type."""
        match kind:
            case Primitive(name=name):
                return _PRIMITIVE_SKIPS[name]
            case Fixed(size=0):
                return over_nothing
            case Fixed(size=size):
                return lambda data, at: at + size
            case Enum(symbols=symbols):
                return lambda data, at: symbol(data, at, symbols)[1]
            case Array(items=inner, least_bytes=least):
                return _blocks(self.of(inner), least)
            case Map(values=Primitive(name="string" | "bytes"), least_bytes=least):
                return _texts(least)
            case Map(values=inner, least_bytes=least):
                return _blocks(_pair(self.of(inner)), least)
            case Union(branches=branches):
                found: Skip = union([self.of(branch) for branch in branches])
                return found
            case Record():
                return self._record(kind)

    def _record(self, record: Record) -> Skip:
        """Drops steps over fields without bytes, and unwraps a record of a single step: each step then costs a byte."""
        if not record.least_bytes:
            return over_nothing
        if record not in self._records:
            parts: list[Skip] = []

            def skip(data: bytes, at: int) -> int:
                # Else types that each name the next one twice would be walked in full, however few bytes there are.
                enough(data, at, record.least_bytes)
                for part in parts:
                    at = part(data, at)
                return at

            self._records[record] = skip
            parts += [step for _, inner in record.fields if (step := self.of(inner)) is not over_nothing]
            if len(parts) == 1:
                self._records[record] = parts[0]
        return self._records[record]


def over_nothing(data: bytes, at: int) -> int:
    """Skip a value that takes no bytes."""
    return at


def truth(data: bytes, at: int) -> int:
    """Skip a boolean."""
    if data[at] > 1:
        raise ValueError("a boolean that is neither 0 nor 1")
    return at + 1


_PRIMITIVE_SKIPS: dict[str, Skip] = {
    "null": over_nothing,
    "boolean": truth,
    "int": over_number,
    "long": over_number,
    "float": lambda data, at: at + 4,
    "double": lambda data, at: at + 8,
    "bytes": sized,
    "string": sized,
}


def _blocks(item: Skip, least: int) -> Skip:
    def skip(data: bytes, at: int) -> int:
        count, at = items(data, at, least)
        while count:
            for _ in range(count):
                at = item(data, at)
            count, at = items(data, at, least)
        return at

    return skip


def _texts(least: int) -> Skip:
    """Skips a map of texts, such as labels: the same as the general way, but twice as fast."""

    def skip(data: bytes, at: int) -> int:
        count, at = items(data, at, least)
        while count:
            for _ in range(2 * count):
                size = data[at]
                at = at + 1 + (size >> 1) if size < 0x80 and not size & 1 else sized(data, at)
            count, at = items(data, at, least)
        return at

    return skip


def _pair(value: Skip) -> Skip:
    return lambda data, at: value(data, sized(data, at))


def symbol(data: bytes, at: int, symbols: list[str]) -> tuple[str, int]:
    """(the symbol, position after it)."""
    index, at = number(data, at)
    return symbols[_index(index)], at


def _index(index: int) -> int:
    if index < 0:
        raise ValueError("an index below 0")
    return index


def union(branches: list[Any]) -> Any:
    """A function that applies to a value of a union the function of its branch."""

    def chosen(data: bytes, at: int) -> Any:
        index = data[at]
        if index < 0x80 and not index & 1:
            return branches[index >> 1](data, at + 1)
        index, at = number(data, at)
        return branches[_index(index)](data, at)

    return chosen


def union_for(branches: list[Any]) -> Any:
    """The same for functions with a third argument."""

    def chosen(data: bytes, at: int, out: Any) -> Any:
        index = data[at]
        if index < 0x80 and not index & 1:
            return branches[index >> 1](data, at + 1, out)
        index, at = number(data, at)
        return branches[_index(index)](data, at, out)

    return chosen
