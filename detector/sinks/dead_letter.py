"""The dead letter: a record that could not be decoded, as it was, with where it came from and why it is here."""

from __future__ import annotations

import hashlib

from detector.protocols import Message
from detector.records import Reject

PREFIX = "detector_dead_letter_"
MAX_KEY_BYTES = 32_768
ENVELOPE_BYTES = 65_536
"""Key, headers and framing of a dead letter take less."""


class DeadLetterRecord:
    """Encodes rejects. What is too large of a record is replaced by its hash, lest it fail again here."""

    def __init__(self, max_value_bytes: int) -> None:
        """Of a value; a key may have `MAX_KEY_BYTES`."""
        self.max_value_bytes = max_value_bytes

    def __call__(self, reject: Reject) -> Message:
        """Key and value are the record's own bytes; the headers say topic, partition, offset, reason and detail."""
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
    """The part, or None where it is too large, and headers that say what it was."""
    if part is None or len(part) <= most:
        return part, {}
    return None, {f"{name}_bytes": str(len(part)), f"{name}_sha256": hashlib.sha256(part).hexdigest()}
