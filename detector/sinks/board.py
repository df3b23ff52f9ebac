"""The other kind of sink: it learns which alerts are open and repeats them while they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from detector.records import Alert, Partition


class AlertBoard(Protocol):
    """Shows which alerts are open. No call blocks or fails: nothing waits for a board, and it stores nothing."""

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
