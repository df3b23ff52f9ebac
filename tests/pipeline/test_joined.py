"""Partitions processed side by side: each gets the same results as alone."""

from __future__ import annotations

from dataclasses import astuple
from typing import NamedTuple

import numpy as np
import pytest

from detector.alerts import Lifecycle, Mutes
from detector.app import build_pipeline
from detector.columns import Bool, Columns, Rows
from detector.config import Config
from detector.config.alerts import Alerts
from detector.pipeline import Pipeline, joined
from detector.pipeline.groups import Groups, GroupSettings
from detector.pipeline.joined import Joined
from detector.pipeline.notifications import Model
from detector.records import AlertStatus, Float64, Int64, Kind, Outcome, Partition, SampleBatch, ScoredBatch, Uint8
from detector.scoring import GroupScorer, Scorer, ScorerSettings
from detector.series import SeriesKey
from detector.state.block import encode_block
from detector.testing import LastValueForecaster
from tests.guarantees.snapshot import restarted
from tests.operations import operations
from tests.telemetry.populate import alert

START = 1_700_006_400.0
SAMPLES = 600
PARTITIONS: list[Partition] = [("t", 0), ("t", 1), ("u", 0)]
LEARNT = ("t", 1)
"""Its streams are forecast with weights of their own."""
MUTED = Alerts.model_validate(
    {
        "time_intervals": [
            {"name": "backup", "time_intervals": [{"times": [{"start_time": "00:02", "end_time": "00:50"}]}]}
        ],
        "mute": [{"matchers": ['host="h0"'], "time_intervals": ["backup"]}],
    }
)
COLUMNS = ("outcomes", "expected", "lower", "upper", "scores", "statuses")


class Halving(LastValueForecaster):
    """Another forecaster with the same state: it forecasts half of the last value."""

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> None:
        super().learn(state, rows, times, values / 2, frozen)


class Log(NamedTuple):
    """The samples of a partition, in order."""

    keys: list[SeriesKey]
    times: Float64
    values: Float64
    kinds: Uint8


class World(NamedTuple):
    """The settings that vary."""

    limit: int
    expiry: float
    by: tuple[str, ...]


def pipeline_of(world: World, forecaster: LastValueForecaster | None = None) -> Pipeline:
    """A pipeline that uses `forecaster` for all partitions; None for two kinds of weights."""
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0
    )
    groups = Groups(GroupSettings(world.by, 60.0), GroupScorer(0.5, warmup_ticks=5), lifecycle) if world.by else None
    pipeline = Pipeline(
        forecaster or LastValueForecaster(),
        Scorer(ScorerSettings(warmup_samples=10)),
        lifecycle,
        max_streams=world.limit,
        idle_expiry_seconds=world.expiry,
        max_future_seconds=3600.0,
        critical_score=2.0,
        model="halving" if isinstance(forecaster, Halving) else "last-value",
        evict_idle_seconds=60.0,
        groups=groups,
        mutes=Mutes(MUTED),
    )
    if forecaster is None:
        pipeline.models[LEARNT] = Model("halving", Halving())
    return pipeline


def log_of(seed: int) -> Log:
    """Streams that appear, fall silent, return, restart and jump, at the partition's own pace of event time."""
    rng = np.random.default_rng(seed)
    pace = rng.choice([1.0, 4.0, 20.0])
    of = np.arange(SAMPLES) // 200 + rng.integers(0, 6, SAMPLES)
    keys = [SeriesKey.of(f"metric_{one % 3}", {"host": f"h{one // 3}"}) for one in of.tolist()]
    times = START + pace * np.arange(SAMPLES) + rng.choice([0.0, 0.0, 0.0, -30.0, 25.0], SAMPLES)
    values = rng.normal(size=SAMPLES) + 1e4 * (rng.random(SAMPLES) < 0.02)
    kinds = np.where(of % 3 == 0, Kind.COUNTER, Kind.GAUGE).astype(np.uint8)
    values[of % 3 == 0] = 50.0 * np.arange(SAMPLES)[of % 3 == 0]
    values[rng.integers(0, SAMPLES, 6)] = 0.0
    return Log(keys, times, values, kinds)


