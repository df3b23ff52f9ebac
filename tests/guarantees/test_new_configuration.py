"""Alerts fire and resolve correctly when the configuration changes and the state is kept: groups, mutes, limits."""

from __future__ import annotations

import numpy as np
import pytest

from detector.alerts import Lifecycle, Mutes
from detector.config.alerts import Alerts
from detector.pipeline import Pipeline
from detector.pipeline.groups import Groups, GroupSettings
from detector.records import Alert, AlertStatus, Severity
from detector.scoring import GroupScorer, Scorer, ScorerSettings
from detector.series import SeriesKey
from detector.state.block import decode_block, read_block
from detector.state.rewarm import renewed
from detector.testing import LastValueForecaster
from tests.pipeline.test_groups import PARTITION, START, STEP, Log, batch_of, blobs_of

HOSTS, METRICS, STEPS = 6, 5, 300
LIMITS = (24, 40)
MUTED = Alerts.model_validate(
    {
        "time_intervals": [
            {"name": "night", "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "12:00"}]}]}
        ],
        "mute": [{"matchers": ['host=~"h[0-4].*"'], "time_intervals": ["night"]}],
    }
)


def configured(rng: np.random.Generator) -> Pipeline:
    """A pipeline with these settings."""
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=40_000.0, cooldown_seconds=0.0
    )
    by = (("host",), ("zone",), ("host", "zone"), ())[rng.integers(4)]
    settings = GroupSettings(by, (60.0, 300.0, 37.3)[rng.integers(3)], bool(rng.integers(2)))
    return Pipeline(
        LastValueForecaster(),
        Scorer(ScorerSettings(warmup_samples=10)),
        lifecycle,
        max_streams=LIMITS[rng.integers(2)],
        idle_expiry_seconds=20_000.0,
        evict_idle_seconds=3_000.0,
        max_future_seconds=3_600.0,
        critical_score=2.0 if by else 3.0,
        model="last-value",
        groups=Groups(settings, GroupScorer(50.0, warmup_ticks=5), lifecycle) if by else None,
        mutes=Mutes(MUTED) if rng.integers(2) else None,
    )


def reconfigured(before: Pipeline, rng: np.random.Generator) -> Pipeline:
    """Another pipeline with the state of `before`, or with what is kept of it for another model."""
    fresh, fields = configured(rng), before.table.fields
    blobs = list(enumerate(blobs_of(before)))
    if rng.random() < 0.3:
        blocks = [renewed(read_block(blob, PARTITION, number), fields) for number, blob in blobs]
    else:
        blocks = [decode_block(blob, fields, PARTITION, number, {}) for number, blob in blobs]
    fresh.table.restore(PARTITION, before.table.event_time(PARTITION), blocks)
    return fresh


def minute(rng: np.random.Generator, hosts: list[str], time: float) -> Log:
    """The hosts' samples: now and then a value, or all values of a host, are far off; some are missing."""
    log: Log = []
    for host in hosts:
        event = rng.random() < 0.03
        for metric in range(METRICS):
            labels = {"host": host} | ({"zone": f"z{host[-1]}"} if metric % 2 else {})
            value = float(rng.normal()) + (30.0 if event or rng.random() < 0.01 else 0.0)
            if rng.random() < 0.9:
                log.append((SeriesKey.of(f"m{metric}", labels), time + float(rng.random()), value))
    return log


class Subscriber:
    """Checks that each alert that is sent fires once and then resolves."""

    def __init__(self) -> None:
        self.open: dict[SeriesKey, tuple[str, Severity]] = {}
        self.heard = 0

    def hear(self, alert: Alert) -> None:
        self.heard += 1
        if alert.status == AlertStatus.FIRING:
            assert alert.series not in self.open, f"{alert.series} fires twice"
            self.open[alert.series] = (alert.id, alert.severity)
        else:
            known = self.open.pop(alert.series, None)
            assert known == (alert.id, alert.severity), f"{alert.series} ends, and nobody knew of it"
            assert alert.ends_at is not None
            assert alert.ends_at >= alert.starts_at


@pytest.mark.parametrize("seed", range(4))
def test_g15_alerts_fire_and_resolve_once_through_changes_of_the_configuration(seed: int) -> None:
    rng, subscriber = np.random.default_rng(seed), Subscriber()
    pipeline, hosts, time, first = configured(rng), [f"h{host}" for host in range(HOSTS)], START, 0
    for _ in range(STEPS):
        time += STEP if rng.random() < 0.98 else float(rng.choice([2_000.0, 9_000.0, 50_000.0]))
        if rng.random() < 0.05:
            hosts[rng.integers(HOSTS)] = f"h{rng.integers(1_000)}"
        log = minute(rng, hosts, time)
        for alert in pipeline.process(batch_of(pipeline, log, first), expire=True).alerts:
            subscriber.hear(alert)
        first += len(log)
        if rng.random() < 0.05:
            pipeline = reconfigured(pipeline, rng)
    table = pipeline.table
    rows = table.occupied(PARTITION)
    firing = rows[table.columns["alert.status"][rows] == AlertStatus.FIRING]
    assert subscriber.heard > 10
    assert set(subscriber.open) <= {table.key(row) for row in firing.tolist()}
