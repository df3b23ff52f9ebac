"""A member's place in its group: what the client library knows of it and neither says nor waits with."""

from __future__ import annotations

from typing import Any


class Membership:
    """Holds a rebalance back for one turn of the worker, and notices when the group has shut this member out.

    The library joins a rebalance in the midst of a poll, and once it has, offsets cannot be committed any more. The
    broker waits for its members, though, and takes their commits meanwhile: so a poll that learns of a rebalance ends
    first, and only the next one joins. Heartbeats go on, on the library's own thread.

    The library also throws a share away that the group gave between two polls, and joins anew: members that poll in
    turns, none while another one does, would make generation after generation. It is kept for the next poll.
    """

    def __init__(self, coordinator: Any) -> None:
        """Puts itself in the place of the coordinator's `need_rejoin`, and before its `join_group_async`."""
        self._coordinator = coordinator
        self._rejoin_is_due = coordinator.need_rejoin
        self._may_join = True
        self.announced = False
        """The next poll joins a rebalance: until then, offsets can be committed."""
        coordinator.need_rejoin = self._need_rejoin
        self._join = coordinator.join_group_async
        coordinator.join_group_async = self._join_with_what_came

    def poll_begins(self) -> None:
        """What was announced has been heard."""
        if self.announced:
            self.announced, self._may_join = False, True

    def poll_ended(self, owns_partitions: bool) -> None:
        """Decide about the next poll. Who has nothing to make durable may join at once."""
        settled = self._coordinator.stable()
        if self._coordinator.rejoining and not self._rejoin_is_due():
            # The library forgets a join that it began for the topics' sake once it sees them as they were, and reads
            # nothing from then on.
            self._coordinator.request_rejoin()
        due = self._rejoin_is_due()
        # Also after a poll that could have joined: its records came behind the last checkpoint.
        self.announced = due and settled and owns_partitions
        self._may_join = not settled or (due and not owns_partitions)

    @property
    def generation(self) -> int:
        """The group's, as of the last answer to a join."""
        return int(self._coordinator._generation.generation_id)

    @property
    def fenced(self) -> bool:
        """Heartbeats stopped for good, which the library only logs: another process is a member under our name."""
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

            coordinator._join_task = coordinator._manager.call_soon(share)  # not done yet: so it is waited for
        return bool(await self._join(timeout_ms=timeout_ms))
