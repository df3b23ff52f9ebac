"""What to send to one Alertmanager, and when. Pure: times are seconds of a clock that never jumps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from detector.records import Partition
from detector.sinks.alertmanager_alert import Labels, Notice

ENDED_SECONDS = 300.0
"""How long the end of an alert is repeated, in case a message is lost or overtaken by an earlier repetition."""
EARLY = 0.1
"""Share of the interval: repetitions due this soon are sent along, so that over time they travel together."""


@dataclass(slots=True)
class _Entry:
    """All notices under one set of labels, which several streams may share."""

    notices: dict[tuple[Partition, str], Notice]
    shown: Notice
    """The one to send: the alert that has been firing longest, otherwise the last one to end."""
    changed_at: float
    due_at: float
    accepted: bool = False
    """Whether `shown` was accepted."""


class Schedule:
    """A firing alert is due at once, and again every `resend_seconds` while it fires.

    An alert that ended is due likewise, until it has been accepted and `ENDED_SECONDS` have passed. At most `most` sets
    of labels are held.
    """

    def __init__(self, resend_seconds: float, most: int) -> None:
        self.resend_seconds = resend_seconds
        self.most = most
        self._entries: dict[Labels, _Entry] = {}

    @property
    def waiting(self) -> int:
        """Alerts whose last change has not been accepted yet."""
        return sum(not entry.accepted for entry in self._entries.values())

    def update(self, notice: Notice, now: float, delay_seconds: float = 0.0) -> bool:
        """An alert began or ended; it is due after the delay. False if there is no room for it."""
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
        """Stop sending the alerts of this partition."""
        for labels, entry in list(self._entries.items()):
            fired = entry.shown.ends_at is None
            for source in [source for source in entry.notices if source[0] == partition]:
                del entry.notices[source]
            fires = any(notice.ends_at is None for notice in entry.notices.values())
            if not entry.notices or (fired and not fires):  # it is still firing, under another owner
                del self._entries[labels]
            else:
                self._show(entry, now, 0.0)

    def due(self, now: float, most: int, *, news_only: bool = False) -> list[Notice]:
        """Up to `most` notices to send now: changes before repetitions, longest waiting first."""
        entries = [entry for entry in self._entries.values() if not (news_only and entry.accepted)]
        if not any(entry.due_at <= now for entry in entries):
            return []
        until = now + EARLY * self.resend_seconds
        ripe = [entry for entry in entries if entry.due_at <= (until if entry.accepted else now)]
        ripe.sort(key=lambda entry: (entry.accepted, entry.due_at))
        return [entry.shown for entry in ripe[:most]]

    def settle(self, notices: Iterable[Notice], now: float) -> None:
        """These were accepted as they are; anything that has changed since is still due."""
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
    """Firing alerts first, oldest first; then ended ones, most recently ended first."""
    return (False, notice.starts_at) if notice.ends_at is None else (True, -notice.ends_at)
