"""A worker that learns with a real process, is killed, and continues with the learned weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from detector.learning.continual import CHOOSE_SECONDS, Learning
from detector.learning.process import ChildProcess, children_seconds
from detector.learning.versions import Versions
from detector.models.forecaster import Forecaster
from detector.models.weights import Weights
from detector.testing import log_to
from tests.learning.fleet import log_of, untrained, values
from tests.learning.test_continual import PARTITION, SETTINGS, rounds
from tests.learning.test_tuning import RATE
from tests.recovery.rig import Life, World, alerts

PATIENCE_SECONDS = 240.0


def worker(world: World, base: Weights, learning_rate: float) -> tuple[Life, Versions]:
    life = Life(world, forecaster=Forecaster(base), interval_seconds=1.0)
    versions = Versions(life.pipeline, base, Forecaster)
    life.snapshots.weights = versions
    settings = replace(SETTINGS, interval_seconds=1e6, learning_rate=learning_rate)
    life.worker.learning = Learning(
        settings,
        versions,
        life.metrics.learning,
        log_to(life.log),
        life.clock,
        keeps_state=True,
        start=partial(ChildProcess, nice=0),
    )
    life.worker.learning._due_at = life.clock.monotonic()
    life.source.sizes = lambda: 100
    return life, versions


def until(life: Life, done: Callable[[], bool]) -> None:
    """Turns with little to read, as long as the process takes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    life.source.sizes = lambda: 1
    while not done():
        assert time.monotonic() < deadline, life.log.getvalue()
        life.turns(1)
        time.sleep(0.05)


def test_g1_g2_learned_weights_and_alerts_survive_a_kill() -> None:
    base, world = untrained(log_scale=2.0), World(log_of(values(10, 500)))
    life, versions = worker(world, base, RATE)
    life.turns(1)
    life.clock.advance(CHOOSE_SECONDS)
    life.turns(12)
    until(life, lambda: versions.current(PARTITION) != ())
    swapped_at, chain = life.worker.positions[PARTITION], versions.current(PARTITION)
    assert rounds(life, "accepted") == 1
    life.worker.checkpoints.interval_seconds = 1e9  # nothing after the swap is stored
    life.source.sizes = lambda: 100
    life.turns(3)
    assert life.worker.learning is not None
    life.worker.learning.close()
    life.die(np.random.default_rng(0))

    successor, inherited = worker(world, base, RATE)
    successor.source.sizes = lambda: 0
    successor.turns(1)
    assert inherited.current(PARTITION) == chain
    successor.source.sizes = lambda: 1_000
    successor.worker.run()
    assert successor.worker.learning is not None
    successor.worker.learning.close()

    undisturbed, same = worker(World(world.log), base, RATE)
    undisturbed.worker.learning = None
    undisturbed.source.sizes = lambda: 0
    undisturbed.turns(1)
    undisturbed.source.sizes = lambda: swapped_at
    undisturbed.turns(1)
    same.use(PARTITION, chain)
    undisturbed.worker.run()
    assert successor.state() == undisturbed.state()
    assert alerts(world.delivered) == alerts(undisturbed.world.delivered)


def test_candidate_that_is_no_better_is_rejected() -> None:
    before = children_seconds()
    life, versions = worker(World(log_of(values(10, 500))), untrained(), 0.0)
    life.turns(1)
    life.clock.advance(CHOOSE_SECONDS)
    life.turns(12)
    until(life, lambda: bool(rounds(life, "rejected")))
    assert versions.current(PARTITION) == ()
    counted = life.metrics.registry.get_sample_value("detector_learning_cpu_seconds_total")
    assert counted is not None
    assert 0.1 < counted <= children_seconds() - before


def test_killed_process_is_a_failed_round() -> None:
    life, versions = worker(World(log_of(values(10, 500))), untrained(), RATE)
    life.turns(1)
    life.clock.advance(CHOOSE_SECONDS)
    life.turns(8)
    learning = life.worker.learning
    assert learning is not None
    until(life, lambda: learning._round is not None and learning._round.process is not None)
    assert learning._round is not None
    assert learning._round.process is not None
    learning._round.process.kill()
    until(life, lambda: bool(rounds(life, "failed")))
    assert "status -9" in life.log.getvalue()
    assert versions.current(PARTITION) == ()
