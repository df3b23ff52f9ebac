"""The other kind of sink: it is told what is open, and repeats that for as long as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from detector.records import Alert, Partition


class AlertBoard(Protocol):
    """Shows which alerts are open. No call blocks or fails: nothing waits for a board, and it keeps no record."""

    def tell(self, alerts: Sequence[Alert], *, restored: bool = False) -> None:
        """These began or ended; or, `restored`, they are open in state that was taken over with its partition."""
        ...

    def forget(self, partition: Partition) -> None:
        """It is not ours any more: its alerts are repeated no longer, and not ended either."""
        ...

    def waiting(self) -> int:
        """Alerts whose last change was not delivered yet; any thread may ask."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """One last try at what was not delivered, and no end to what is open. Idempotent."""
        ...
