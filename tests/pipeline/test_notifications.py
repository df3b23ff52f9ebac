"""Muted alerts: nothing is sent during an expected event, unless the alert outlasts it."""

import numpy as np
import pytest

from detector.alerts import Lifecycle, Mutes
from detector.columns import Bool, Columns, Rows
from detector.config.alerts import Alerts
from detector.pipeline import Pipeline
from detector.records import Float64, SampleBatch
from detector.series import SeriesKey
from detector.testing import LastValueForecaster
from tests.guarantees.snapshot import restarted
from tests.guarantees.test_alerts import ValueScorer

MIDNIGHT = 1_700_006_400.0  # 2023-11-15T00:00Z
MINUTE = 60.0
BACKUP = {
    "time_intervals": [
        {"name": "backup", "time_intervals": [{"times": [{"start_time": "02:00", "end_time": "02:10"}]}]}
    ],
    "mute": [{"matchers": ['host=~"db.*"'], "time_intervals": ["backup"]}],
}


class Noting(LastValueForecaster):
    """Counts the samples that were learned for good."""

    def __init__(self) -> None:
        self.frozen: list[bool] = []

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> None:
        assert frozen is not None
        self.frozen += frozen.tolist()
        super().learn(state, rows, times, values, frozen)


def pipeline_of(alerts: dict[str, object], forecaster: LastValueForecaster | None = None) -> Pipeline:
    return Pipeline(
        forecaster or LastValueForecaster(),
        ValueScorer(),
        Lifecycle(anomalous=1, of=1, recovery_normal=2, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0),
        max_streams=100,
        idle_expiry_seconds=7200.0,
        max_future_seconds=1e9,
        critical_score=5.0,
        model="last-value",
        mutes=Mutes(Alerts.model_validate(alerts)),
    )


def test_g15_alert_resolves_with_the_severity_it_was_sent_with() -> None:
    for first, worst, severity in ((2.0, 9.0, "warning"), (6.0, 9.0, "critical"), (6.0, 2.0, "critical")):
        pipeline = pipeline_of({})
        scores = [0.0, first, worst, 0.0, 0.0, 0.0]
        alerts = pipeline.process(batch_of(pipeline, scores, 0, "web")).alerts
        assert [(alert.status.name, alert.severity.value, alert.anomaly_score) for alert in alerts] == [
            ("FIRING", severity, first),
            ("RESOLVED", severity, max(first, worst)),
        ]


def test_alert_that_outlasts_its_interval_has_the_severity_of_its_worst_score_so_far() -> None:
    pipeline = pipeline_of(BACKUP)
    batch = batch_of(pipeline, [0.0, 2.0, 9.0, *[2.0] * 10, 0.0, 0.0], 0, "db1")
    told = pipeline.process(batch).alerts
    assert [(alert.status.name, alert.severity.value) for alert in told] == [
        ("FIRING", "critical"),
        ("RESOLVED", "critical"),
    ]


def batch_of(pipeline: Pipeline, scores: list[float], first_minute: int, host: str) -> SampleBatch:
    handle = pipeline.table.series(("t", 0)).intern(SeriesKey.of("cpu", {"host": host}))
    count = len(scores)
    return SampleBatch(
        topic="t",
        partition=0,
        series=np.full(count, handle),
        times=np.arange(count, dtype=np.float64) * MINUTE + (MIDNIGHT + 2 * 3600 + MINUTE * first_minute),
        values=np.array(scores),
        kinds=np.zeros(count, dtype=np.uint8),
        outcomes=np.zeros(count, dtype=np.uint8),
        offsets=np.arange(count),
        record_times=np.full(count, np.nan),
    )


Told = list[tuple[str, float, float]]
"""(status, minute at which it is told, minute at which it began), from 02:00."""


def told(
    pipeline: Pipeline, scores: list[float], first_minute: int, host: str = "db-1"
) -> tuple[Told, tuple[str, ...]]:
    scored = pipeline.process(batch_of(pipeline, scores, first_minute, host), expire=True)
    zero = MIDNIGHT + 2 * 3600
    return [
        (alert.status.name, (alert.time - zero) / MINUTE, (alert.starts_at - zero) / MINUTE) for alert in scored.alerts
    ], scored.muted


def test_alert_that_ends_within_the_interval_is_never_sent() -> None:
    assert told(pipeline_of(BACKUP), [0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0], -1) == ([], ("backup",))


def test_alerts_of_other_streams_and_times_are_sent() -> None:
    assert told(pipeline_of(BACKUP), [0, 3, 0, 0], 0, "web-1") == ([("FIRING", 1, 1), ("RESOLVED", 3, 1)], ())
    assert told(pipeline_of(BACKUP), [0, 3, 0, 0], 10) == ([("FIRING", 11, 11), ("RESOLVED", 13, 11)], ())


def test_alert_that_outlasts_the_interval_is_sent_at_its_end_with_its_true_start() -> None:
    scores = [0.0] * 8 + [3.0] * 5 + [0.0] * 3
    assert told(pipeline_of(BACKUP), scores, 0) == ([("FIRING", 10, 8), ("RESOLVED", 14, 8)], ("backup",))


def test_alert_sent_before_the_interval_resolves_within_it() -> None:
    assert told(pipeline_of(BACKUP), [3, 3, 3, 0, 0], -1) == ([("FIRING", -1, -1), ("RESOLVED", 3, -1)], ())


def test_muted_alert_of_a_stream_that_expires_is_never_sent() -> None:
    pipeline = pipeline_of(BACKUP)
    assert told(pipeline, [0, 3], 8) == ([], ("backup",))
    assert told(pipeline, [0], 300) == ([], ())
    assert told(pipeline, [3], 301) == ([("FIRING", 301, 301)], ())


def test_g1_muted_alert_survives_a_restart() -> None:
    before = pipeline_of(BACKUP)
    assert told(before, [0, 3], 8) == ([], ("backup",))
    assert told(restarted(before, pipeline_of(BACKUP), ("t", 0)), [3], 10) == ([("FIRING", 10, 9)], ())
    # A rule removed from the configuration mutes nothing.
    before = pipeline_of(BACKUP)
    told(before, [0, 3], 4)
    assert told(restarted(before, pipeline_of({}), ("t", 0)), [3], 6) == ([("FIRING", 6, 5)], ())


@pytest.mark.parametrize(("alerts", "frozen"), [(BACKUP, 0), ({}, 3)])
def test_muted_samples_are_learned_from(alerts: dict[str, object], frozen: int) -> None:
    forecaster = Noting()
    told(pipeline_of(alerts, forecaster), [0, 3, 3, 3], 1)
    assert sum(forecaster.frozen) == frozen


def test_history_is_scored_but_not_sent() -> None:
    pipeline = pipeline_of({"not_before": "2023-11-15T02:10:00Z"})
    assert told(pipeline, [0, 3, 0, 0, 0, 3, 3, 3, 3, 3, 3], 0) == ([("FIRING", 10, 5)], ("not_before",) * 2)
