"""Where messages go, and what encodes alerts and undecodable records as messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from detector.records import Alert, Reject


@dataclass(frozen=True, slots=True)
class Message:
    """What a sink delivers."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    """Destination partition; None if the key decides."""


class Sink(Protocol):
    """Where messages go. At-least-once: `flush` returning is the only proof of delivery."""

    def send(self, message: Message) -> None:
        """Hand over a message; may block while too many are in flight. Raises DeliveryError."""
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Wait for every acknowledgement. Raises DeliveryError if one is missing or negative."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Idempotent; does not replace `flush`."""
        ...


class AlertEncoder(Protocol):
    """Encodes an alert as the record that subscribers read."""

    def __call__(self, alert: Alert) -> Message: ...


class RejectEncoder(Protocol):
    """Encodes a record that could not be decoded as its dead letter."""

    def __call__(self, reject: Reject) -> Message: ...
