"""The dead letter: a record that could not be decoded, unchanged, with its origin and the reason."""

from __future__ import annotations

import hashlib

from detector.protocols import Message
from detector.records import Reject

PREFIX = "detector_dead_letter_"
MAX_KEY_BYTES = 32_768
ENVELOPE_BYTES = 65_536
"""Upper bound on the key, headers and framing of a dead letter."""


class DeadLetterRecord:
    """Encodes rejects. A key or value that is too large is replaced by its hash, so that the dead letter fits."""

    def __init__(self, max_value_bytes: int) -> None:
        """`max_value_bytes` bounds the value; the key may have `MAX_KEY_BYTES`."""
        self.max_value_bytes = max_value_bytes

    def __call__(self, reject: Reject) -> Message:
        """Key and value are the record's own bytes; headers give topic, partition, offset, reason and detail."""
        headers = {
            "reason": reject.reason,
            "detail": reject.detail,
            "topic": reject.topic,
            "partition": str(reject.partition),
            "offset": str(reject.offset),
        }
        key, of_key = _bounded("key", reject.key, MAX_KEY_BYTES)
        value, of_value = _bounded("value", reject.value, self.max_value_bytes)
        headers |= of_key | of_value
        encoded = ((PREFIX + name, text.encode("utf-8", "replace")) for name, text in headers.items())
        return Message(key, value, tuple(encoded))


def _bounded(name: str, part: bytes | None, most: int) -> tuple[bytes | None, dict[str, str]]:
    """The part and no headers; if it is too large, None and headers with its size and hash."""
    if part is None or len(part) <= most:
        return part, {}
    return None, {f"{name}_bytes": str(len(part)), f"{name}_sha256": hashlib.sha256(part).hexdigest()}
