"""The pure core with a last-value forecaster: accounting, order, independence of how the log was cut into batches."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.alerts import Lifecycle
from detector.columns import Bool, Columns, Rows
from detector.pipeline import Pipeline
from detector.records import Alert, AlertStatus, Float64, Outcome, SampleBatch, ScoredBatch
from detector.scoring import Scorer, ScorerSettings
from detector.series import SeriesKey
from detector.testing import LastValueForecaster
from tests.guarantees import snapshot

STEP_SECONDS = 60.0
START = 1_700_000_000.0


def pipeline_of(
    max_streams: int = 1000,
    expiry: float = 1e6,
    evict: float = 1e9,
    forecaster: LastValueForecaster | None = None,
    freeze: float = 1e9,
    max_firing: float = 1e9,
) -> Pipeline:
    return Pipeline(
        forecaster or LastValueForecaster(),
        Scorer(ScorerSettings(warmup_samples=20)),
        Lifecycle(
            anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=max_firing, cooldown_seconds=0
        ),
        max_streams=max_streams,
        idle_expiry_seconds=expiry,
        max_future_seconds=3600.0,
        critical_score=2.0,
        model="last-value",
        evict_idle_seconds=evict,
        freeze_seconds=freeze,
    )


def batch_of(pipeline: Pipeline, streams: list[int], times: np.ndarray, values: np.ndarray, first: int) -> SampleBatch:
    index = pipeline.table.series(("t", 0))
    count = len(streams)
    return SampleBatch(
        topic="t",
        partition=0,
        series=np.array([index.intern(SeriesKey.of(f"s{s}")) for s in streams], dtype=np.int64),
        times=times,
        values=values,
        kinds=np.zeros(count, dtype=np.uint8),
        outcomes=np.zeros(count, dtype=np.uint8),
        offsets=np.arange(first, first + count),
        record_times=np.full(count, np.nan),
    )


def log_of(seed: int, steps: int = 60, streams: int = 5) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Interleaved streams with a spike each, some late and some repeated samples."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.repeat(np.arange(streams), steps)).tolist()
    seen = [0] * streams
    times, values = np.empty(len(names)), rng.normal(size=len(names))
    for i, name in enumerate(names):
        shift = rng.choice([0, 0, 0, 0, 0, 0, -1, -5])
        if seen[name] == steps - 8:
            values[i], shift = 500.0, 0
        times[i] = START + STEP_SECONDS * (seen[name] + shift)
        seen[name] += 1
    return names, times, values


def run(pipeline: Pipeline, log: tuple[list[int], np.ndarray, np.ndarray], cuts: list[int]) -> list[ScoredBatch]:
    names, times, values = log
    edges = [0, *sorted(cuts), len(names)]
    return [
        pipeline.process(batch_of(pipeline, names[a:b], times[a:b], values[a:b], a))
        for a, b in pairwise(edges)
        if b > a
    ]


def alerts_of(batches: list[ScoredBatch]) -> list[Alert]:
    return [alert for batch in batches for alert in batch.alerts]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 50), cuts=st.lists(st.integers(0, 300), max_size=12))
def test_g8_results_do_not_depend_on_batch_boundaries(seed: int, cuts: list[int]) -> None:
    whole, pieces = pipeline_of(), pipeline_of()
    one, many = run(whole, log_of(seed), []), run(pieces, log_of(seed), cuts)
    for column in ("outcomes", "expected", "lower", "upper", "scores", "statuses"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(b, column) for b in one]), np.concatenate([getattr(b, column) for b in many])
        )
    assert [repr(a) for a in alerts_of(one)] == [repr(a) for a in alerts_of(many)]
    for name, held in whole.table.columns.items():
        assert held.tobytes() == pieces.table.columns[name].tobytes(), name


def comers_and_goers(seed: int, streams: int, count: int = 700) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Streams that appear, fall silent (some while firing) and return, in slightly disordered event time."""
    rng = np.random.default_rng(seed)
    names, times, values = [], np.empty(count), rng.normal(size=count)
    for i in range(count):
        first = i // 200 * 3
        names.append(int(first + rng.integers(0, streams - 4)) % streams)
        times[i] = START + 10.0 * i + rng.choice([0.0, 0.0, 0.0, -30.0, 25.0])
    values[rng.integers(0, count, 30)] = 1e4
    return names, times, values


