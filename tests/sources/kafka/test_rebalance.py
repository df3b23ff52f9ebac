"""The changes that a member reports for each generation of its group, including missed ones."""

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


def test_kept_partition_is_no_change() -> None:
    member = Member()
    member.takes(7, 0, 1)
    assert member.changes() == AssignmentChanges(assigned=partitions(0, 1), settled=True)
    member.takes(8, 1, 2)
    assert member.changes() == AssignmentChanges(assigned=partitions(2), revoked=partitions(0), settled=True)
    assert member.paused == [partitions(0, 1), partitions(2)]


def test_repeated_generation_is_no_change() -> None:
    member = Member()
    member.takes(7, 0, 1)
    member.changes()
    member.takes(7, 0, 1)
    assert member.changes() == AssignmentChanges(settled=True)


def test_g4_missed_generation_loses_every_partition() -> None:
    """Another member may have owned a partition in it, and read on."""
    member = Member()
    member.takes(7, 0, 1)
    member.changes()
    member.takes(9, 1, 2)
    assert member.changes() == AssignmentChanges(assigned=partitions(1, 2), lost=partitions(0, 1), settled=True)
    assert member.paused[-1] == partitions(1, 2), "nothing is read before it is known where to go on"


def test_g4_partition_revoked_before_a_missed_generation_is_reported_once() -> None:
    member = Member()
    member.takes(7, 0, 1)
    member.changes()
    member.takes(8, 1)
    member.takes(10, 1, 0)
    assert member.changes() == AssignmentChanges(
        assigned=partitions(0, 1), revoked=partitions(0), lost=partitions(1), settled=True
    )
