"""Protocol Buffers' wire format: the fields of a message one after the other, without a schema.

Follows the encoding guide of Protocol Buffers. Interpreting the fields is left to the caller, who can recognise a part
seen before, such as a series' labels, by its bytes and need not decode it again.
"""

from __future__ import annotations

from collections.abc import Iterator

from detector.errors import DecodeError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types."""
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
LONGEST_VARINT = 10
"""In bytes."""
_INT64 = 1 << 63


def fields(message: bytes) -> Iterator[tuple[int, int, bytes | int]]:
    """(number, wire type, value): the number in a varint, the bytes of anything else. Raises ValueError.

    >>> list(fields(bytes.fromhex("08960112027632")))
    [(1, 0, 150), (2, 2, b'v2')]
    """
    at, end = 0, len(message)
    while at < end:
        # Nearly every key and length is a single byte.
        key = message[at]
        at += 1
        if key >= 0x80:
            key, at = varint(message, at - 1)
        wire = key & 7
        if wire == LENGTH:
            size = message[at] if at < end else 0x80
            at += 1
            if size >= 0x80:
                size, at = varint(message, at - 1)
        elif wire == VARINT:
            value, at = varint(message, at)
            yield key >> 3, wire, value
            continue
        else:
            size = _FIXED_BYTES.get(wire, end)
        begun = at
        at += size
        if at > end:
            raise ValueError(f"field {key >> 3} of wire type {wire} extends beyond the message")
        yield key >> 3, wire, message[begun:at]


class Fields:
    """The same for the messages of one record, which may have so many fields in all.

    A compressed record has up to eleven empty fields for each of its bytes.
    """

    def __init__(self, most: int) -> None:
        self._left = self._most = most

    def __call__(self, message: bytes) -> Iterator[tuple[int, int, bytes | int]]:
        """Raises ValueError, and DecodeError if there are too many."""
        for field in fields(message):
            self._left -= 1
            if self._left < 0:
                raise DecodeError("oversize", f"more than {self._most} fields of messages")
            yield field


def varint(message: bytes, at: int) -> tuple[int, int]:
    """(unsigned number at `at`, position after it). Raises ValueError."""
    value = shift = 0
    for place in range(at, min(len(message), at + LONGEST_VARINT)):
        byte = message[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise ValueError("an unterminated varint")


def signed(value: int) -> int:
    """The value of a varint as int64.

    >>> signed(2**64 - 1), signed(7)
    (-1, 7)
    """
    value &= 2 * _INT64 - 1
    return value - 2 * _INT64 if value >= _INT64 else value
