"""What both versions of remote write share: samples and texts."""

from __future__ import annotations

import struct

from detector.decoders.protobuf import FIXED64, VARINT, Fields, signed, varint
from detector.errors import DecodeError

USUAL_SAMPLE = b"\x12\x10"
"""Key and length of field 2 of a `TimeSeries`: 16 bytes for a value and the milliseconds of a present-day time."""
USUAL_SAMPLE_BYTES = len(USUAL_SAMPLE) + 16

_STALE = (0x7FF0_0000_0000_0002).to_bytes(8, "little")
_VALUE, _TIMESTAMP = 1, 2
_VALUE_KEY, _TIMESTAMP_KEY = b"\x09", b"\x10"
_DOUBLE = struct.Struct("<d").unpack_from


def read_sample(message: bytes, fields: Fields) -> tuple[float | None, float]:
    """(value, None for a stale marker; milliseconds). An unwritten field is 0. Raises DecodeError, ValueError."""
    if message[:1] == _VALUE_KEY and message[9:10] == _TIMESTAMP_KEY:
        moment, end = varint(message, 10)
        if end == len(message):
            return None if message[1:9] == _STALE else _DOUBLE(message, 1)[0], float(signed(moment))
    value: float | None = 0.0
    milliseconds = 0.0
    for number, wire, part in fields(message):
        if number == _VALUE and wire == FIXED64 and isinstance(part, bytes):
            value = None if part == _STALE else _DOUBLE(part)[0]
        elif number == _TIMESTAMP and wire == VARINT and isinstance(part, int):
            milliseconds = float(signed(part))
    return value, milliseconds


def utf8(text: bytes) -> str:
    """Raises DecodeError."""
    try:
        return text.decode()
    except UnicodeDecodeError as exc:
        raise DecodeError("encoding", f"byte {exc.start} of a label is not UTF-8") from exc
