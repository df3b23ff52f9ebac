"""Where alerts and dead letters go."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from detector.records import Alert, Partition


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


class AlertBoard(Protocol):
    """The other kind of sink: learns which alerts are open and repeats them while they are.

    No call blocks or fails: nothing waits for a board, and it stores nothing.
    """

    def update(self, alerts: Sequence[Alert], *, restored: bool = False) -> None:
        """These alerts began or ended; if `restored`, they are open in state taken over with its partition."""
        ...

    def forget(self, partitions: Collection[Partition]) -> None:
        """These partitions are no longer ours: stop repeating their alerts, without ending them."""
        ...

    def waiting(self) -> int:
        """Alerts whose last change has not been delivered yet; callable from any thread."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Try once more to deliver what is waiting; open alerts are not ended. Idempotent."""
        ...
