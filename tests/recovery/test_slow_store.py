"""G4, G12: during a long restore the loop keeps turning, so that the worker obeys a stop and sees lost partitions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from detector.process.watchdog import Watchdog
from detector.protocols import AssignmentChanges
from detector.records import Partition, RawBatch
from detector.state.directory import DirectoryStore
from detector.testing import LogSource, ManualClock, MemoryStore
from detector.worker.restoring import SLICE_SECONDS
from tests.recovery.rig import Life, World, alerts, make_log, oracle
from tests.recovery.slow import slow

STALL_SECONDS = 60.0
BLOBS = 3
"""A manifest and two blocks."""
BLOB_SECONDS = 5.0
FIRST, SECOND = ("metrics", 0), ("metrics", 1)


@pytest.mark.parametrize(("seconds_a_blob", "is_ended"), [(50, False), (70, True)])
def test_g12_watchdog_does_not_end_a_restore_that_makes_progress(
    tmp_path: Path, seconds_a_blob: int, is_ended: bool
) -> None:
    world = World(make_log(3, partitions=1))
    first = Life(world, store=DirectoryStore(tmp_path, "group"))
    first.worker.run()
    first.store.close(1.0)
    clock, ends = ManualClock(), []
    watchdog = Watchdog(STALL_SECONDS, now=clock.monotonic, end=lambda: ends.append(clock.now))

    def read() -> None:
        for _ in range(seconds_a_blob):
            clock.advance(1.0)
            watchdog.tick()

    began = clock.now
    second = Life(world, store=slow(DirectoryStore(tmp_path, "group"), read), clock=clock)
    watchdog.watch(second.worker.telemetry.health)
    turns_until(second, lambda: second.worker.positions.keys() == {FIRST})
    second.store.close(1.0)
    assert second.pipeline.table.streams == first.pipeline.table.streams
    assert clock.now - began >= BLOBS * seconds_a_blob > STALL_SECONDS
    assert bool(ends) == is_ended


def test_g4_loop_keeps_turning_during_a_long_restore() -> None:
    world, clock = half_read_world(), ManualClock()
    polled_at: list[float] = []

    class Polled(LogSource):
        def poll(self, timeout_seconds: float) -> list[RawBatch]:
            polled_at.append(clock.now)
            return super().poll(timeout_seconds)

    life = slow_life(world, clock, source=Polled(world.log, world.committed))
    told = {life.worker.telemetry.health.waiting_for}
    while len(life.worker.positions) < 2:
        life.worker.turn()
        told.add(life.worker.telemetry.health.waiting_for)
    waits = [after - before for before, after in pairwise(polled_at)]
    assert max(waits) <= BLOB_SECONDS + SLICE_SECONDS < sum(waits)
    assert {"restoring: 0 of 2 partitions done", "restoring: 1 of 2 partitions done"} < told
    assert life.metrics.registry.get_sample_value("detector_partitions_restoring") == 0.0
    life.worker.run()
    assert (life.state(), alerts(world.delivered)) == oracle(world.log)


def test_restored_partition_is_read_while_others_are_being_restored() -> None:
    world, clock = half_read_world(), ManualClock()
    life = slow_life(world, clock)
    turns_until(life, lambda: life.source.resumed == {FIRST})
    restored_to = life.worker.positions[FIRST]
    life.worker.turn()
    assert life.source.resumed == {FIRST}
    assert life.worker.positions[FIRST] > restored_to
    assert life.worker.positions.keys() == {FIRST}
    assert life.metrics.registry.get_sample_value("detector_partitions_restoring") == 1.0


def test_g12_stop_interrupts_a_restore_and_the_next_start_restores_everything() -> None:
    world, clock = half_read_world(), ManualClock()
    committed = dict(world.committed)
    life = slow_life(world, clock)
    life.worker.turn()
    life.worker.stop()
    stopped_at = clock.now
    life.worker.run()
    assert clock.now == stopped_at, "nothing is read any more"
    assert life.worker.positions == {}
    assert world.committed == committed
    last = Life(world)
    last.worker.run()
    assert (last.state(), alerts(world.delivered)) == oracle(world.log)


@pytest.mark.parametrize(
    "gone", [AssignmentChanges(revoked=frozenset({FIRST})), AssignmentChanges(lost=frozenset({FIRST}))]
)
def test_g4_partition_revoked_during_its_restore_is_dropped_and_the_others_are_restored(
    gone: AssignmentChanges,
) -> None:
    world, clock = half_read_world(), ManualClock()
    life = slow_life(world, clock)
    life.worker.turn()
    assert FIRST in life.worker._restores.waiting
    life.source.pending_changes = [gone]
    turns_until(life, lambda: not life.worker._restores.waiting)
    assert life.worker.positions.keys() == life.source.resumed == {SECOND}
    assert life.pipeline.table.blocks_of(FIRST) == 0

    successor = Life(world)
    successor.source.pending_changes = [AssignmentChanges(assigned=frozenset({FIRST}))]
    successor.source.log = {FIRST: world.log[FIRST]}
    successor.source.positions = {FIRST: 0}
    successor.worker.run()

    # It returns: the other worker's state is restored.
    life.source.pending_changes = [AssignmentChanges(assigned=frozenset({FIRST}))]
    turns_until(life, lambda: not life.worker._restores.waiting)
    life.worker.run()
    assert (life.state(), alerts(world.delivered)) == oracle(world.log)


def test_g12_checkpoint_before_a_rebalance_is_bounded_by_the_flush_timeout() -> None:
    """Otherwise the group evicts its largest members in turn, and each that returns causes another rebalance."""
    world, clock = World(make_log(3, partitions=30)), ManualClock()
    silences, progress_at = [0.0], [clock.now]

    class SlowToWrite(MemoryStore):
        def write(self, partition: Partition, name: str, blob: bytes) -> None:
            clock.advance(BLOB_SECONDS)
            super().write(partition, name, blob)

    life = Life(world, store=SlowToWrite(world.durable), clock=clock)

    def progress() -> None:
        silences.append(clock.now - progress_at[0])
        progress_at[0] = clock.now

    life.worker.checkpoints.progress = progress
    life.turns(1)
    progress_at[0] = began = clock.now
    life.source.pending_changes = [AssignmentChanges(imminent=True)]
    life.worker.turn()
    assert clock.now - began <= life.worker.checkpoints.timeout_seconds + BLOB_SECONDS < 30 * BLOB_SECONDS
    assert max(silences) <= BLOB_SECONDS, "which is no hang"
    assert "joining it without one" in life.log.getvalue()
    assert world.committed == {}
    life.worker.run()
    assert (life.state(), alerts(world.delivered)) == oracle(world.log)


def half_read_world() -> World:
    """A world in which the state of two partitions is stored and half of the log is unread."""
    world = World(make_log(3))
    first = Life(world, source=LogSource(world.log, world.committed, lambda: 500))
    first.turns(1)
    first.checkpoint()
    assert world.committed.keys() == {FIRST, SECOND}
    return world


def slow_life(world: World, clock: ManualClock, source: LogSource | None = None) -> Life:
    store = slow(MemoryStore(world.durable), lambda: clock.advance(BLOB_SECONDS))
    return Life(world, store=store, clock=clock, source=source)


def turns_until(life: Life, done: Callable[[], bool]) -> None:
    for _ in range(100):
        if done():
            return
        life.worker.turn()
    raise AssertionError("it is not done after 100 turns")
