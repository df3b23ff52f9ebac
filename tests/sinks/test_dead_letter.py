"""What a dead letter contains of its record."""

from __future__ import annotations

import hashlib

import pytest

from detector.records import Reject
from detector.sinks.dead_letter import ENVELOPE_BYTES, MAX_KEY_BYTES, PREFIX, DeadLetterRecord


def rejected(key: bytes | None, value: bytes | None) -> Reject:
    return Reject("t" * 249, 3, 2**62, "syntax", "\N{SNOWMAN}" * 200, value, key)


@pytest.mark.parametrize(("key", "value"), [(None, None), (b"", b""), (bytes(MAX_KEY_BYTES), bytes(100))])
def test_dead_letter_has_the_bytes_of_the_record(key: bytes | None, value: bytes | None) -> None:
    message = DeadLetterRecord(100)(rejected(key, value))
    assert (message.key, message.value) == (key, value)
    assert [name for name, _ in message.headers] == [
        PREFIX + name for name in ("reason", "detail", "topic", "partition", "offset")
    ]


def test_g6_too_large_key_or_value_is_replaced_by_its_hash() -> None:
    key, value = b"k" * (1 << 20), b"v" * 101
    message = DeadLetterRecord(100)(rejected(key, value))
    assert (message.key, message.value) == (None, None)
    headers = {name.removeprefix(PREFIX): text.decode() for name, text in message.headers}
    assert (headers["key_bytes"], headers["value_bytes"]) == (str(1 << 20), "101")
    assert headers["key_sha256"] == hashlib.sha256(key).hexdigest()
    assert headers["value_sha256"] == hashlib.sha256(value).hexdigest()


def test_everything_but_the_value_fits_into_the_reserved_size() -> None:
    message = DeadLetterRecord(0)(rejected(bytes(MAX_KEY_BYTES), bytes(1)))
    assert len(message.key or b"") + sum(len(name) + len(text) for name, text in message.headers) < ENVELOPE_BYTES / 1.5