def batch_of(pipeline: Pipeline, partition: Partition, log: Log, first: int, end: int) -> SampleBatch:
    index, some = pipeline.table.series(partition), slice(first, end)
    handles: Int64 = np.array([index.intern(key) for key in log.keys[some]], dtype=np.int64)
    count = len(handles)
    return SampleBatch(
        *partition,
        series=handles,
        times=log.times[some],
        values=log.values[some],
        kinds=log.kinds[some],
        outcomes=np.zeros(count, dtype=np.uint8),
        offsets=np.arange(first, first + count),
        record_times=np.full(count, np.nan),
    )


def state_of(pipeline: Pipeline, partition: Partition) -> tuple[object, ...]:
    table, fields = pipeline.table, pipeline.table.fields
    table.cut(partition)
    table.cancel_cut(partition, range(table.blocks_of(partition)))
    blocks = [encode_block(table.take(partition, number), fields, partition, 1, {}) for number in table.cut(partition)]
    return table.event_time(partition), blocks


def together(
    pipeline: Pipeline, logs: dict[Partition, Log], cuts: list[tuple[int, int, int]]
) -> list[list[ScoredBatch]]:
    """Process, at each step, the number of samples of each partition in `cuts`, until everything is read."""
    at = dict.fromkeys(logs, 0)
    found: list[list[ScoredBatch]] = [[] for _ in logs]
    for counts in [*cuts, (SAMPLES,) * len(logs)]:
        ends = {one: min(SAMPLES, at[one] + count) for one, count in zip(logs, counts, strict=True)}
        some = [one for one in logs if ends[one] > at[one]]
        batches = [batch_of(pipeline, one, logs[one], at[one], ends[one]) for one in some]
        for one, scored in zip(some, pipeline.process_together(batches, expire=True), strict=True):
            found[list(logs).index(one)].append(scored)
        at = ends
    return found


def assert_same(some: list[ScoredBatch], others: list[ScoredBatch]) -> None:
    for column in COLUMNS:
        np.testing.assert_array_equal(
            np.concatenate([getattr(one, column) for one in some]),
            np.concatenate([getattr(one, column) for one in others]),
        )
    alerts = [[repr(astuple(alert)) for one in found for alert in one.alerts] for found in (some, others)]
    assert alerts[0] == alerts[1]
    muted = [[interval for one in found for interval in one.muted] for found in (some, others)]
    assert muted[0] == muted[1]


WORLDS = [World(limit, expiry, by) for limit in (6, 16) for expiry in (200.0, 1e6) for by in ((), ("host",))]


def cuts_of(seed: int) -> list[tuple[int, int, int]]:
    """The number of samples of each partition in each step; often none."""
    drawn = np.random.default_rng(seed).integers(-60, 200, (8, len(PARTITIONS))).clip(0)
    return [(a, b, c) for a, b, c in drawn.tolist()]


@pytest.mark.parametrize("seed", range(16))
def test_g8_partition_results_do_not_depend_on_partitions_sharing_its_rounds(seed: int) -> None:
    world = WORLDS[seed % len(WORLDS)]
    logs = {partition: log_of(seed + 7 * n) for n, partition in enumerate(PARTITIONS)}
    joined = pipeline_of(world)
    found = together(joined, logs, cuts_of(seed))
    expired = evicted = 0
    for partition, scored in zip(PARTITIONS, found, strict=True):
        alone = pipeline_of(world, Halving() if partition == LEARNT else LastValueForecaster())
        assert_same(scored, [alone.process(batch_of(alone, partition, logs[partition], 0, SAMPLES), expire=True)])
        assert state_of(joined, partition) == state_of(alone, partition)
        expired, evicted = expired + alone.table.expired, evicted + alone.table.evicted
    assert (joined.table.expired, joined.table.evicted) == (expired, evicted)


BUSY = {
    "streams": {"max_streams_per_partition": 16, "evict_idle_seconds": 60.0, "idle_expiry_seconds": 1e6},
    "scoring": {"warmup_samples": 10, "alerts_per_stream_week": 10_000},
    "groups": {"by": ["host"], "alerts_per_group_week": 10_000},
    "alerts": {
        "recovery": {"normal": 2},
        "cooldown_seconds": 100.0,
        "max_firing_seconds": 60.0,
    },
}


