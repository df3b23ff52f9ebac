"""What to send to one Alertmanager, and when. Pure: times are seconds of a clock that never jumps."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import count

from detector.records import Partition
from detector.sinks.alertmanager_alert import Labels, Notice

ENDED_SECONDS = 300.0
"""How long the end of an alert is repeated, in case a message is lost or overtaken by an earlier repetition."""
EARLY = 0.1
"""Share of the interval: repetitions due this soon are sent along, so that over time they travel together."""
NOT_QUEUED = -1
LEAST_STALE = 64
"""Places in a queue that are never worth a pass to remove them."""


@dataclass(slots=True)
class _Entry:
    """All notices under one set of labels, which several streams may share."""

    notices: dict[tuple[Partition, str], Notice]
    shown: Notice
    """The one to send: the alert that has been firing longest, otherwise the last one to end."""
    changed_at: float
    accepted: bool = False
    """Whether `shown` was accepted."""
    ticket: int = NOT_QUEUED
    """Of its place in a queue; places with other tickets are stale."""


_Queue = list[tuple[float, int, _Entry]]
"""Heap of (time at which it is due, ticket, entry)."""


class Schedule:
    """A firing alert is due at once, and again every `resend_seconds` while it fires.

    An alert that ended is due likewise, until it has been accepted and `ENDED_SECONDS` have passed. At most `most` sets
    of labels are held.
    """

    def __init__(self, resend_seconds: float, most: int) -> None:
        self.resend_seconds = resend_seconds
        self.most = most
        self._entries: dict[Labels, _Entry] = {}
        self._changes: _Queue = []
        self._repetitions: _Queue = []
        self._tickets = count()

    @property
    def waiting(self) -> int:
        """Alerts whose last change has not been accepted yet."""
        return sum(not entry.accepted for entry in self._entries.values())

    def update(self, notice: Notice, now: float, delay_seconds: float) -> bool:
        """An alert began or ended; it is due after the delay. False if there is no room for it."""
        entry = self._entries.get(notice.labels)
        if entry is None:
            if len(self._entries) >= self.most:
                return False
            self._entries[notice.labels] = entry = _Entry({notice.source: notice}, notice, now)
            self._queue(entry, now + delay_seconds)
        else:
            entry.notices[notice.source] = notice
            self._show(entry, now, delay_seconds)
        return True

    def forget(self, partitions: Collection[Partition], now: float) -> None:
        """Stop sending the alerts of these partitions."""
        for labels, entry in list(self._entries.items()):
            gone = [source for source in entry.notices if source[0] in partitions]
            if not gone:
                continue
            fired = entry.shown.ends_at is None
            for source in gone:
                del entry.notices[source]
            fires = any(notice.ends_at is None for notice in entry.notices.values())
            if not entry.notices or (fired and not fires):  # it is still firing, under another owner
                self._remove(labels)
            else:
                self._show(entry, now, 0.0)

    def due(self, now: float, most: int, *, news_only: bool = False) -> list[Notice]:
        """Up to `most` notices to send now: changes before repetitions, longest waiting first."""
        entries = self._first(self._changes, now, most)
        if not news_only and (entries or self._first(self._repetitions, now, 1)):
            entries += self._first(self._repetitions, now + EARLY * self.resend_seconds, most - len(entries))
        return [entry.shown for entry in entries]

    def settle(self, notices: Iterable[Notice], now: float) -> None:
        """These were accepted as they are; anything that has changed since is still due."""
        for notice in notices:
            entry = self._entries.get(notice.labels)
            if entry is None or entry.shown is not notice:
                continue
            if notice.ends_at is not None and now >= entry.changed_at + ENDED_SECONDS:
                self._remove(notice.labels)
            else:
                entry.accepted = True
                self._queue(entry, now + self.resend_seconds)

    def _show(self, entry: _Entry, now: float, delay_seconds: float) -> None:
        shown = min(entry.notices.values(), key=_rank)
        if shown is not entry.shown:
            entry.shown, entry.accepted, entry.changed_at = shown, False, now
            self._queue(entry, now + delay_seconds)

    def _remove(self, labels: Labels) -> None:
        self._entries.pop(labels).ticket = NOT_QUEUED

    def _queue(self, entry: _Entry, due_at: float) -> None:
        """Give the entry a place among changes or repetitions; the one that it had before becomes stale."""
        entry.ticket = next(self._tickets)
        queue = self._repetitions if entry.accepted else self._changes
        heapq.heappush(queue, (due_at, entry.ticket, entry))
        if len(queue) > 2 * len(self._entries) + LEAST_STALE:
            queue[:] = [place for place in queue if place[1] == place[2].ticket]
            heapq.heapify(queue)

    @staticmethod
    def _first(queue: _Queue, until: float, most: int) -> list[_Entry]:
        """Up to `most` entries that are due by `until`, longest waiting first; they keep their places."""
        found: _Queue = []
        while len(found) < most and queue and queue[0][0] <= until:
            place = heapq.heappop(queue)
            if place[1] == place[2].ticket:
                found.append(place)
        for place in found:
            heapq.heappush(queue, place)
        return [entry for _, _, entry in found]


def _rank(notice: Notice) -> tuple[bool, float]:
    """Firing alerts first, oldest first; then ended ones, most recently ended first."""
    return (False, notice.starts_at) if notice.ends_at is None else (True, -notice.ends_at)
