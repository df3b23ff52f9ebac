"""Groups in the pipeline: one alert when many members move, independent of batches and restarts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.alerts import AlertRecord, Lifecycle
from detector.pipeline import Pipeline
from detector.pipeline.groups import Groups, GroupSettings
from detector.records import Alert, AlertStatus, SampleBatch
from detector.scoring import GroupScorer, Scorer, ScorerSettings
from detector.series import SeriesKey
from detector.state.block import decode_block, encode_block
from detector.streams.membership import GROUP, IS_GROUP
from detector.streams.partition import NO_ROW
from detector.testing import LastValueForecaster
from detector.worker.housekeeping import stream_counts

PARTITION = ("t", 0)
START = 1_700_000_040.0
STEP = 60.0
HOSTS, METRICS = 2, 8
STEPS, EVENT = 500, slice(450, 480)


def pipeline_of(
    by: tuple[str, ...] = ("host",),
    *,
    alert_members: bool = True,
    expiry: float = 1e9,
    limit: int = 1000,
    evict: float = 1e9,
    tick: float = STEP,
    max_firing: float = 1e9,
) -> Pipeline:
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=max_firing, cooldown_seconds=0.0
    )
    grouped = GroupSettings(by, tick, alert_members)
    return Pipeline(
        LastValueForecaster(),
        Scorer(ScorerSettings(warmup_samples=20)),
        lifecycle,
        max_streams=limit,
        idle_expiry_seconds=expiry,
        evict_idle_seconds=evict,
        max_future_seconds=3600.0,
        critical_score=2.0,
        model="last-value",
        groups=Groups(grouped, GroupScorer(0.5, warmup_ticks=20), lifecycle) if by else None,
    )


def key_of(host: int, metric: int) -> SeriesKey:
    return SeriesKey.of(f"metric_{metric}", {"host": f"h{host}"})


Log = list[tuple[SeriesKey, float, float]]


def log_of(steps: int, seed: int = 0, event: slice | None = None, lift: float = 5.0) -> Log:
    """A sample a minute of every metric of several hosts; during the event, all metrics of host 1 rise a little."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((steps, HOSTS, METRICS))
    if event is not None:
        values[event, 1] += lift
    return [
        (key_of(host, metric), START + STEP * step + 3.0 * host + 0.1 * metric, float(values[step, host, metric]))
        for step in range(steps)
        for host in range(HOSTS)
        for metric in rng.permutation(METRICS).tolist()
    ]


def batch_of(pipeline: Pipeline, log: Log, first: int) -> SampleBatch:
    index = pipeline.table.series(PARTITION)
    count = len(log)
    return SampleBatch(
        topic="t",
        partition=0,
        series=np.array([index.intern(key) for key, _, _ in log], dtype=np.int64),
        times=np.array([time for _, time, _ in log]),
        values=np.array([value for _, _, value in log]),
        kinds=np.zeros(count, dtype=np.uint8),
        outcomes=np.zeros(count, dtype=np.uint8),
        offsets=np.arange(first, first + count),
        record_times=np.full(count, np.nan),
    )


def run(pipeline: Pipeline, log: Log, cuts: list[int], first: int = 0) -> list[Alert]:
    edges = [0, *sorted(cuts), len(log)]
    return [
        alert
        for a, b in pairwise(edges)
        if b > a
        for alert in pipeline.process(batch_of(pipeline, log[a:b], first + a), expire=True).alerts
    ]


def blobs_of(pipeline: Pipeline) -> list[bytes]:
    table = pipeline.table
    blocks = (table.take(PARTITION, number) for number in table.cut(PARTITION))
    return [encode_block(block, table.fields, PARTITION, 0, {}) for block in blocks]


def test_small_change_of_all_members_is_one_alert_with_ranked_members() -> None:
    log = log_of(STEPS, event=EVENT)
    alerts = [alert for alert in run(pipeline_of(), log, []) if alert.members]
    assert [alert.status for alert in alerts] == [AlertStatus.FIRING, AlertStatus.RESOLVED]
    fired, ended = alerts
    assert fired.id == ended.id
    assert fired.members == METRICS
    assert dict(fired.series.labels)["host"] == "h1"
    assert 0.0 <= (fired.starts_at - START) / STEP - EVENT.start <= 15.0
    peaks = [one.anomaly_score for one in ended.contributors]
    assert len(peaks) == 5
    assert peaks == sorted(peaks, reverse=True)
    assert all(dict(one.series.labels)["host"] == "h1" for one in ended.contributors)


