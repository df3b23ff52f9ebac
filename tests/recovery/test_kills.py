"""G1 and G2: after kills at any point, state is byte-equal to an undisturbed run's and no alert is lost."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import detector.state.directory
import detector.worker.checkpoint
import detector.worker.snapshots
from detector.config.webhook import Webhook
from detector.errors import DeliveryError
from detector.protocols import StateStore
from detector.state.directory import DirectoryStore
from tests.recovery.rig import Killed, Life, World, alerts, make_log, oracle
from tests.sinks.hook import Hook, change, disordered

STEPS_OF_A_CHECKPOINT = {
    Path(module.__file__ or "").name for module in (detector.worker.checkpoint, detector.worker.snapshots)
}


def ticker(at: int) -> Callable[[], None]:
    """Kills at the given call."""
    left = at

    def tick() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Killed

    return tick


@pytest.mark.parametrize("seed", range(6))
def test_g1_g2_random_kills(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    world = World(make_log(seed))
    state, expected = oracle(world.log)
    assert len(expected) > 20, "the log has alerts"
    for _ in range(40):
        store = DirectoryStore(tmp_path, "group") if seed % 2 else None
        life = Life(world, store=store, tick=ticker(int(rng.integers(1, 400))), rng=rng, interval_seconds=3.0)
        with contextlib.suppress(Killed):
            life.turns(int(rng.integers(1, 14)))
        life.die(rng)
        life.store.close(0.0)
    last = Life(world, store=DirectoryStore(tmp_path, "group") if seed % 2 else None, rng=rng)
    last.worker.run()
    assert last.state() == state
    assert alerts(world.delivered) == expected
    assert min(world.committed.values()) > 0


@pytest.mark.parametrize("seed", range(2))
def test_g2_random_kills_of_worker_and_webhook(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = World(make_log(seed))
    state, expected = oracle(world.log)
    given_up = 0
    with Hook() as hook:
        hasty = Webhook(enabled=True, url=hook.url, timeout_seconds=0.3, delivery_timeout_seconds=0.4)
        acts = [hook.fail, hook.hang, hook.die, hook.mend, hook.mend] * 8
        for number in rng.permutation(len(acts)):
            acts[number]()
            life = Life(world, tick=ticker(int(rng.integers(1, 400))), rng=rng, interval_seconds=3.0, webhook=hasty)
            try:
                life.turns(int(rng.integers(1, 14)))
            except Killed:
                pass
            except DeliveryError:
                given_up += 1
            life.die(rng)
            hook.mend()
        patient = Webhook(enabled=True, url=hook.url, timeout_seconds=60.0, delivery_timeout_seconds=300.0)
        last = Life(world, rng=rng, webhook=patient)
        last.worker.run()
        last.die(rng)
    assert last.state() == state
    posted: dict[bytes, set[bytes]] = {}
    for record in hook.taken:
        told = change(record)
        posted.setdefault(f"{told.id}-{told.status}".encode(), set()).add(record)
    assert posted == expected == alerts(world.delivered)
    assert disordered((record for (record,) in expected.values()), hook.taken) == []
    assert given_up > 0
    assert min(world.committed.values()) > 0


def killing_at(line: int, seen: list[str]) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that kills at the n-th line executed in the modules of a checkpoint."""

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            seen.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
            if len(seen) == line:
                raise Killed
        return local

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        return local if Path(frame.f_code.co_filename).name in STEPS_OF_A_CHECKPOINT else None

    return trace


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_g1_kill_at_every_line_of_a_checkpoint(kind: str, tmp_path: Path) -> None:
    log = make_log(1, streams=8, steps=32)
    state, expected = oracle(log)
    assert expected, "the log has alerts"
    line, ended = 0, False
    lines: set[str] = set()
    while not ended:
        line += 1
        rng = np.random.default_rng(line)
        world = World(log)
        folder = tmp_path / str(line)

        def store(folder: Path = folder) -> StateStore | None:
            return DirectoryStore(folder, "group") if kind == "directory" else None

        first = Life(world, store=store(), rng=rng)
        first.source.sizes = lambda: 100
        first.turns(1)
        first.checkpoint()
        first.turns(1)
        seen: list[str] = []
        sys.settrace(killing_at(line, seen))
        try:
            first.checkpoint()
            ended = True
        except Killed:
            pass
        finally:
            sys.settrace(None)
        lines.update(seen)
        first.die(rng)
        first.store.close(0.0)
        second = Life(world, store=store(), rng=rng)
        second.source.sizes = lambda: 10_000
        second.worker.run()
        second.store.close(1.0)
        assert second.state() == state, seen[-1]
        assert alerts(world.delivered) == expected, seen[-1]
    print(f"{line} lines, {len(lines)} different")
    assert line > 130
    assert sum(where.startswith("checkpoint.py") for where in lines) > 20
