"""G1, G2, G4 while weights change: a replay uses the same weights from the same offsets."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np
import pytest

from detector.errors import CommitRefused
from detector.state.directory import DirectoryStore
from detector.state.manifest import decode_manifest, manifest_offset
from detector.state.weights import weights_name
from tests.recovery.rig import Killed, World, alerts, make_log
from tests.recovery.swapping import Plan, oracle_of, seeded, swapping_life, version
from tests.recovery.test_kills import killing_at, ticker

PARTITION = ("metrics", 0)


def test_g1_g2_kill_at_every_line_of_a_checkpoint_that_swaps_weights() -> None:
    log = make_log(1, streams=6, steps=32)
    line, ended = 0, False
    oracles: dict[str, object] = {}
    outcomes: set[tuple[bool, ...]] = set()
    while not ended:
        line += 1
        rng, world, plan = np.random.default_rng(line), World(log), Plan()
        first, weights = swapping_life(world, plan, rng=rng)
        first.source.sizes = lambda: 60
        first.turns(1)
        first.checkpoint()
        first.turns(1)
        weights.proposed = version(2)
        seen: list[str] = []
        sys.settrace(killing_at(line, seen))
        try:
            first.checkpoint()
            ended = True
        except Killed:
            pass
        finally:
            sys.settrace(None)
        if ended:  # alerts made with the new weights were sent before the kill
            first.turns(1)
        first.die(rng)
        second, _ = swapping_life(world, plan)
        second.source.sizes = lambda: 10_000
        second.worker.run()
        outcomes.add(tuple(version(2) in used.values() for used in plan.used.values()))
        if str(plan) not in oracles:
            oracles[str(plan)] = oracle_of(log, plan)
        assert (second.state(), alerts(world.delivered)) == oracles[str(plan)], seen[-1]
    assert (True, True) in outcomes, "both swapped"
    assert (False, False) in outcomes, "neither did"
    assert outcomes & {(True, False), (False, True)}, "a crash between the manifests"


@pytest.mark.parametrize("seed", range(4))
def test_g1_g2_random_kills_while_weights_change(seed: int, tmp_path: Path) -> None:
    rng, plan = np.random.default_rng(seed), Plan()
    world, propose = World(make_log(seed, streams=40)), seeded(np.random.default_rng(seed))
    for _ in range(30):
        store = DirectoryStore(tmp_path, "group") if seed % 2 else None
        tick = ticker(int(rng.integers(1, 200)))
        life, weights = swapping_life(world, plan, store=store, tick=tick, rng=rng, interval_seconds=2.0)
        life.source.sizes = lambda: int(rng.integers(1, 40))
        with contextlib.suppress(Killed):
            for _ in range(int(rng.integers(1, 6))):
                life.turns(2)
                if rng.random() < 0.7:  # some snapshots are on disk, however slow it is
                    life.store.flush(60.0)
                weights.proposed = propose()
        life.die(rng)
        life.store.close(0.0)
    last, _ = swapping_life(world, plan, store=DirectoryStore(tmp_path, "group") if seed % 2 else None, rng=rng)
    last.worker.run()
    assert (last.state(), alerts(world.delivered)) == oracle_of(world.log, plan)
    assert len(set(plan.used[PARTITION].values())) > 2, "weights changed more than once"


def test_g4_weights_are_swapped_only_while_the_group_confirms_the_assignment() -> None:
    world, plan = World(make_log(7, streams=20)), Plan()
    zombie, weights = swapping_life(world, plan, interval_seconds=1.0)
    zombie.turns(2)
    committed, commits = dict(world.committed), zombie.source.commit
    assert committed

    def refuse(offsets: object) -> None:
        raise CommitRefused("not a member")

    zombie.source.commit = refuse  # type: ignore[method-assign]
    weights.proposed = version(1)
    zombie.turns(2)
    assert weights.current(PARTITION) == ()
    assert not any(name == weights_name(version(1).sha256) for name in _named(world))

    zombie.source.commit = commits  # type: ignore[method-assign]
    zombie.turns(2)
    assert weights.current(PARTITION) == (version(1),)


def test_g1_successor_swaps_no_weights_among_records_whose_alerts_may_have_been_sent() -> None:
    world, plan, rng = World(make_log(5, streams=20)), Plan(), np.random.default_rng(5)
    first, _ = swapping_life(world, plan, rng=rng)
    first.source.sizes = lambda: 100
    first.turns(1)
    first.checkpoint()
    first.turns(3)
    first.die(rng)

    successor, weights = swapping_life(world, plan)
    successor.source.sizes = lambda: 100
    weights.proposed = version(2)
    for reached in (200, 300):
        successor.turns(1)
        successor.checkpoint()
        assert (successor.worker.positions[PARTITION], weights.current(PARTITION)) == (reached, ())
    successor.turns(1)
    successor.checkpoint()
    assert weights.current(PARTITION) == (version(2),), "the first one read as far as 400"


def test_weights_are_deleted_unless_a_kept_snapshot_needs_them() -> None:
    world, plan = World(make_log(3, streams=20)), Plan()
    life, weights = swapping_life(world, plan)
    life.source.sizes = lambda: 10
    for number in (1, 2, 3, 1, 3, 1):
        weights.proposed = version(number)
        life.turns(1)
        life.checkpoint()
    life.store.flush(1.0)
    stored = {name for name in world.durable[PARTITION] if name.startswith("weights-")}
    assert stored == {weights_name(version(number).sha256) for number in (1, 3)}


def test_learned_weights_are_dropped_when_learning_is_off_and_streams_are_kept() -> None:
    world, plan = World(make_log(3, streams=20)), Plan()
    life, weights = swapping_life(world, plan)
    life.turns(1)
    life.checkpoint()
    weights.proposed = version(1)
    life.turns(1)
    life.checkpoint()
    streams = life.pipeline.table.streams

    off, _ = swapping_life(world, plan)
    off.snapshots.weights = None
    off.source.sizes = lambda: 0
    off.turns(1)
    assert (off.pipeline.table.streams, off.pipeline.models) == (streams, {})
    assert "learning.mode is off" in off.log.getvalue()
    off.source.sizes = lambda: 100
    for _ in range(3):
        off.turns(1)
        off.checkpoint()
    off.store.flush(1.0)
    assert not any(name.startswith("weights-") for name in world.durable[PARTITION])


def _named(world: World) -> set[str]:
    return {
        name
        for partition, blobs in world.durable.items()
        for manifest, blob in blobs.items()
        if manifest_offset(manifest) is not None
        for name in decode_manifest(blob, partition).weights
    }