def test_g15_alert_of_a_silent_group_ends_after_max_firing_seconds() -> None:
    log = log_of(EVENT.stop + 70, event=EVENT)
    died = START + STEP * EVENT.stop
    log = [one for one in log if one[1] < died or one[0].labels == key_of(0, 0).labels]
    alerts = run(pipeline_of(alert_members=False, evict=2_000.0, max_firing=3_600.0), log, [])
    fired, ended = alerts
    assert dict(fired.series.labels)["host"] == "h1"
    assert (ended.status, ended.id) == (AlertStatus.RESOLVED, fired.id)
    assert ended.ends_at == max(time for key, time, _ in log if key.labels != key_of(0, 0).labels)


def test_alert_members_false_sends_no_alerts_of_members() -> None:
    log = log_of(STEPS, event=EVENT, lift=12.0)
    told = run(pipeline_of(), log, [])
    only = run(pipeline_of(alert_members=False), log, [])
    assert [alert for alert in told if alert.members] == only
    assert len(told) > len(only) == 2


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 60 * HOSTS * METRICS), max_size=12), st.integers(0, 1000))
def test_g8_groups_do_not_depend_on_batch_boundaries(cuts: list[int], seed: int) -> None:
    log = log_of(60, seed, event=slice(40, 45), lift=30.0)
    rng = np.random.default_rng(seed)
    places = np.arange(len(log)) + rng.integers(0, 40, len(log))
    log = [log[at] for at in np.argsort(places, kind="stable")]
    whole, cut = pipeline_of(expiry=1e6), pipeline_of(expiry=1e6)
    assert run(whole, log, []) == run(cut, log, cuts)
    assert blobs_of(whole) == blobs_of(cut)


@pytest.mark.parametrize("cuts", [[], [STEPS * HOSTS * METRICS]])
def test_g8_group_alert_does_not_count_members_that_appear_later_in_the_batch(cuts: list[int]) -> None:
    newcomer = (key_of(1, METRICS), START + STEP * STEPS, 0.0)
    alerts = run(pipeline_of(alert_members=False), [*log_of(STEPS, event=EVENT), newcomer], cuts)
    assert [alert.members for alert in alerts] == [METRICS, METRICS]


def restarted(pipeline: Pipeline, by: tuple[str, ...] = ("host",), **asked: Any) -> Pipeline:
    fresh, fields = pipeline_of(by, **asked), pipeline.table.fields
    blocks = [decode_block(blob, fields, PARTITION, number, {}) for number, blob in enumerate(blobs_of(pipeline))]
    fresh.table.restore(PARTITION, pipeline.table.event_time(PARTITION), blocks)
    return fresh


@pytest.mark.parametrize("at", [1, 500, 450 * HOSTS * METRICS + 5])
def test_g1_groups_continue_after_a_restart(at: int) -> None:
    log = log_of(STEPS, event=EVENT)
    expected = run(pipeline_of(), log, [])
    before = pipeline_of()
    alerts = run(before, log[:at], [])
    assert alerts + run(restarted(before), log[at:], [], at) == expected
    assert any(alert.members for alert in expected)


def members_of(pipeline: Pipeline, key: SeriesKey) -> list[SeriesKey]:
    """The number of members of the stream's group."""
    table = pipeline.table
    row = table.rows(PARTITION, np.array([table.series(PARTITION).intern(key)]), np.empty(0))
    members, _ = table.members(PARTITION, table.group_rows(PARTITION, row))
    return [table.key(member) for member in members.tolist()]


def test_new_and_returning_members_belong_to_the_group() -> None:
    pipeline = pipeline_of(expiry=3600.0)
    run(pipeline, log_of(3), [])
    old, new = key_of(0, 0), key_of(0, METRICS)
    assert len(members_of(pipeline, old)) == METRICS
    for time in (START + 200.0, START + 90_000.0):
        pipeline.process(batch_of(pipeline, [(new, time, 1.0)], 1000))
        assert {old, new} <= set(members_of(pipeline, new))
        assert len(members_of(pipeline, new)) == METRICS + 1


