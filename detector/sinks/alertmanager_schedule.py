"""What one Alertmanager is to be told, and when. Pure: times are seconds of a clock that never jumps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from detector.records import Partition
from detector.sinks.alertmanager_alert import Labels, Notice

ENDED_SECONDS = 300.0
"""For so long the end of an alert is repeated: one that is lost, or overtaken by a repetition, is made up for."""
EARLY = 0.1
"""Of the interval: what is due so soon goes along, so that repetitions come to travel together."""


@dataclass(slots=True)
class _Entry:
    """All that is known under one set of labels: that of several streams, where they share them."""

    notices: dict[tuple[Partition, str], Notice]
    shown: Notice
    """The one that is told: the alert that fires for longest, else the last one to end."""
    changed_at: float
    due_at: float
    accepted: bool = False
    """`shown` was."""


class Schedule:
    """An alert that fires is due at once, and again every `resend_seconds` for as long as it fires.

    One that ended is due likewise, until it was accepted once and `ENDED_SECONDS` have passed. `most` are held at most.
    """

    def __init__(self, resend_seconds: float, most: int) -> None:
        self.resend_seconds = resend_seconds
        self.most = most
        self._entries: dict[Labels, _Entry] = {}

    @property
    def waiting(self) -> int:
        """Alerts whose last change was not accepted yet."""
        return sum(not entry.accepted for entry in self._entries.values())

    def tell(self, notice: Notice, now: float, delay_seconds: float = 0.0) -> bool:
        """It began or ended; due after the delay. False where there is no place for it."""
        entry = self._entries.get(notice.labels)
        if entry is None:
            if len(self._entries) >= self.most:
                return False
            self._entries[notice.labels] = _Entry({notice.source: notice}, notice, now, now + delay_seconds)
        else:
            entry.notices[notice.source] = notice
            self._show(entry, now, delay_seconds)
        return True

    def forget(self, partition: Partition, now: float) -> None:
        """Say nothing more of the alerts of this partition."""
        for labels, entry in list(self._entries.items()):
            fired = entry.shown.ends_at is None
            for source in [source for source in entry.notices if source[0] == partition]:
                del entry.notices[source]
            fires = any(notice.ends_at is None for notice in entry.notices.values())
            if not entry.notices or (fired and not fires):  # what fired still does, elsewhere
                del self._entries[labels]
            else:
                self._show(entry, now, 0.0)

    def due(self, now: float, most: int, *, news_only: bool = False) -> list[Notice]:
        """Up to `most` that are to be told now, changes before repetitions, what waits longest first."""
        entries = [entry for entry in self._entries.values() if not (news_only and entry.accepted)]
        if not any(entry.due_at <= now for entry in entries):
            return []
        until = now + EARLY * self.resend_seconds
        ripe = [entry for entry in entries if entry.due_at <= (until if entry.accepted else now)]
        ripe.sort(key=lambda entry: (entry.accepted, entry.due_at))
        return [entry.shown for entry in ripe[:most]]

    def settle(self, notices: Iterable[Notice], now: float) -> None:
        """These were accepted, as they stand; what changed meanwhile is still due."""
        for notice in notices:
            entry = self._entries.get(notice.labels)
            if entry is None or entry.shown is not notice:
                continue
            entry.accepted, entry.due_at = True, now + self.resend_seconds
            if notice.ends_at is not None and now >= entry.changed_at + ENDED_SECONDS:
                del self._entries[notice.labels]

    def _show(self, entry: _Entry, now: float, delay_seconds: float) -> None:
        shown = min(entry.notices.values(), key=_rank)
        if shown is not entry.shown:
            entry.shown, entry.accepted = shown, False
            entry.changed_at, entry.due_at = now, now + delay_seconds


def _rank(notice: Notice) -> tuple[bool, float]:
    """Alerts that fire come first, of these the oldest; then the one that ended last."""
    return (False, notice.starts_at) if notice.ends_at is None else (True, -notice.ends_at)
