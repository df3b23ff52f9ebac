"""What a member is told of the generations of its group, of which it may miss one."""

from __future__ import annotations

from kafka import TopicPartition

from detector.protocols import AssignmentChanges
from detector.records import Partition
from detector.sources.kafka.rebalance import Rebalances


def partitions(*numbers: int) -> frozenset[Partition]:
    return frozenset(("metrics", number) for number in numbers)


class Member:
    """Takes its share of one generation after the other."""

    def __init__(self) -> None:
        self.paused: list[frozenset[Partition]] = []
        self._generation = -1
        self._rebalances = Rebalances(lambda *tps: self.paused.append(frozenset(map(tuple, tps))), self._now)

    def _now(self) -> int:
        return self._generation

    def takes(self, generation: int, *numbers: int) -> None:
        self._generation = generation
        self._rebalances.on_partitions_assigned([TopicPartition("metrics", number) for number in numbers])

    def changes(self) -> AssignmentChanges:
        return self._rebalances.changes()


def test_what_stays_from_one_generation_to_the_next_is_no_change() -> None:
    member = Member()
    member.takes(7, 0, 1)
    assert member.changes() == AssignmentChanges(assigned=partitions(0, 1), settled=True)
    member.takes(8, 1, 2)
    assert member.changes() == AssignmentChanges(assigned=partitions(2), revoked=partitions(0), settled=True)
    assert member.paused == [partitions(0, 1), partitions(2)]


def test_the_same_generation_taken_again_is_no_change() -> None:
    member = Member()
    member.takes(7, 0, 1)
    member.changes()
    member.takes(7, 0, 1)
    assert member.changes() == AssignmentChanges(settled=True)


def test_g4_a_generation_that_was_missed_is_a_loss_of_everything() -> None:
    """Another member may have owned a partition in it, and read on."""
    member = Member()
    member.takes(7, 0, 1)
    member.changes()
    member.takes(9, 1, 2)
    assert member.changes() == AssignmentChanges(assigned=partitions(1, 2), lost=partitions(0, 1), settled=True)
    assert member.paused[-1] == partitions(1, 2), "nothing is read before it is known where to go on"


def test_g4_what_was_revoked_before_a_generation_was_missed_is_told_once() -> None:
    member = Member()
    member.takes(7, 0, 1)
    member.changes()
    member.takes(8, 1)
    member.takes(10, 1, 0)
    assert member.changes() == AssignmentChanges(
        assigned=partitions(0, 1), revoked=partitions(0), lost=partitions(1), settled=True
    )
