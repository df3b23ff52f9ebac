"""G4: a member that is too slow to take its share of a generation, while others are quick."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from detector.protocols import AssignmentChanges
from detector.records import Partition
from detector.sources.kafka import KafkaSource
from tests.integration.driving import MakeSource
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint

pytestmark = pytest.mark.integration

PARTITIONS = 6


class Member:
    """Reads, and commits what it has read whenever it may, as a worker does."""

    def __init__(self, source: KafkaSource) -> None:
        self.source = source
        self.owned: frozenset[Partition] = frozenset()
        self.past: list[AssignmentChanges] = []
        self.read: Counter[bytes | None] = Counter()
        self._positions: dict[Partition, int] = {}

    def turn(self) -> None:
        batches = self.source.poll(0.05)
        changes = self.source.changes()
        gone = changes.revoked | changes.lost
        if gone or changes.assigned:
            self.past.append(changes)
        self.owned = (self.owned - gone) | changes.assigned
        self._positions = {place: offset for place, offset in self._positions.items() if place not in gone}
        self.source.resume(changes.assigned)
        for batch in batches:
            if (batch.topic, batch.partition) in self.owned - gone:
                self.read.update(batch.values)
                self._positions[batch.topic, batch.partition] = int(batch.offsets[-1]) + 1
        if batches or changes.imminent:
            self.source.commit(self._positions)


class Stall:
    """Holds a member's answer to a join back, as a process that gets no processor does: the share is not asked for."""

    def __init__(self, source: KafkaSource) -> None:
        coordinator = source._consumer._coordinator
        self._answered, self._go_on = threading.Event(), threading.Event()
        self._process = coordinator._process_join_group_response
        coordinator._process_join_group_response = self._hold

    @property
    def begun(self) -> bool:
        return self._answered.is_set()

    def end(self) -> None:
        self._go_on.set()

    def _hold(self, response: object, sent: float) -> None:
        self._process(response, sent)
        self._answered.set()
        self._go_on.wait(PATIENCE_SECONDS)


def take_turns(members: list[Member], until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < deadline
        for member in members:
            member.turn()


def produce(kafka: Endpoint, topic: str, value: bytes, places: frozenset[Partition]) -> None:
    for _, partition in places:
        kafka.produce(topic, [value], partition=partition)


def read_of(members: list[Member], value: bytes) -> int:
    return sum(member.read[value] for member in members)


def at_rest(members: list[Member]) -> bool:
    """In one generation, and none of them asks for the next."""
    coordinators = [member.source._consumer._coordinator for member in members]
    generations = {coordinator._generation.generation_id for coordinator in coordinators}
    return len(generations) == 1 and not any(member.source._membership._rejoin_is_due() for member in members)


def shares(members: list[Member]) -> list[int]:
    return sorted(len(member.owned) for member in members)


def test_g4_who_misses_a_generation_does_not_read_again_what_others_read_in_it(
    kafka: Endpoint, make_source: MakeSource
):
    topic, group = kafka.create_topic(partitions=PARTITIONS), kafka.name("group")
    leader, slow, quick = (Member(make_source(topic, group_id=group, session_timeout_seconds=60)) for _ in range(3))
    take_turns([leader], until=lambda: shares([leader]) == [6])
    take_turns([leader, slow], until=lambda: shares([leader, slow]) == [3, 3] and at_rest([leader, slow]))
    had = slow.owned

    stall, done = Stall(slow.source), threading.Event()
    own_turns = threading.Thread(target=lambda: take_turns([slow], until=done.is_set))
    own_turns.start()
    try:
        take_turns([leader, quick], until=lambda: stall.begun and shares([leader, quick]) == [2, 2])
        assert had & (leader.owned | quick.owned), "something of what the slow member had is another's now"
        produce(kafka, topic, b"missed", leader.owned | quick.owned)
        take_turns([leader, quick], until=lambda: read_of([leader, quick], b"missed") == 4)
        quick.source.close(timeout_seconds=30)
        take_turns([leader], until=lambda: leader.source._consumer._coordinator.rejoining)  # so that a share is refused
        stall.end()
        take_turns([leader], until=lambda: shares([leader, slow]) == [3, 3])
        produce(kafka, topic, b"behind", leader.owned | slow.owned)
        take_turns([leader], until=lambda: read_of([leader, slow], b"behind") == PARTITIONS)
    finally:
        stall.end()
        done.set()
        own_turns.join()

    assert slow.past[-1].lost == had
    assert read_of([leader, slow, quick], b"missed") == 4, "once each"
