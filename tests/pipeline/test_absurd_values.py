"""An absurd value (an overflow, another unit) raises one alert and changes nothing of what a stream has learned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from detector.app import build_pipeline
from detector.config import Config
from detector.records import Float64, Outcome, SampleBatch, ScoredBatch
from detector.series import SeriesKey

START, STEP_SECONDS = 1_700_006_400.0, 60.0
BATCH = 100
AT, DROP = 700, slice(1200, 1230)
ABSURD = (1e3, 1e6, -1e9, 1.8446744073709552e19)


def processed(values_TS: Float64, profile: str = "full") -> Iterator[ScoredBatch]:
    """A pipeline's results for streams with a sample a minute each."""
    pipeline = build_pipeline(Config.model_validate({"model": {"profile": profile}}))
    steps, streams = values_TS.shape
    index = pipeline.table.series(("t", 0))
    handles = np.array([index.intern(SeriesKey.of(f"s{stream}")) for stream in range(streams)])
    for first in range(0, steps, BATCH):
        values = values_TS[first : first + BATCH]
        times = np.repeat(START + STEP_SECONDS * np.arange(first, first + len(values)), streams)
        zeros, offsets = np.zeros(values.size, dtype=np.uint8), np.arange(values.size)
        series, written = np.tile(handles, len(values)), np.full(values.size, np.nan)
        yield pipeline.process(
            SampleBatch("t", 0, series, times, values.ravel(), zeros, zeros, offsets, written), expire=True
        )


def played(values_TS: Float64, profile: str = "full") -> tuple[list[list[tuple[str, int]]], Float64]:
    """(for each stream the statuses and samples of its alerts; [T, S] the expected values)."""
    streams = values_TS.shape[1]
    told: list[list[tuple[str, int]]] = [[] for _ in range(streams)]
    expected = []
    for scored in processed(values_TS, profile):
        expected.append(scored.expected.reshape(-1, streams))
        for alert in scored.alerts:
            sample = round((alert.time - START) / STEP_SECONDS)
            told[int(alert.series.name[1:])].append((alert.status.name, sample))
    return told, np.concatenate(expected)


def noise(steps: int, streams: int) -> Float64:
    return np.random.default_rng(0).normal(100.0, 1.0, (steps, streams))


@pytest.mark.parametrize("profile", ["full", "compact"])
def test_one_absurd_value_is_one_alert_and_later_faults_still_alert(profile: str) -> None:
    values_TS = noise(1300, len(ABSURD) + 1)
    values_TS[AT, :-1] = ABSURD
    values_TS[DROP] *= 0.5
    told, expected_TS = played(values_TS, profile)
    begun = [[sample for status, sample in alerts if status == "FIRING"] for alerts in told]
    assert begun == [[AT, DROP.start]] * len(ABSURD) + [[DROP.start]]
    assert (abs(expected_TS[AT + 1 : DROP.start] - 100.0) < 3.0).all()


@pytest.mark.parametrize("profile", ["full", "compact"])
@pytest.mark.parametrize("which", [slice(AT, AT + 2), slice(AT, AT + 10), slice(AT, AT + 10, 2)])
def test_absurd_values_within_ten_samples_are_one_alert_and_hide_no_later_fault(which: slice, profile: str) -> None:
    values_TS = noise(1300, len(ABSURD))
    values_TS[which] = ABSURD
    values_TS[DROP] *= 0.5
    told, expected_TS = played(values_TS, profile)
    begun = [[sample for status, sample in alerts if status == "FIRING"] for alerts in told]
    assert begun == [[AT, DROP.start]] * len(ABSURD)
    assert (abs(expected_TS[AT + 10 : DROP.start] - 100.0) < 3.0).all()


@pytest.mark.parametrize("profile", ["full", "compact"])
def test_one_absurd_value_of_a_constant_stream_hides_no_later_fault(profile: str) -> None:
    values_TS = np.full((1300, len(ABSURD) + 1), 3.0)
    values_TS[AT, :-1] = ABSURD
    values_TS[AT, 0] = 3e3
    values_TS[DROP] = 2.0
    told, _ = played(values_TS, profile)
    begun = [[sample for status, sample in alerts if status == "FIRING"] for alerts in told]
    assert begun == [[AT, DROP.start]] * len(ABSURD) + [[DROP.start]]


def test_lasting_absurd_level_is_one_alert_and_is_learned() -> None:
    values_TS = noise(1000, 1)
    values_TS[AT:] += 1e6
    told, expected_TS = played(values_TS)
    assert told == [[("FIRING", AT)]]
    assert (abs(expected_TS[AT + 20 :] / 1e6 - 1.0) < 0.01).all()


def test_recurring_absurd_values_are_learned() -> None:
    values_TS = noise(1500, 1)
    values_TS[500::25, 0] = 1e6 * np.random.default_rng(1).uniform(1.0, 2.0, 40)
    told, _ = played(values_TS)
    begun = [sample for status, sample in told[0] if status == "FIRING"]
    assert begun[:2] == [500, 525]
    assert len(begun) < 10


@pytest.mark.parametrize("profile", ["full", "compact"])
def test_one_absurd_value_in_the_warm_up_hides_no_later_fault(profile: str) -> None:
    values_TS = noise(1300, 12)
    values_TS[0, :4], values_TS[30, 4:8], values_TS[58, 8:] = (ABSURD[1:] + (-9_999.0,) for _ in range(3))
    values_TS[DROP] *= 0.5
    told, expected_TS = played(values_TS, profile)
    assert [[sample for status, sample in alerts if status == "FIRING"] for alerts in told] == [[DROP.start]] * 12
    assert (abs(expected_TS[130 : DROP.start] - 100.0) < 3.0).all()


def test_stream_restarts_its_warm_up_once() -> None:
    """With a job every hour, each warm-up has an absurd value."""
    values_TS = noise(1300, 2)
    values_TS[30::60] = 1e6
    warming = sum(int((scored.outcomes == Outcome.WARMUP).sum()) for scored in processed(values_TS))
    assert warming == 2 * 2 * 60
