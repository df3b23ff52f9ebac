import math
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from detector.protocols import AssignmentChanges
from detector.records import AlertStatus, Outcome
from detector.series import GROUP_LABEL, SeriesKey
from detector.telemetry import Health, Metrics, detection_metrics, new_registry
from detector.telemetry.histogram import ColumnHistogram
from tests.operations import operations
from tests.telemetry.populate import NOW, TOPIC, alert, counts, decoded, populate, verdicts


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(new_registry())


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(f"detector_{name}", labels)
    assert found is not None, (name, labels)
    return found


def outcomes(metrics: Metrics) -> float:
    return sum(
        sample.value
        for family in metrics.registry.collect()
        if family.name == "detector_samples"
        for sample in family.samples
        if sample.name == "detector_samples_total"
    )


@given(
    batches=st.lists(
        st.tuples(st.lists(st.sampled_from(list(Outcome)), max_size=50), st.integers(0, 5)), min_size=1, max_size=5
    )
)
def test_g16_consumed_is_the_sum_of_the_outcomes(batches: list[tuple[list[Outcome], int]]) -> None:
    metrics = Metrics(CollectorRegistry())
    for kinds, rejects in batches:
        batch = decoded(len(kinds), rejects=rejects)
        metrics.observe_decoded(batch)
        metrics.observe_scored(batch, verdicts(kinds, [0.0] * len(kinds)), NOW)
    consumed = sum(len(kinds) + rejects for kinds, rejects in batches)
    discarded = sum(kind.is_discard for kinds, _ in batches for kind in kinds)
    assert value(metrics, "samples_consumed_total") == outcomes(metrics) == consumed
    assert value(metrics, "samples_total", outcome="discarded") == discarded
    by_reason = [
        value(metrics, "samples_discarded_total", reason=kind.name.lower()) for kind in Outcome if kind.is_discard
    ]
    assert sum(by_reason) == discarded


def test_g18_number_of_series_does_not_depend_on_the_number_of_streams() -> None:
    sizes = []
    for tracked in (10, 100_000):
        metrics = Metrics(new_registry())
        populate(metrics, tracked=tracked)
        started = time.process_time()
        lines = generate_latest(metrics.registry).splitlines()
        assert time.process_time() - started < 0.2
        sizes.append(len(lines))
    assert sizes[0] == sizes[1]
    assert sizes[0] < 500


def test_series_exist_from_the_start(metrics: Metrics) -> None:
    for kind, severity in product(("stream", "group"), ("warning", "critical")):
        assert value(metrics, "alerts_total", kind=kind, status="firing", severity=severity) == 0
    for outcome in ("scored", "warmup", "late", "duplicate", "discarded", "dead_lettered"):
        assert value(metrics, "samples_total", outcome=outcome) == 0
    assert value(metrics, "stage_seconds_total", stage="poll") == 0


def test_anomalous_samples_and_delay_are_counted(metrics: Metrics) -> None:
    batch = decoded(4, start=NOW)
    kinds = [Outcome.SCORED, Outcome.SCORED, Outcome.WARMUP, Outcome.LATE]
    metrics.observe_scored(batch, verdicts(kinds, [0.5, 1.01, 9.0, 9.0]), NOW + 4.0)
    assert value(metrics, "samples_anomalous_total") == 1
    assert value(metrics, "anomaly_score_count") == 2
    assert value(metrics, "anomaly_score_bucket", le="1.0") == 1
    # Scored and warm-up samples have a verdict, the late one has none; they are 4, 3 and 2 seconds old.
    assert value(metrics, "sample_delay_seconds_count") == 3
    assert value(metrics, "sample_delay_seconds_sum") == pytest.approx(9.0)


def test_delay_is_not_negative_for_a_clock_ahead(metrics: Metrics) -> None:
    metrics.observe_scored(decoded(3), verdicts([Outcome.SCORED] * 3, [0.5] * 3), NOW + 1.0)
    metrics.observe_delivered(np.array([NOW, NOW + 1e9]), NOW + 2.0)
    assert (value(metrics, "sample_delay_seconds_count"), value(metrics, "sample_delay_seconds_sum")) == (3, 1.0)
    assert (value(metrics, "alert_delay_seconds_count"), value(metrics, "alert_delay_seconds_sum")) == (2, 2.0)


def test_alert_rate_is_per_watched_stream_and_week(metrics: Metrics) -> None:
    one_day = 86_400.0
    for moment in (NOW, NOW + one_day):
        metrics.observe_streams(counts(partitions={(TOPIC, 0): (moment, 60), (TOPIC, 1): (moment, 40)}))
        group = replace(alert(AlertStatus.FIRING), series=SeriesKey.of("", {GROUP_LABEL: "host", "host": "a"}))
        fired = (alert(AlertStatus.FIRING), group) if moment > NOW else ()
        metrics.observe_scored(decoded(1), verdicts([Outcome.SCORED], [0.0], fired), moment)
    metrics.observe_streams(counts(partitions={(TOPIC, 1): (NOW + one_day, 40)}))
    assert value(metrics, "stream_watched_seconds_total") == pytest.approx(100 * one_day)
    assert value(metrics, "alert_rate_per_stream_week") == pytest.approx(7 / 100)
    for kind in ("stream", "group"):
        severity = alert(AlertStatus.FIRING).severity.value
        assert value(metrics, "alerts_total", kind=kind, status="firing", severity=severity) == 1


