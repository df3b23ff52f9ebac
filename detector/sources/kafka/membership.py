"""A member's place in its group: what the client library knows of it but does not report, or acts on too early."""

from __future__ import annotations

from typing import Any


class Membership:
    """Delays joining a rebalance by one turn of the worker, and notices when the group has shut this member out.

    The library joins a rebalance in the middle of a poll, and from then on offsets cannot be committed. But the broker
    waits for its members and accepts their commits meanwhile. So a poll that learns of a rebalance ends first, and only
    the next one joins. Heartbeats continue on the library's own thread.

    The library also discards an assignment that arrives between two polls, and joins again. Members that never poll at
    the same time would cause one generation after another. So the assignment is kept for the next poll.
    """

    def __init__(self, coordinator: Any) -> None:
        """Replaces the coordinator's `need_rejoin` and wraps its `join_group_async`."""
        self._coordinator = coordinator
        self._rejoin_is_due = coordinator.need_rejoin
        self._may_join = True
        self.announced = False
        """The next poll joins a rebalance; until then, offsets can be committed."""
        coordinator.need_rejoin = self._need_rejoin
        self._join = coordinator.join_group_async
        coordinator.join_group_async = self._join_with_what_came

    def poll_begins(self) -> None:
        """Let this poll join the rebalance that was announced, if any."""
        if self.announced:
            self.announced, self._may_join = False, True

    def poll_ended(self, owns_partitions: bool) -> None:
        """Decide whether the next poll may join. A member with nothing to make durable may join at once."""
        settled = self._coordinator.stable()
        if self._coordinator.rejoining and not self._rejoin_is_due():
            # The library drops a join that it began for a change of topics once they are as before, and then reads
            # nothing more.
            self._coordinator.request_rejoin()
        due = self._rejoin_is_due()
        # Also after a poll that was free to join: its records came after the last checkpoint.
        self.announced = due and settled and owns_partitions
        self._may_join = not settled or (due and not owns_partitions)

    @property
    def generation(self) -> int:
        """The group's generation, as of the last answer to a join."""
        return int(self._coordinator._generation.generation_id)

    @property
    def fenced(self) -> bool:
        """Whether heartbeats have ended for good, which the library only logs: another process took our member name."""
        coordinator = self._coordinator
        return coordinator.stable() and not coordinator._heartbeat_enabled and not self._rejoin_is_due()

    def _need_rejoin(self) -> bool:
        return self._may_join and bool(self._rejoin_is_due())

    async def _join_with_what_came(self, timeout_ms: float | None = None) -> bool:
        coordinator = self._coordinator
        answer = coordinator._join_task
        if answer is not None and answer.succeeded() and coordinator.rebalance_in_progress():

            async def share() -> bytes:
                return bytes(answer.value)

            coordinator._join_task = coordinator._manager.call_soon(share)  # not done yet, so the library waits for it
        return bool(await self._join(timeout_ms=timeout_ms))
