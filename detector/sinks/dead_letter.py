"""The dead letter: a record that could not be decoded, as it was, with where it came from and why it is here."""

from __future__ import annotations

import hashlib

from detector.protocols import Message
from detector.records import Reject

PREFIX = "detector_dead_letter_"


class DeadLetterRecord:
    """Encodes rejects. A value larger than `max_value_bytes` is replaced by its hash, lest it fail again here."""

    def __init__(self, max_value_bytes: int) -> None:
        self.max_value_bytes = max_value_bytes

    def __call__(self, reject: Reject) -> Message:
        """Key and value are the record's own bytes; the headers say topic, partition, offset, reason and detail."""
        value = reject.value
        headers = {
            "reason": reject.reason,
            "detail": reject.detail,
            "topic": reject.topic,
            "partition": str(reject.partition),
            "offset": str(reject.offset),
        }
        if value is not None and len(value) > self.max_value_bytes:
            headers |= {"value_bytes": str(len(value)), "value_sha256": hashlib.sha256(value).hexdigest()}
            value = None
        encoded = ((PREFIX + name, text.encode("utf-8", "replace")) for name, text in headers.items())
        return Message(reject.key, value, tuple(encoded))
