"""What a rebalance did, noted on the client's own thread and asked for on the worker's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from kafka import ConsumerRebalanceListener

from detector.protocols import AssignmentChanges
from detector.records import Partition


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # the library ships no types
    """Notes net changes. Runs on the thread that sends heartbeats, so it only marks and pauses.

    Every eager rebalance revokes everything and mostly gives it back: only what does not come back is reported, and
    what stays keeps its position. A new partition is paused before its first record can be fetched.

    A member that was too slow to take its share of a generation, and gets the same one of the next, cannot know who
    read it meanwhile: nothing stays, everything is lost and assigned anew.
    """

    def __init__(self, pause: Callable[..., None], generation: Callable[[], int]) -> None:
        """`generation` is the group's, of which partitions are being assigned; the broker counts them one by one."""
        self._pause = pause
        self._generation = generation
        self._lock = threading.Lock()
        self._owned: frozenset[Partition] = frozenset()
        self._owned_in = -1
        self._changes = AssignmentChanges()

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Nothing yet: what was given up is known when the new assignment is."""

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
        """Since the last call; to be applied in the order lost, revoked, assigned."""
        with self._lock:
            changes, self._changes = self._changes, AssignmentChanges()
        return changes
