"""The byte format of every piece of state, whatever it holds.

    8 bytes   magic `DETSTATE`
    4 bytes   schema version
    4 bytes   length of the header
    8 bytes   length of the body
    4 bytes   CRC32C of everything above (except the magic), header and body
    header    JSON
    body      safetensors, or nothing

All numbers are little-endian. Lengths are checked against the actual bytes before anything is read by them.
"""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import TypeVar

import msgspec
from crc32c import crc32c

from detector.errors import StateDamaged, StateNewer

MAGIC = b"DETSTATE"
SCHEMA_VERSION = 3
"""1 lacks `topic_id`, `leader_epoch` and `weights` in the manifest; 2 lacks `votes`."""
MAX_HEADER_BYTES = 64 << 20
MAX_BODY_BYTES = 1 << 30

_LENGTHS = struct.Struct("<IIQ")
_CRC = struct.Struct("<I")
_PREFIX = len(MAGIC) + _LENGTHS.size + _CRC.size

Header = TypeVar("Header", bound=msgspec.Struct)


def seal(header: msgspec.Struct, *body: bytes | memoryview) -> bytes:
    """Header and body, which may come in parts, as one blob with a checksum."""
    try:
        text = msgspec.json.encode(header)
    except UnicodeEncodeError:
        # Labels may hold invalid UTF-8, which the standard library's encoder escapes.
        text = json.dumps(msgspec.to_builtins(header), separators=(",", ":")).encode("ascii")
    lengths = _LENGTHS.pack(SCHEMA_VERSION, len(text), sum(memoryview(part).nbytes for part in body))
    crc = crc32c(text, crc32c(lengths))
    for part in body:
        crc = crc32c(part, crc)
    return b"".join((MAGIC, lengths, _CRC.pack(crc), text, *body))


def unseal(blob: bytes, kind: type[Header]) -> tuple[Header, memoryview]:
    """Header and body of an intact blob. Raises StateDamaged, StateNewer."""
    if len(blob) < _PREFIX or blob[: len(MAGIC)] != MAGIC:
        raise StateDamaged("not a snapshot: wrong first bytes")
    version, header_bytes, body_bytes = _LENGTHS.unpack_from(blob, len(MAGIC))
    if version > SCHEMA_VERSION:
        raise StateNewer(f"written in format {version}, this version reads up to {SCHEMA_VERSION}")
    if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise StateDamaged(f"claims a header of {header_bytes} and a body of {body_bytes} bytes")
    if len(blob) != _PREFIX + header_bytes + body_bytes:
        raise StateDamaged(f"{len(blob)} bytes long instead of {_PREFIX + header_bytes + body_bytes}")
    view = memoryview(blob)
    (crc,) = _CRC.unpack_from(blob, len(MAGIC) + _LENGTHS.size)
    lengths = view[len(MAGIC) : len(MAGIC) + _LENGTHS.size]
    if crc32c(view[_PREFIX:], crc32c(lengths)) != crc:
        raise StateDamaged("its checksum does not match")
    return _header(bytes(view[_PREFIX : _PREFIX + header_bytes]), kind), view[_PREFIX + header_bytes :]


def _header(text: bytes, kind: type[Header]) -> Header:
    with suppress(msgspec.DecodeError, RecursionError):
        return msgspec.json.decode(text, type=kind)
    try:
        return msgspec.convert(json.loads(text), kind)
    except (ValueError, RecursionError, msgspec.ValidationError) as exc:
        raise StateDamaged(f"its header is not a {kind.__name__} ({exc})") from exc
