"""What a rebalance changed: noted on the client's own thread, read on the worker's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from kafka import ConsumerRebalanceListener

from detector.protocols import AssignmentChanges
from detector.records import Partition


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # the library ships no types
    """Notes net changes. Runs on the thread that sends heartbeats, so it only marks and pauses.

    An eager rebalance revokes all partitions and usually gives most of them back. Only those that do not come back are
    reported; those that stay keep their position. A new partition is paused before its first record can be fetched.

    A member that was too slow to take its share of one generation, and gets the same share in the next, cannot know who
    read it meanwhile. So nothing stays: every partition is lost and newly assigned.
    """

    def __init__(self, pause: Callable[..., None], generation: Callable[[], int]) -> None:
        """`generation` returns the group generation being assigned; the broker increments it by one each time."""
        self._pause = pause
        self._generation = generation
        self._lock = threading.Lock()
        self._owned: frozenset[Partition] = frozenset()
        self._owned_in = -1
        self._changes = AssignmentChanges()

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Does nothing: what was given up is known only from the new assignment."""

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        now, generation = frozenset((tp.topic, tp.partition) for tp in assigned), self._generation()
        with self._lock:
            lost = self._owned if generation > self._owned_in + 1 else frozenset()
            kept, before = self._owned - lost, self._changes
            new, gone = now - kept, kept - now
            self._owned, self._owned_in = now, generation
            self._changes = AssignmentChanges(
                assigned=before.assigned - gone - lost | new,
                revoked=(before.revoked | gone) - lost,
                lost=before.lost | lost,
                settled=True,
            )
        self._pause(*(tp for tp in assigned if (tp.topic, tp.partition) in new))

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        gone = frozenset((tp.topic, tp.partition) for tp in lost)
        with self._lock:
            before = self._changes
            self._owned -= gone
            self._changes = AssignmentChanges(
                assigned=before.assigned - gone, revoked=before.revoked - gone, lost=before.lost | gone
            )

    def changes(self) -> AssignmentChanges:
        """Changes since the last call; to be applied in the order lost, revoked, assigned."""
        with self._lock:
            changes, self._changes = self._changes, AssignmentChanges()
        return changes
