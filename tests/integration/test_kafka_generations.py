"""G4: a group member that is too slow to get its assignment in a generation, while others are fast."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

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
        self.poll_seconds = 0.05
        self.owned: frozenset[Partition] = frozenset()
        self.past: list[AssignmentChanges] = []
        self.read: Counter[bytes | None] = Counter()
        self._positions: dict[Partition, int] = {}

    def turn(self) -> None:
        batches = self.source.poll(self.poll_seconds)
        changes = self.source.changes()
        gone = changes.gone
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


def take_turns(members: list[Member], until: Callable[[], bool], beside: Future[None] | None = None) -> None:
    """`beside` runs another member's turns, which must not fail."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < deadline, f"{shares(members)} partitions, {[member.past for member in members]}"
        if beside is not None and beside.done():
            beside.result()
        for member in members:
            member.turn()


@contextmanager
def turns_of_its_own(member: Member, stall: Stall) -> Iterator[Future[None]]:
    """The member's turns on a thread, until it is no longer held and everything is read."""
    done = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        turns = thread.submit(take_turns, [member], done.is_set)
        try:
            yield turns
        finally:
            stall.end()
            done.set()
    turns.result()


def produce(kafka: Endpoint, topic: str, value: bytes, places: frozenset[Partition]) -> None:
    for _, partition in places:
        kafka.produce(topic, [value], partition=partition)


def read_of(members: list[Member], value: bytes) -> int:
    return sum(member.read[value] for member in members)


def at_rest(members: list[Member]) -> bool:
    """Every member is in the same generation, and no rebalance is due."""
    coordinators = [member.source._consumer._coordinator for member in members]
    generations = {coordinator._generation.generation_id for coordinator in coordinators}
    return len(generations) == 1 and not any(member.source._membership._rejoin_is_due() for member in members)


def shares(members: list[Member]) -> list[int]:
    return sorted(len(member.owned) for member in members)


def test_g4_member_that_missed_a_generation_does_not_reread_what_others_read_in_it(
    kafka: Endpoint, make_source: MakeSource, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="kafka")  # shows in a failure who joined which generation
    topic, group = kafka.create_topic(partitions=PARTITIONS), kafka.name("group")
    leader, slow, quick = (Member(make_source(topic, group_id=group, session_timeout_seconds=60)) for _ in range(3))
    take_turns([leader], lambda: shares([leader]) == [6])
    take_turns([leader, slow], lambda: shares([leader, slow]) == [3, 3] and at_rest([leader, slow]))
    had = slow.owned

    stall, others = Stall(slow.source), [leader, quick]
    with turns_of_its_own(slow, stall) as beside:
        take_turns(others, lambda: stall.begun and shares(others) == [2, 2], beside)
        assert had & (leader.owned | quick.owned), "something of what the slow member had is another's now"
        produce(kafka, topic, b"missed", leader.owned | quick.owned)
        take_turns(others, lambda: read_of(others, b"missed") == 4, beside)
        quick.source.close(timeout_seconds=30)
        take_turns(
            [leader], lambda: leader.source._consumer._coordinator.rejoining, beside
        )  # so that a share is refused
        stall.end()
        take_turns([leader], lambda: shares([leader, slow]) == [3, 3], beside)
        produce(kafka, topic, b"behind", leader.owned | slow.owned)
        take_turns([leader], lambda: read_of([leader, slow], b"behind") == PARTITIONS, beside)

    assert slow.past[-1].lost == had
    assert read_of([leader, slow, quick], b"missed") == 4, "once each"


def test_assignment_that_arrives_between_polls_is_taken_by_the_next_poll(kafka: Endpoint, make_source: MakeSource):
    """Nobody polls while another one does, as where processes share a processor."""
    topic, group = kafka.create_topic(partitions=PARTITIONS), kafka.name("group")
    leader, other = (Member(make_source(topic, group_id=group, session_timeout_seconds=60)) for _ in range(2))
    take_turns([leader], lambda: shares([leader]) == [6])
    leader.poll_seconds = 0.0  # it asks, and does not wait for the answer
    joining = leader.source._consumer._coordinator
    take_turns([other, leader], lambda: joining.rejoining)
    take_turns([other], lambda: shares([other]) == [3] and joining._join_task.is_done)
    generation = other.source._membership.generation

    take_turns([leader], lambda: shares([leader]) == [3])

    assert leader.source._membership.generation == generation, "of the same share-out"
    assert at_rest([leader, other])


def test_partitions_are_known_before_the_first_assignment_so_there_is_one_rebalance(
    kafka: Endpoint, make_source: MakeSource
):
    topic = kafka.create_topic(partitions=PARTITIONS)
    member = Member(make_source(topic))
    assert member.source._consumer._coordinator._metadata_snapshot == {topic: set(range(PARTITIONS))}

    take_turns([member], lambda: shares([member]) == [6])

    assert not member.past[-1].imminent