def test_stream_without_the_label_has_no_group() -> None:
    pipeline = pipeline_of()
    log: Log = [(SeriesKey.of("lonely"), START + STEP * step, 1.0) for step in range(5)]
    run(pipeline, log, [])
    assert pipeline.table.streams == 1
    assert (pipeline.table.columns[GROUP.name] == -1).all()


def test_group_expires_with_its_last_member() -> None:
    pipeline = pipeline_of(expiry=3600.0)
    run(pipeline, log_of(30), [])
    assert pipeline.table.streams == HOSTS * METRICS
    assert len(pipeline.table.occupied(PARTITION)) == HOSTS * (METRICS + 1)
    assert (pipeline.table.columns[GROUP.name] == IS_GROUP).sum() == HOSTS
    assert stream_counts(pipeline, frozenset([PARTITION])).tracked == HOSTS * METRICS
    late: Log = [(SeriesKey.of("lonely"), START + 86_400.0 + STEP * step, 1.0) for step in range(600)]
    run(pipeline, late, [])
    assert pipeline.table.streams == 1


def test_group_is_judged_again_after_a_clock_years_ahead() -> None:
    pipeline, year = pipeline_of(by=("__name__",), expiry=8 * 3600.0), 3.15e7
    log = log_of(300)
    hosts = [dict(key.labels)["host"] for key, _, _ in log]
    ahead = [
        host == "h1" and START + STEP * 100 <= time < START + STEP * 150
        for host, (_, time, _) in zip(hosts, log, strict=True)
    ]
    run(pipeline, [(key, time + year * lead, value) for lead, (key, time, value) in zip(ahead, log, strict=True)], [])
    table = pipeline.table
    groups = np.flatnonzero(table.columns[GROUP.name] == IS_GROUP)
    assert len(groups) == METRICS
    assert table.columns["group.tick"][groups].tolist() == [START - START % STEP + STEP * 299] * METRICS


def test_g15_clock_years_ahead_silences_the_group_only_while_it_is_ahead() -> None:
    log, decade = log_of(1500, event=slice(500, 520), lift=20.0), 3.15e8
    ahead = [key == key_of(1, 0) and START + STEP * 400 <= time < START + STEP * 700 for key, time, _ in log]
    late = slice(START + STEP * 1300, START + STEP * 1330)
    log = [
        (key, time + decade * lead, value + 20.0 * (late.start <= time < late.stop and key.labels[-1][1] == "h1"))
        for lead, (key, time, value) in zip(ahead, log, strict=True)
    ]
    alerts = [alert for alert in run(pipeline_of(expiry=6 * 3600.0), log, []) if alert.members]
    began = [alert.starts_at for alert in alerts if alert.status == AlertStatus.FIRING]
    assert began[0] > START + decade, "by the wrong clock"
    assert 0.0 <= began[-1] - late.start < 15 * STEP
    assert [alert.id for alert in alerts[::2]] == [alert.id for alert in alerts[1::2]], (
        "each ends before the next begins"
    )
    assert all(alert.ends_at >= alert.starts_at for alert in alerts if alert.ends_at is not None)


def test_restored_streams_are_regrouped_by_the_new_labels() -> None:
    pipeline = pipeline_of()
    run(pipeline, log_of(30), [])
    other = restarted(pipeline, by=("__name__",))
    rows = other.table.occupied(PARTITION)
    members = rows[other.table.columns[GROUP.name][rows] >= 0]
    groups = other.table.group_rows(PARTITION, members)
    keys = {other.table.key(row) for row in groups.tolist()}
    assert {dict(key.labels)["__name__"] for key in keys} == {f"metric_{metric}" for metric in range(METRICS)}
    run(other, log_of(30), [])


def test_g10_group_goes_when_its_last_member_is_evicted() -> None:
    limit, day = 16, 86_400.0
    pipeline = pipeline_of(limit=limit, evict=3600.0)
    for passed in range(30):
        names = [SeriesKey.of("m", {"host": f"h{passed}-{host}"}) for host in range(limit)]
        run(pipeline, [(name, START + day * passed + STEP * step, 1.0) for step in range(4) for name in names], [])
    assert pipeline.table.evicted > 10
    assert (pipeline.table.columns[GROUP.name] == IS_GROUP).sum() <= pipeline.table.streams <= limit


def labelled(metric: int, **labels: str) -> SeriesKey:
    return SeriesKey.of(f"metric_{metric}", {"host": "h1", **labels})


