"""G12: a restore may take long; the watchdog ends it where nothing moves, and not where it is merely slow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from detector.process.watchdog import Watchdog
from detector.records import Partition
from detector.state.directory import DirectoryStore
from detector.testing import ManualClock
from tests.recovery.rig import Life, World, make_log

STALL_SECONDS = 60.0
BLOBS = 3
"""A manifest and two blocks."""


class Slow(DirectoryStore):
    """Reading a blob takes its time."""

    def __init__(self, root: Path, read: Callable[[], None]) -> None:
        super().__init__(root, "group")
        self._read = read

    def open(self, partition: Partition, progress: Callable[[], None] = lambda: None) -> Mapping[str, bytes]:
        def read() -> None:
            self._read()
            progress()

        return super().open(partition, read)


@pytest.mark.parametrize(("seconds_a_blob", "is_ended"), [(50, False), (70, True)])
def test_g12_a_restore_that_makes_progress_is_not_ended_however_long_it_takes(
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
    second = Life(world, store=Slow(tmp_path, read), clock=clock)
    watchdog.watch(second.worker.telemetry.health)
    second.worker.turn()
    second.worker.turn()
    second.store.close(1.0)
    assert second.pipeline.table.streams == first.pipeline.table.streams
    assert clock.now - began >= BLOBS * seconds_a_blob > STALL_SECONDS
    assert bool(ends) == is_ended
