"""Which log a position belongs to, without a broker."""

from __future__ import annotations

from uuid import UUID

import pytest

from detector.errors import LogTruncated, OffsetLost, TopicRecreated
from detector.protocols import SkippedRange
from detector.records import UNKNOWN_LINEAGE, Lineage
from detector.sources.kafka.lineage import Lineages
from detector.sources.kafka.lost import LostPosition, PositionCutOff, PositionOfAnotherTopic

A, B = ("metrics", 0), ("metrics", 1)
OLD, NEW = UUID(int=1), UUID(int=2)


class Brokers:
    """The brokers' present and last known metadata of a topic."""

    def __init__(self, known: UUID | None = OLD) -> None:
        self.known = self.true = known
        self.asked = 0

    def topic_id(self, topic: str) -> UUID | None:
        return self.known

    def refresh(self) -> None:
        self.asked += 1
        self.known = self.true


def lineages(brokers: Brokers) -> Lineages:
    return Lineages(brokers.topic_id, brokers.refresh)


def test_g5_changed_topic_id_is_detected() -> None:
    brokers = Brokers()
    found = lineages(brokers)
    assert found.recreated([A, B]) == set()
    found.handed_out(A, 3)
    assert found.behind(A) == Lineage(str(OLD), 3)
    assert brokers.asked == 0, "as long as nothing changes nobody is asked"
    brokers.known = brokers.true = NEW
    assert found.recreated([A, B]) == {A, B}
    found.adopt(A)
    assert found.recreated([A, B]) == {B}
    assert found.behind(A) == Lineage(str(OLD), 3), "until something was read of the new one"
    found.handed_out(A, 0)
    assert found.behind(A) == Lineage(str(NEW), 0)


def test_g5_restored_position_of_another_topic_is_detected_at_once() -> None:
    found = lineages(Brokers())
    found.sought(A, Lineage(str(NEW), 1))
    assert found.recreated([A, B]) == {A}
    found.forget([A])
    assert found.recreated([A]) == set()
    assert found.behind(A) == UNKNOWN_LINEAGE


def test_metadata_may_be_older_than_the_snapshot() -> None:
    brokers = Brokers()
    found = lineages(brokers)
    brokers.true = NEW
    found.sought(A, Lineage(str(NEW), 1))
    assert found.recreated([A]) == set()
    assert brokers.asked == 1


@pytest.mark.parametrize("unknown", [None, UUID(int=0)])
def test_missing_topic_ids_are_not_a_recreation(unknown: UUID | None) -> None:
    brokers = Brokers(unknown)
    found = lineages(brokers)
    found.sought(A, Lineage(str(OLD), 1))
    assert found.recreated([A]) == set()
    brokers.known = brokers.true = OLD
    found.sought(B, UNKNOWN_LINEAGE)
    assert found.recreated([A, B]) == set()


PLACE = ("metrics", 0, 100, 20, 80)


@pytest.mark.parametrize(
    ("lost", "error", "earliest", "skipped_for_latest"),
    [
        (LostPosition(*PLACE), OffsetLost, 20, None),
        (LostPosition("metrics", 0, 5, 20, 80), OffsetLost, 20, (5, 79)),
        (PositionOfAnotherTopic(*PLACE), TopicRecreated, 20, (20, 79)),
        (PositionCutOff(*PLACE, 50), LogTruncated, 50, (50, 79)),
        (PositionCutOff(*PLACE, 0), LogTruncated, 20, (20, 79)),
    ],
)
def test_g5_lost_position_continues_as_configured(
    lost: LostPosition, error: type[OffsetLost], earliest: int, skipped_for_latest: tuple[int, int] | None
) -> None:
    with pytest.raises(OffsetLost, match="on_offset_lost") as caught:
        lost.target("stop")
    assert type(caught.value) is error
    assert lost.target("earliest") == earliest
    assert lost.target("latest") == 80
    expected = SkippedRange("metrics", 0, *skipped_for_latest, error.reason) if skipped_for_latest else None
    assert lost.skipped(80) == expected
    gap = lost.skipped(earliest)
    assert gap == (SkippedRange("metrics", 0, 5, 19, "offset_lost") if lost.position == 5 else None)