def test_restored_stream_without_the_new_labels_leaves_its_group() -> None:
    pipeline = pipeline_of()
    some, others = labelled(0, zone="z"), labelled(1)
    run(pipeline, [(key, START + STEP * step, 1.0) for step in range(3) for key in (some, others)], [])
    other = restarted(pipeline, by=("zone",))
    assert members_of(other, some) == [some]
    row = other.table.rows(PARTITION, np.array([other.table.series(PARTITION).intern(others)]), np.empty(0))
    assert other.table.group_rows(PARTITION, row).tolist() == [NO_ROW]


def test_new_groups_of_restored_streams_survive_the_next_expiry() -> None:
    before = pipeline_of(expiry=8 * 3600.0)
    run(before, log_of(50), [])
    after = restarted(before, by=("__name__",), expiry=8 * 3600.0)
    on: Log = [(key_of(0, 0), START + STEP * 107, 1.0)]
    run(after, on, [])
    for metric in range(METRICS):
        assert members_of(after, key_of(0, metric)) == [key_of(host, metric) for host in range(HOSTS)]
    kept = after.table.occupied(PARTITION)
    assert (after.table.columns[GROUP.name][kept] == IS_GROUP).sum() == METRICS


@pytest.mark.parametrize("by", [(), ("__name__",)])
def test_open_alert_of_a_group_resolves_when_the_grouping_is_removed(by: tuple[str, ...]) -> None:
    log = log_of(460, event=slice(450, 460))
    before = pipeline_of(expiry=8 * 3600.0)
    alerts = [alert for alert in run(before, log, []) if alert.series.is_group]
    assert [alert.status for alert in alerts] == [AlertStatus.FIRING]
    after = restarted(before, by=by, expiry=8 * 3600.0)
    on = [(key, time + STEP * 520, value) for key, time, value in log_of(2)]
    ended = [alert for alert in run(after, on, [], len(log)) if alert.id == alerts[0].id]
    assert [alert.status for alert in ended] == [AlertStatus.RESOLVED]
    record = msgspec.json.decode(AlertRecord({}, "test")(ended[0]).value or b"")
    assert record["anomaly"]["kind"] == "group"
    assert record["anomaly"]["members"] == 0
    assert record["labels"]["host"] == "h1"


@pytest.mark.parametrize("before", [1.0, 45.0, 61.7, 600.0, 86_400.0])
def test_groups_continue_after_a_change_of_the_tick(before: float) -> None:
    log = log_of(STEPS, event=EVENT, lift=20.0)
    at = 300 * HOSTS * METRICS
    first = pipeline_of(tick=before)
    run(first, log[:at], [])
    alerts = [alert for alert in run(restarted(first), log[at:], [], at) if alert.series.is_group]
    begins, ends = log[EVENT.start * HOSTS * METRICS][1], log[-1][1]
    assert [alert.status for alert in alerts][:1] == [AlertStatus.FIRING]
    assert all(begins <= alert.time <= ends for alert in alerts)


def spell(first: int, last: int) -> Log:
    """Samples of one member, a minute apart, anomalous until minute 230."""
    return [(key_of(0, 0), START + STEP * step, 90.0 if step < 230 else 0.0) for step in range(first, last)]


def test_g15_sent_member_alert_resolves_after_alert_members_is_turned_off() -> None:
    before = pipeline_of()
    run(before, log_of(200), [])
    alerts = run(before, spell(200, 205), []) + run(restarted(before, alert_members=False), spell(205, 300), [])
    told = [alert for alert in alerts if not alert.series.is_group]
    assert [alert.status for alert in told] == [AlertStatus.FIRING, AlertStatus.RESOLVED]
    assert told[0].id == told[1].id


def test_g15_unsent_member_alert_is_sent_after_alert_members_is_turned_on_or_never() -> None:
    before = pipeline_of(alert_members=False)
    run(before, log_of(200), [])
    assert [alert for alert in run(before, spell(200, 205), []) if not alert.series.is_group] == []
    told = run(restarted(before), spell(205, 206), [])
    assert [(alert.status, alert.starts_at) for alert in told] == [(AlertStatus.FIRING, START + STEP * 200)]
    on: Log = [(key_of(0, 1), START + STEP * 1000, 0.0)]
    assert [alert for alert in run(restarted(before, expiry=3600.0), on, []) if not alert.series.is_group] == []