def test_event_time_is_that_of_the_partition_and_watched_time_counts_once(metrics: Metrics) -> None:
    for moment in (-math.inf, NOW + 50.0, NOW, NOW + 10.0):  # the first sample had a wrong clock
        metrics.observe_streams(counts(partitions={(TOPIC, 0): (moment, 3)}))
    assert value(metrics, "event_timestamp_seconds", topic=TOPIC, partition="0") == NOW + 10.0
    assert value(metrics, "stream_watched_seconds_total") == pytest.approx(30.0)


def test_series_of_a_revoked_partition_are_removed(metrics: Metrics) -> None:
    populate(metrics, partitions=2)
    gone = frozenset({(TOPIC, 1)})
    metrics.observe_changes(AssignmentChanges(revoked=gone), assigned=1)
    text = generate_latest(metrics.registry).decode()
    assert 'partition="0"' in text
    assert 'partition="1"' not in text
    assert value(metrics, "partitions_assigned") == 1
    assert value(metrics, "partition_changes_total", change="revoked") == 1


def test_series_of_a_partition_that_returns_at_once_stay(metrics: Metrics) -> None:
    populate(metrics, partitions=1)
    same = frozenset({(TOPIC, 0)})
    metrics.observe_changes(AssignmentChanges(assigned=same, revoked=same), assigned=1)
    assert value(metrics, "lag_records", topic=TOPIC, partition="0") == 10


def test_empty_change_is_not_counted_as_a_rebalance(metrics: Metrics) -> None:
    metrics.observe_changes(AssignmentChanges(), assigned=0)
    assert value(metrics, "rebalances_total") == 0


def test_number_of_reasons_is_bounded(metrics: Metrics) -> None:
    for number in range(500):
        metrics.source.observe_error(f"reason {number}")
    found = [
        sample
        for family in metrics.registry.collect()
        if family.name == "detector_source_errors"
        for sample in family.samples
        if sample.name == "detector_source_errors_total"
    ]
    assert len(found) == 33
    assert sum(sample.value for sample in found) == 500


def test_expired_and_evicted_streams_are_counted_for_the_process(metrics: Metrics) -> None:
    for expired in (5, 5, 8):
        metrics.observe_streams(counts(expired=expired))
    assert value(metrics, "streams_expired_total") == 8
    assert value(metrics, "streams_evicted_total") == 4


def test_skill_histogram_shows_the_present_streams(metrics: Metrics) -> None:
    def below(bound: str) -> float | None:
        return metrics.registry.get_sample_value("detector_stream_skill_bucket", {"le": bound})

    metrics.observe_streams(counts(tracked=100))
    assert (below("0.4"), below("1.0"), below("+Inf")) == (0, 71, 100)
    metrics.observe_streams(replace(counts(tracked=3), skill=np.array([np.nan, 0.7, 1.4])))
    assert (below("0.6"), below("1.0"), below("+Inf")) == (0, 1, 2)
    metrics.observe_streams(counts(tracked=0))
    assert below("+Inf") == 0


def test_time_of_a_failing_stage_is_counted() -> None:
    ticks = iter([1.0, 3.5])
    metrics = Metrics(CollectorRegistry(), seconds=lambda: next(ticks))
    with pytest.raises(ValueError, match="broken"), metrics.stage("decode"):
        raise ValueError("broken")
    assert value(metrics, "stage_seconds_total", stage="decode") == 2.5


def test_ready_follows_health(metrics: Metrics) -> None:
    health = Health(30.0, time.monotonic)
    metrics.watch(health)
    assert value(metrics, "ready") == 0
    health.set_ready()
    assert value(metrics, "ready") == 1


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=40))
def test_column_histogram_counts_as_the_library_does(values: list[float]) -> None:
    bounds = (0.0, 0.5, 1.0, 10.0)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = ColumnHistogram("h", "h", bounds, ours)
    histogram.observe(np.array([*values, np.nan, np.inf]))
    reference = Histogram("h", "h", buckets=bounds, registry=theirs)
    for each in values:
        reference.observe(each)
    for le in ("0.0", "0.5", "1.0", "10.0", "+Inf"):
        assert ours.get_sample_value("h_bucket", {"le": le}) == theirs.get_sample_value("h_bucket", {"le": le})
    assert ours.get_sample_value("h_count") == theirs.get_sample_value("h_count")


def test_column_histogram_rejects_bounds_that_do_not_rise() -> None:
    with pytest.raises(ValueError, match="rise"):
        ColumnHistogram("h", "h", (1.0, 1.0), CollectorRegistry())


def test_duplicate_metric_name_is_an_error() -> None:
    registry = new_registry()
    Metrics(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(registry)


def test_cost_of_counting_a_batch_depends_on_its_outcomes(metrics: Metrics) -> None:
    """A turn counts one batch of every partition: with a thousand, this took more time than detection."""

    def cost(kinds: list[Outcome]) -> int:
        batch, scored = decoded(len(kinds)), verdicts(kinds, [0.0] * len(kinds))
        return operations(detection_metrics, lambda: metrics.observe_scored(batch, scored, NOW))

    assert cost([Outcome.SCORED] * len(Outcome)) < cost(list(Outcome)) / 2
