"""Where messages go, and what makes them of alerts and of records that cannot be decoded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol

from detector.records import Alert, Reject


@dataclass(frozen=True, slots=True)
class Message:
    """What a sink is asked to deliver."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = dataclasses.field(default=())
    partition: int | None = None
    """Where to; None where the key decides."""


class Sink(Protocol):
    """Where messages go. At-least-once: `flush` returning is the only proof of delivery."""

    def send(self, message: Message) -> None:
        """Hand over; may block for as long as the bound on what is in flight says. Raises DeliveryError."""
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Wait for every acknowledgement. Raises DeliveryError if one is missing or negative."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Idempotent; does not stand in for `flush`."""
        ...


class AlertEncoder(Protocol):
    """An alert to the record that subscribers read."""

    def __call__(self, alert: Alert) -> Message: ...


class RejectEncoder(Protocol):
    """A record that could not be decoded to its dead letter."""

    def __call__(self, reject: Reject) -> Message: ...
