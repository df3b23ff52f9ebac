"""Protocol Buffers' wire format, written."""

from __future__ import annotations

import struct


def number(value: int) -> bytes:
    value &= 2**64 - 1
    found = b""
    while value >= 0x80:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def part(field: int, content: bytes) -> bytes:
    return number(field << 3 | 2) + number(len(content)) + content


def double(field: int, value: float) -> bytes:
    return number(field << 3 | 1) + struct.pack("<d", value)


def fixed(field: int, value: int) -> bytes:
    return number(field << 3 | 1) + (value & 2**64 - 1).to_bytes(8, "little")


def varint(field: int, value: int) -> bytes:
    return number(field << 3) + number(value)
