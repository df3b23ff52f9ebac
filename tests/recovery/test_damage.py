"""G3, G4, G13: failing stores, damaged files, foreign state, and workers replaced without their knowledge."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detector.errors import CommitRefused, StateDamaged, StateForeign, StateUnavailable
from detector.protocols import AssignmentChanges
from detector.records import Lineage
from detector.state.directory import DirectoryStore
from detector.testing import MemoryStore
from tests.recovery.rig import FINGERPRINT, Life, Log, World, alerts, make_log, oracle

PARTITION = ("metrics", 0)
Damage = Callable[[Path], None]


def small_log() -> Log:
    return make_log(7, streams=20, steps=40)


def flip(file: Path) -> None:
    blob = bytearray(file.read_bytes())
    blob[len(blob) // 2] ^= 0x10
    file.write_bytes(bytes(blob))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def test_g3_failing_store_prevents_the_commit_and_nothing_is_lost() -> None:
    world = World(small_log())
    state, expected = oracle(world.log)
    life = Life(world)
    life.turns(2)
    assert isinstance(life.store, MemoryStore)
    life.store.fail = True
    with pytest.raises(StateUnavailable):
        life.checkpoint()
    assert world.committed == {}
    assert life.metrics.registry.get_sample_value("detector_checkpoint_failures_total") == 1
    life.die(np.random.default_rng(0))
    last = Life(world)
    last.worker.run()
    assert (last.state(), alerts(world.delivered)) == (state, expected)


def test_g3_snapshot_counts_although_its_commit_was_refused() -> None:
    world = World(small_log())
    state, _ = oracle(world.log)
    life = Life(world)
    commit = life.source.commit

    def refuse(offsets: object) -> None:
        raise CommitRefused("rebalancing")

    life.turns(1)
    life.source.commit = refuse  # type: ignore[method-assign]
    with pytest.raises(CommitRefused):
        life.checkpoint()
    assert world.committed == {}
    killed_here = Life(world)
    killed_here.source.sizes = lambda: 0
    killed_here.turns(1)
    assert killed_here.source.positions == life.worker.positions, "the snapshot's offset, not the committed one"
    life.source.commit = commit  # type: ignore[method-assign]
    life.turns(1)
    life.checkpoint()
    assert world.committed == life.worker.positions
    last = Life(world)
    last.worker.run()
    assert last.state() == state


@pytest.mark.parametrize("damage", [flip, truncate, empty, Path.unlink])
@pytest.mark.parametrize("kind", ["manifest", "block"])
def test_g13_damaged_snapshot_falls_back_to_the_previous_one(damage: Damage, kind: str, tmp_path: Path) -> None:
    world = World(small_log())
    state, expected = oracle(world.log)
    store = DirectoryStore(tmp_path, "group")
    life = Life(world, store=store)
    for _ in range(3):
        life.turns(1)
        life.checkpoint()
    life.store.flush(120.0)
    files = sorted(store.folder(PARTITION).glob(f"{kind}-*"))
    assert len(files) == 2, "two generations, no more"
    damage(files[-1])
    last = Life(world, store=DirectoryStore(tmp_path, "group"))
    last.worker.run()
    assert (last.state(), alerts(world.delivered)) == (state, expected)
    if not (kind == "manifest" and damage is Path.unlink):
        assert "snapshot damaged" in last.log.getvalue()
        assert last.metrics.registry.get_sample_value("detector_state_snapshots_damaged_total") == 1


def test_g13_worker_stops_with_an_error_when_every_snapshot_is_damaged(tmp_path: Path) -> None:
    world = World(small_log())
    store = DirectoryStore(tmp_path, "group")
    life = Life(world, store=store)
    life.turns(1)
    life.checkpoint()
    for file in store.folder(PARTITION).glob("block-*"):
        flip(file)
    last = Life(world, store=DirectoryStore(tmp_path, "group"))
    with pytest.raises(StateDamaged, match="metrics/0"):
        last.worker.run()


@pytest.mark.parametrize("limit", [0, 4_096, 30_000])
def test_g13_full_disk_stops_the_worker_and_keeps_the_last_snapshot(limit: int, tmp_path: Path) -> None:
    world = World(small_log())
    state, expected = oracle(world.log)
    life = Life(world, store=DirectoryStore(tmp_path, "group"))
    life.turns(1)
    life.checkpoint()
    committed = dict(world.committed)
    life.turns(1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(StateUnavailable, match="cannot be written"):
            life.checkpoint()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert world.committed == committed
    life.store.close(1.0)
    assert not list(tmp_path.rglob("*.part"))
    last = Life(world, store=DirectoryStore(tmp_path, "group"))
    last.worker.run()
    assert (last.state(), alerts(world.delivered)) == (state, expected)


def test_g13_unwritable_folder_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnavailable, match=r"state\.directory\.path"):
        DirectoryStore(tmp_path / "file", "group")


def foreign(world: World, on_foreign: str, **fingerprint: str) -> Life:
    life = Life(world)
    life.snapshots.fingerprint = {**FINGERPRINT, **fingerprint}
    life.snapshots.on_foreign = on_foreign
    return life


def test_state_of_another_model_is_refused_rewarmed_or_adopted() -> None:
    world = World(small_log())
    state, _ = oracle(world.log)
    life = Life(world)
    life.turns(1)
    life.checkpoint()
    for changed in ({"model": "other"}, {"torch": "3"}):
        with pytest.raises(StateForeign, match=next(iter(changed))):
            foreign(world, "refuse", **changed).worker.turn()
    with pytest.raises(StateForeign, match="model"):
        foreign(world, "adopt", model="other").worker.turn()

    rewarmed = foreign(world, "rewarm", model="other")
    rewarmed.source.sizes = lambda: 0
    rewarmed.worker.turn()
    assert rewarmed.pipeline.table.streams == 0
    assert rewarmed.source.positions == life.worker.positions

    adopted = foreign(world, "adopt", torch="3")
    adopted.worker.run()
    assert adopted.state() == state


def test_g4_replaced_worker_overwrites_and_deletes_nothing_of_its_successor() -> None:
    log = small_log()
    state, expected = oracle(log)
    step = 0
    while True:
        world, refused = World(log), CommitRefused("not a member")
        zombie = Life(world)
        for _ in range(2):
            zombie.turns(1)
            zombie.checkpoint()
        zombie.turns(1)
        ended = False
        stuck = zombie.worker.checkpoints._begin(zombie.worker.positions, wait=True).steps
        for _ in range(step):
            ended = ended or next(stuck, "end") == "end"
        was_its_own = world.committed == zombie.worker.positions

        successor = Life(world)
        successor.turns(2)
        successor.checkpoint()

        def refuse(offsets: object, refused: CommitRefused = refused) -> None:
            raise refused

        zombie.source.commit = refuse  # type: ignore[method-assign]
        if was_its_own:
            list(stuck)  # deletes what the snapshot that it committed left over, and its successor began with
        else:
            with pytest.raises(CommitRefused):
                list(stuck)
        zombie.store.flush(1.0)

        successor.turns(1)
        successor.checkpoint()
        last = Life(world)
        last.worker.run()
        assert (last.state(), alerts(world.delivered)) == (state, expected), step
        if ended:
            break
        step += 1
    assert step >= 2


def test_g4_partition_is_restored_before_its_records_and_dropped_when_revoked() -> None:
    world = World(small_log())
    state, _ = oracle(world.log)
    other = ("metrics", 1)
    first = Life(world)
    first.turns(1)
    first.checkpoint()
    first.turns(1)
    first.source.pending_changes = [AssignmentChanges(revoked=frozenset({PARTITION}))]
    first.source.resumed.discard(PARTITION)
    before = first.pipeline.table.streams
    first.turns(1)
    assert 0 < first.pipeline.table.streams < before
    assert first.worker.positions.keys() == {other}

    second = Life(world)
    second.source.pending_changes = [AssignmentChanges(assigned=frozenset({PARTITION}))]
    second.source.sizes = lambda: 10_000
    second.turns(3)
    second.checkpoint()
    assert second.state()[PARTITION] == state[PARTITION]

    # It returns: the other worker's state is restored, the old one is gone.
    first.source.pending_changes = [AssignmentChanges(assigned=frozenset({PARTITION}))]
    first.source.sizes = lambda: 10_000
    first.turns(3)
    assert first.state() == state


def test_g4_rebalance_abandons_the_running_checkpoint_and_the_next_one_is_complete() -> None:
    world = World(small_log())
    state, expected = oracle(world.log)
    life = Life(world, interval_seconds=4.0)
    life.turns(1)
    life.worker.checkpoints._running = life.worker.checkpoints._begin(life.worker.positions, wait=False)
    next(life.worker.checkpoints._running.steps)
    life.source.pending_changes = [AssignmentChanges(lost=frozenset({("metrics", 1)}))]
    life.source.resumed.discard(("metrics", 1))
    life.turns(5)
    life.die(np.random.default_rng(1))
    last = Life(world)
    last.worker.run()
    assert (last.state(), alerts(world.delivered)) == (state, expected)


def test_snapshots_of_another_history_of_the_log_are_not_restored() -> None:
    """As after a topic was recreated and `on_offset_lost` is earliest."""
    world = World(small_log())
    state, _ = oracle(world.log)
    life = Life(world)
    life.turns(3)
    life.checkpoint()
    life.store.flush(1.0)
    before = dict(life.worker.positions)

    again = Life(world)
    again.source.sizes = lambda: 0
    again.turns(1)
    for partition in world.log:
        again.pipeline.table.drop(partition)
        again.source.seek(partition, 0)
    again.source.sizes = lambda: 10
    again.turns(1)
    again.checkpoint()
    again.store.flush(1.0)
    assert all(again.worker.positions[partition] < offset for partition, offset in before.items())
    last = Life(world)
    last.source.sizes = lambda: 0
    last.turns(1)
    assert last.worker.positions == again.worker.positions
    last.source.sizes = lambda: 1000
    last.worker.run()
    assert last.state() == state


def test_g5_restored_position_carries_its_lineage() -> None:
    world, lineages = World(small_log()), {PARTITION: Lineage("an id", 3)}
    life = Life(world)
    life.source.lineages = dict(lineages)
    life.turns(2)
    life.checkpoint()
    life.store.flush(1.0)
    successor = Life(world)
    successor.turns(1)
    assert successor.source.lineages[PARTITION] == lineages[PARTITION]