@pytest.mark.parametrize("profile", ["full", "compact"])
def test_g8_partition_results_are_independent_with_network_cooldowns_and_max_firing(profile: str) -> None:
    config = Config.model_validate({**BUSY, "model": {"profile": profile, "readout": {"freeze_seconds": 20.0}}})
    logs = {partition: log_of(1 + 7 * n) for n, partition in enumerate(PARTITIONS)}
    joined, told = build_pipeline(config), set()
    for partition, scored in zip(PARTITIONS, together(joined, logs, cuts_of(1)), strict=True):
        alone = build_pipeline(config)
        assert_same(scored, [alone.process(batch_of(alone, partition, logs[partition], 0, SAMPLES), expire=True)])
        assert state_of(joined, partition) == state_of(alone, partition)
        told |= {(alert.status, alert.series.is_group) for one in scored for alert in one.alerts}
    assert len(told) == 4


@pytest.mark.parametrize("world", WORLDS)
def test_g1_g8_restart_of_all_partitions_at_once_changes_nothing(world: World) -> None:
    restart_at = SAMPLES // 2 + 7 * WORLDS.index(world)
    logs = {partition: log_of(n) for n, partition in enumerate(PARTITIONS)}
    whole, before, after = pipeline_of(world), pipeline_of(world), pipeline_of(world)
    expected = together(whole, logs, cuts_of(1))
    firsts = [batch_of(before, one, log, 0, restart_at) for one, log in logs.items()]
    found = [[scored] for scored in before.process_together(firsts, expire=True)]
    for partition in PARTITIONS:
        restarted(before, after, partition)
    rests = [batch_of(after, one, log, restart_at, SAMPLES) for one, log in logs.items()]
    for one, scored in zip(found, after.process_together(rests, expire=True), strict=True):
        one.append(scored)
    for partition, some, others in zip(PARTITIONS, found, expected, strict=True):
        assert_same(some, others)
        assert state_of(after, partition) == state_of(whole, partition)


@pytest.mark.parametrize("expiry", [200.0, 1e6])
def test_generated_logs_contain_the_cases_that_matter(expiry: float) -> None:
    """Without alerts, muted ones, limits and counters that start, the tests above would prove little."""
    pipeline = pipeline_of(World(limit=6, expiry=expiry, by=("host",)))
    logs = {partition: log_of(2 + 7 * n) for n, partition in enumerate(PARTITIONS)}
    found = [one for batches in together(pipeline, logs, []) for one in batches]
    outcomes = set(np.concatenate([one.outcomes for one in found]).tolist())
    assert outcomes >= {Outcome.SCORED, Outcome.WARMUP, Outcome.LATE, Outcome.STREAM_LIMIT, Outcome.COUNTER_START}
    alerts = [alert for one in found for alert in one.alerts]
    assert {alert.model for alert in alerts} == {"last-value", "halving"}
    assert any(alert.series.is_group for alert in alerts)
    assert any(one.muted for one in found) or expiry == 200.0
    assert pipeline.table.evicted > 0
    assert (pipeline.table.expired > 0) == (expiry == 200.0)


def test_series_on_two_partitions_is_counted_once_when_both_begin_together() -> None:
    pipeline = pipeline_of(World(16, 1e6, ()))
    log = log_of(0)
    pipeline.process_together([batch_of(pipeline, one, log, 0, SAMPLES) for one in PARTITIONS[:2]], expire=True)
    assert pipeline.table.splits.count == pipeline.table.streams / 2


def test_two_batches_of_one_partition_are_an_error() -> None:
    pipeline = pipeline_of(World(16, 1e6, ()))
    batches = [batch_of(pipeline, PARTITIONS[0], log_of(0), first, first + 5) for first in (0, 5)]
    with pytest.raises(ValueError, match="cannot go side by side"):
        pipeline.process_together(batches)


def test_cost_of_an_alert_does_not_grow_with_partitions() -> None:
    pipeline, log = pipeline_of(World(16, 1e6, ())), log_of(0)

    def cost(partitions: int) -> int:
        batches = [batch_of(pipeline, ("t", number), log, 0, 4) for number in range(partitions)]
        plain, found = (Joined(batches, pipeline.forecaster, 1e9) for _ in range(2))
        found.alerts = [(position, alert(AlertStatus.FIRING)) for position in range(4)]
        found.muted = [(position, "backup") for position in range(4)]
        spent = operations(joined, found.apart) - operations(joined, plain.apart)
        assert [(len(one.alerts), len(one.muted)) for one in found.apart()] == [(4, 4)] + [(0, 0)] * (partitions - 1)
        return spent

    assert cost(100) == cost(2) > 0