def restarted(pipeline: Pipeline) -> Pipeline:
    """A new pipeline with the state of this one, through the bytes of a snapshot."""
    table = pipeline.table
    silences = (table.idle_expiry_seconds, table.evict_idle_seconds)
    fresh = pipeline_of(table.max_streams, *silences, max_firing=pipeline.lifecycle.max_firing_seconds)
    return snapshot.restarted(pipeline, fresh, ("t", 0))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 1000),
    cuts=st.lists(st.tuples(st.integers(0, 700), st.booleans()), max_size=12),
    expiry=st.sampled_from([200.0, 500.0, 1e6]),
    limit=st.sampled_from([6, 16]),
    evict=st.sampled_from([60.0, 1e9]),
    max_firing=st.sampled_from([150.0, 1e9]),
)
def test_g8_g10_results_do_not_depend_on_batches_restarts_or_when_streams_are_evicted(
    seed: int, cuts: list[tuple[int, bool]], expiry: float, limit: int, evict: float, max_firing: float
) -> None:
    names, times, values = comers_and_goers(seed, streams=limit + 3)
    whole, pieces = (pipeline_of(limit, expiry, evict, max_firing=max_firing) for _ in range(2))
    one = [whole.process(batch_of(whole, names, times, values, 0), expire=True)]
    many = []
    for (a, restart), (b, _) in pairwise([(0, False), *sorted(cuts), (len(names), False)]):
        pieces = restarted(pieces) if restart else pieces
        many.append(pieces.process(batch_of(pieces, names[a:b], times[a:b], values[a:b], a), expire=True))
    for column in ("outcomes", "expected", "lower", "upper", "scores", "statuses"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(b, column) for b in one]), np.concatenate([getattr(b, column) for b in many])
        )
    assert [repr(a) for a in alerts_of(one)] == [repr(a) for a in alerts_of(many)]
    for name, held in whole.table.columns.items():
        assert held.tobytes() == pieces.table.columns[name].tobytes(), name
    streams = [[str(p.table.key(row)) for row in p.table.occupied(("t", 0)).tolist()] for p in (whole, pieces)]
    assert streams[0] == streams[1]


def test_g16_every_sample_has_exactly_one_outcome_and_a_spike_is_an_alert() -> None:
    pipeline = pipeline_of()
    batches = run(pipeline, log_of(3), [])
    outcomes = np.bincount(batches[0].outcomes, minlength=len(Outcome))
    assert outcomes.sum() == 300
    assert outcomes[Outcome.LATE] > 0
    assert outcomes[Outcome.DUPLICATE] > 0
    fired = [a for a in alerts_of(batches) if a.status == AlertStatus.FIRING]
    assert {str(a.series) for a in fired if a.value == 500.0} == {f"s{i}" for i in range(5)}
    resolved = [a for a in alerts_of(batches) if a.status == AlertStatus.RESOLVED]
    assert {a.id for a in resolved} <= {a.id for a in fired}


def test_streams_over_the_limit_are_counted_and_affect_no_other() -> None:
    limited = run(pipeline_of(max_streams=2), log_of(5), [])[0]
    free = run(pipeline_of(), log_of(5), [])[0]
    refused = limited.outcomes == Outcome.STREAM_LIMIT
    assert refused.any()
    np.testing.assert_array_equal(limited.scores[~refused], free.scores[~refused])


