"""When a member joins a rebalance, with a fake of the library's coordinator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detector.sources.kafka.membership import Membership


class Coordinator:
    """The part of the library's coordinator that is used."""

    def __init__(self) -> None:
        self.due, self.rejoining, self._heartbeat_enabled, self.is_stable = False, False, True, True
        self.joins = 0

    def need_rejoin(self) -> bool:
        return self.due

    def stable(self) -> bool:
        return self.is_stable

    def request_rejoin(self) -> None:
        self.due = True

    async def join_group_async(self, timeout_ms: float | None = None) -> bool:
        raise AssertionError("no poll here goes so far")


def poll(
    coordinator: Any, membership: Membership, owns: bool = True, meanwhile: Callable[[], None] = lambda: None
) -> bool:
    """Poll; whether it joined. `meanwhile` runs within the poll after a join."""
    membership.poll_begins()
    joined = bool(coordinator.need_rejoin())
    if joined:
        coordinator.due = False
    meanwhile()
    membership.poll_ended(owns)
    return joined


def announced(membership: Membership) -> bool:
    return membership.announced


def fenced(membership: Membership) -> bool:
    return membership.fenced


def test_rebalance_is_announced_by_one_poll_and_joined_by_the_next() -> None:
    coordinator = Coordinator()
    membership = Membership(coordinator)
    assert not poll(coordinator, membership)
    coordinator.due = True
    assert not poll(coordinator, membership)
    assert announced(membership)
    assert poll(coordinator, membership)
    assert not announced(membership)
    coordinator.due = True
    assert not poll(coordinator, membership), "and the next one is announced again"


def test_rebalance_due_in_the_poll_that_joined_one_is_announced() -> None:
    coordinator = Coordinator()
    membership = Membership(coordinator)
    poll(coordinator, membership)
    coordinator.due = True
    poll(coordinator, membership)
    assert poll(coordinator, membership, meanwhile=coordinator.request_rejoin)
    assert announced(membership), "what that poll has read is not durable yet"
    assert poll(coordinator, membership)
    assert not announced(membership)


def test_join_that_a_poll_had_no_time_for_is_not_postponed() -> None:
    """As while the coordinator is being looked up."""
    coordinator = Coordinator()
    membership = Membership(coordinator)
    poll(coordinator, membership)
    coordinator.due = True
    poll(coordinator, membership)
    membership.poll_begins()
    membership.poll_ended(True)
    assert announced(membership)
    assert poll(coordinator, membership)


def test_member_without_partitions_joins_at_once() -> None:
    coordinator = Coordinator()
    membership = Membership(coordinator)
    poll(coordinator, membership, owns=False)
    coordinator.due = True
    poll(coordinator, membership, owns=False)
    assert not announced(membership)
    assert poll(coordinator, membership, owns=False)


def test_evicted_member_joins_at_once() -> None:
    coordinator = Coordinator()
    membership = Membership(coordinator)
    poll(coordinator, membership)
    coordinator.due, coordinator.is_stable = True, False
    poll(coordinator, membership)
    assert not announced(membership)
    assert poll(coordinator, membership)


def test_g12_join_that_the_library_forgot_is_requested_again() -> None:
    coordinator = Coordinator()
    membership = Membership(coordinator)
    coordinator.rejoining, coordinator.is_stable = True, False
    membership.poll_ended(True)
    assert coordinator.need_rejoin()


def test_pitfall_9_stopped_heartbeats_are_an_error() -> None:
    coordinator = Coordinator()
    membership = Membership(coordinator)
    assert not fenced(membership)
    coordinator._heartbeat_enabled = False
    assert fenced(membership)
    coordinator.due = True
    assert not fenced(membership), "they rest while a rebalance is joined"
    coordinator.due, coordinator.is_stable = False, False
    assert not fenced(membership)
