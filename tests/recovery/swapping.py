"""Lives in which weights change: weights and their offsets are recorded, and an oracle repeats them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from detector.columns import Bool, Columns, Rows
from detector.learning.versions import learnt
from detector.pipeline import Pipeline
from detector.pipeline.notifications import Model
from detector.protocols import Forecast, LearntWeights
from detector.records import Float64, Partition
from detector.testing import LastValueForecaster
from tests.recovery.rig import Life, Log, World, alerts


class Scaled(LastValueForecaster):
    """A last-value forecaster whose scale differs with each version of its weights."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        forecast = super().stored(state, rows)
        return Forecast(forecast.loc * self.weight, forecast.scale)

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> None:
        super().learn(state, rows, times, values * self.weight, frozen)


def version(number: int) -> LearntWeights:
    return learnt(str(number).encode())


@dataclass
class Plan:
    """Partition -> offset -> the weights in use from there on, as recorded by lives."""

    used: dict[Partition, dict[int, LearntWeights | None]] = field(default_factory=dict)


class Weights:
    """`WeightsInUse` of one life."""

    def __init__(self, life: Life, plan: Plan) -> None:
        self.life = life
        self.plan = plan
        self.proposed: LearntWeights | None = None
        self.chains: dict[Partition, tuple[LearntWeights, ...]] = {}

    def upcoming(self, partition: Partition) -> tuple[LearntWeights, ...]:
        chain = self.current(partition)
        if self.proposed is None or self.proposed in chain[:1]:
            return chain
        return (self.proposed, *chain)[:2]

    def current(self, partition: Partition) -> tuple[LearntWeights, ...]:
        return self.chains.get(partition, ())

    def use(self, partition: Partition, weights: tuple[LearntWeights, ...]) -> None:
        self.chains[partition] = weights
        apply(self.life.pipeline, partition, weights[0] if weights else None)
        offset = self.life.worker.positions.get(partition)
        if offset is None:  # restored: the manifest has the offset
            offset = self.life.snapshots._durable[partition].generations[-1].offset
        now = weights[0] if weights else None
        before = self.plan.used.setdefault(partition, {}).setdefault(offset, now)
        assert now == before, f"{partition}: from {offset} on something else was used before"

    def forget(self, partition: Partition) -> None:
        self.chains.pop(partition, None)


def apply(pipeline: Pipeline, partition: Partition, weights: LearntWeights | None) -> None:
    if weights is None:
        pipeline.models.pop(partition, None)
    else:
        forecaster = Scaled(1 + 0.25 * int(weights.tensors))
        pipeline.models[partition] = Model(f"v{weights.tensors.decode()}", forecaster)


def swapping_life(world: World, plan: Plan, **options: object) -> tuple[Life, Weights]:
    life = Life(world, forecaster=Scaled(1.0), **options)  # type: ignore[arg-type]
    life.snapshots.weights = weights = Weights(life, plan)
    return life, weights


def oracle_of(log: Log, plan: Plan) -> tuple[dict[Partition, list[bytes]], dict[bytes, set[bytes]]]:
    """State and alerts of an undisturbed process that swaps weights according to the plan."""
    state: dict[Partition, list[bytes]] = {}
    expected: dict[bytes, set[bytes]] = {}
    for partition, records in log.items():
        life = Life(World({partition: records}), forecaster=Scaled(1.0))
        used = plan.used.get(partition, {})
        life.source.sizes = lambda: 0
        life.turns(1)
        for start, end in stretches(sorted({0, *used}), len(records)):
            if start in used:
                apply(life.pipeline, partition, used[start])
            life.source.sizes = lambda count=end - start: count  # type: ignore[misc]
            life.turns(1)
        life.worker.run()
        state |= life.state()
        expected |= alerts(life.world.delivered)
    return state, expected


def stretches(starts: list[int], end: int) -> list[tuple[int, int]]:
    return [(a, b) for a, b in zip(starts, [*starts[1:], end], strict=True) if b > a]


def seeded(rng: np.random.Generator) -> Callable[[], LearntWeights]:
    return lambda: version(int(rng.integers(1, 5)))