def test_alert_of_a_stream_that_falls_silent_resolves_at_its_last_sample() -> None:
    pipeline = pipeline_of(expiry=3600.0)
    steady = np.sin(np.arange(50.0))
    steady[-1] = 900.0
    times = START + STEP_SECONDS * np.arange(50)
    first = pipeline.process(batch_of(pipeline, [0] * 50, times, steady, 0), expire=True)
    assert [a.status for a in first.alerts] == [AlertStatus.FIRING]
    later = START + 10_000.0 + STEP_SECONDS * np.arange(30)
    second = pipeline.process(batch_of(pipeline, [1] * 30, later, np.zeros(30), 50), expire=True)
    assert [(a.status, a.id, a.ends_at) for a in second.alerts] == [
        (AlertStatus.RESOLVED, first.alerts[0].id, times[-1])
    ]
    assert pipeline.table.streams == 1


def fallen_silent(*, expire: bool) -> tuple[Pipeline, tuple[Alert, ...]]:
    """Stream 0 alarms and falls silent for an hour, stream 1 does not; an alert may last for half an hour."""
    pipeline = pipeline_of(expiry=86_400.0, evict=4_000.0, max_firing=1_800.0)
    values = np.sin(np.arange(50.0))
    values[-1] = 900.0
    times = START + STEP_SECONDS * np.arange(50)
    alerts = pipeline.process(batch_of(pipeline, [0] * 50, times, values, 0), expire=expire).alerts
    later = times[-1] + STEP_SECONDS * np.arange(1, 61)
    alerts += pipeline.process(batch_of(pipeline, [1] * 60, later, np.zeros(60), 50), expire=expire).alerts
    return pipeline, alerts


def test_g15_alert_of_a_silent_stream_ends_at_its_last_sample_after_max_firing_seconds() -> None:
    pipeline, (fired, resolved) = fallen_silent(expire=True)
    last = START + STEP_SECONDS * 49
    assert (resolved.status, resolved.id, resolved.ends_at) == (AlertStatus.RESOLVED, fired.id, last)
    assert pipeline.table.streams == 2
    back = batch_of(pipeline, [0], np.array([last + 3_700.0]), np.array([1_500.0]), 110)
    (again,) = pipeline.process(back, expire=True).alerts
    assert (again.status, again.starts_at) == (AlertStatus.FIRING, last + 3_700.0)


def test_g15_replayed_alert_of_a_silent_stream_ends_as_if_it_had_been_looked_for() -> None:
    """A replay looks for no silent streams: the alert ends when its stream comes back."""
    pipeline, (fired,) = fallen_silent(expire=False)
    last = START + STEP_SECONDS * 49
    back = batch_of(pipeline, [0], np.array([last + 3_700.0]), np.array([1_500.0]), 110)
    resolved, again = pipeline.process(back).alerts
    assert (resolved.status, resolved.id, resolved.ends_at) == (AlertStatus.RESOLVED, fired.id, last)
    assert (again.status, again.starts_at) == (AlertStatus.FIRING, last + 3_700.0)


class Recording(LastValueForecaster):
    """Records which samples were not to be learned for good."""

    def __init__(self) -> None:
        self.frozen: list[bool] = []

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> None:
        super().learn(state, rows, times, values)
        assert frozen is not None
        self.frozen += frozen.tolist()


def test_samples_of_a_firing_alert_are_not_learned_for_good_until_it_has_fired_for_long() -> None:
    forecaster = Recording()
    pipeline = pipeline_of(forecaster=forecaster, freeze=4 * STEP_SECONDS)
    values = np.concatenate((np.random.default_rng(0).normal(size=100), 500.0 * 3.0 ** np.arange(10)))
    (scored,) = run(pipeline, ([0] * 110, START + STEP_SECONDS * np.arange(110), values), [])
    assert (scored.statuses[100:] == AlertStatus.FIRING).all()
    assert forecaster.frozen == [False] * 100 + [True] * 5 + [False] * 5
