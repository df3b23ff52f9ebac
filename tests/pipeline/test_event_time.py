"""Outages, shifts, spikes and batch jobs through the whole pipeline, at intervals of a second, a minute and an hour."""

import functools
from typing import NamedTuple

import numpy as np
import pytest

from detector.app import build_pipeline
from detector.config import Config
from detector.records import AlertStatus, Float64, SampleBatch
from detector.series import SeriesKey

START = 1_700_006_400.0  # midnight UTC
SECOND, MINUTE, HOUR, DAY = 1.0, 60.0, 3600.0, 86_400.0
STREAMS = 4
BATCH = 50

Told = tuple[str, float]
"""(FIRING or RESOLVED, when, by the time of the sample)."""


class Played(NamedTuple):
    """Results of the pipeline."""

    alerts: list[list[Told]]
    """Of each stream."""
    expected_TS: Float64


def play(times_T: Float64, values_TS: Float64, alerts: dict[str, float] | None = None) -> Played:
    pipeline = build_pipeline(Config.model_validate({"alerts": alerts or {}}))
    rounds, count = values_TS.shape
    index = pipeline.table.series(("t", 0))
    handles = np.array([index.intern(SeriesKey.of(f"s{stream}")) for stream in range(count)])
    told: list[list[Told]] = [[] for _ in range(count)]
    expected = np.empty((rounds, count))
    for first in range(0, rounds, BATCH):
        times, values = times_T[first : first + BATCH], values_TS[first : first + BATCH]
        zeros, offsets = np.zeros(values.size, dtype=np.uint8), np.arange(values.size) + first * count
        series, nan = np.tile(handles, len(times)), np.full(values.size, np.nan)
        scored = pipeline.process(
            SampleBatch("t", 0, series, np.repeat(times, count), values.ravel(), zeros, zeros, offsets, nan)
        )
        expected[first : first + BATCH] = scored.expected.reshape(values.shape)
        for alert in scored.alerts:
            told[int(alert.series.name[1:])].append((alert.status.name, alert.time))
    return Played(told, expected)


def noise(rounds: int, seed: int = 0) -> Float64:
    return np.random.default_rng(seed).normal(100.0, 1.0, (rounds, STREAMS))


def began(played: Played) -> list[list[float]]:
    return [[time for status, time in told if status == AlertStatus.FIRING.name] for told in played.alerts]


class Stage(NamedTuple):
    """The history of a stream, and its sampling interval afterwards."""

    history: int
    history_step: float
    step: float
    lasts: int
    """Samples that an outage lasts."""
    apart: int
    accepted_seconds: float

    def times(self, rounds: int) -> Float64:
        """Times of the history and of this many samples after it."""
        before = START + self.history_step * np.arange(-self.history, 0, dtype=np.float64)
        return np.concatenate([before, START + self.step * np.arange(rounds, dtype=np.float64)])


# Hours of history at one sample a second would take minutes; all but the last have a sample every ten seconds.
STAGES = [
    pytest.param(Stage(2600, 10.0, SECOND, lasts=120, apart=480, accepted_seconds=900.0), id="second"),
    pytest.param(Stage(1200, MINUTE, MINUTE, lasts=15, apart=500, accepted_seconds=6 * HOUR), id="minute"),
    pytest.param(Stage(600, HOUR, HOUR, lasts=4, apart=100, accepted_seconds=1.5 * DAY), id="hour"),
]


OUTAGES, SHIFTED = slice(0, STREAMS), slice(STREAMS, 2 * STREAMS)


@functools.cache
def lived(stage: Stage) -> tuple[Float64, list[int], Played]:
    """Times, the rounds at which outages begin, and the results for streams with outages and streams with shifts."""
    outages = [stage.history, stage.history + stage.lasts + stage.apart]
    rounds = max(2 * (stage.lasts + stage.apart), int(1.5 * stage.accepted_seconds / stage.step))
    values = np.tile(noise(stage.history + rounds), 2)
    for first in outages:
        values[first : first + stage.lasts, OUTAGES] = 0.0
    values[stage.history :, SHIFTED] += 15.0
    times = stage.times(rounds)
    return times, outages, play(times, values, {"max_firing_seconds": stage.accepted_seconds})


@pytest.mark.parametrize("stage", STAGES)
def test_repeated_outage_is_two_alerts(stage: Stage) -> None:
    times, outages, played = lived(stage)
    for found in began(played)[OUTAGES]:
        assert len(found) == 2
        delays = np.array(found) - times[outages]
        assert ((delays >= 0.0) & (delays < stage.lasts * stage.step)).all()


@pytest.mark.parametrize("stage", STAGES)
def test_sustained_shift_is_one_alert_until_it_is_accepted(stage: Stage) -> None:
    for told in lived(stage)[-1].alerts[SHIFTED]:
        assert [status for status, _ in told] == ["FIRING", "RESOLVED"]
        (_, fired), (_, resolved) = told
        assert fired == START
        assert 0.0 < resolved - START - stage.accepted_seconds <= stage.step


def test_small_outage_alerts_again_a_day_later() -> None:
    rounds, lasts, outages = 5000, 60, [3000, 4500]
    values = noise(rounds)
    for first in outages:
        values[first : first + lasts] += [7.0, 7.0, 10.0, 10.0]
    times = START + MINUTE * np.arange(rounds, dtype=np.float64)
    for found in began(play(times, values)):
        for first in outages:
            assert any(0.0 <= at - times[first] < MINUTE * lasts / 2 for at in found)


def test_spike_hardly_changes_later_forecasts() -> None:
    rounds, spike = 1800, 1500
    times, values = START + MINUTE * np.arange(rounds, dtype=np.float64), noise(rounds)
    values += 10.0 * np.sin(2 * np.pi * times / DAY)[:, None]
    hit = values.copy()
    hit[spike] += 200.0
    after, both = slice(spike + 10, None), np.hstack([hit, values])
    error = np.abs(play(times, both).expected_TS - both)[after].mean(axis=0)
    assert error[:STREAMS].mean() < 1.05 * error[STREAMS:].mean()


def test_daily_job_stops_alerting_after_some_days() -> None:
    days, per_day = 21, 288
    times = START + 5 * MINUTE * np.arange(days * per_day, dtype=np.float64)
    values = noise(len(times)) + 10.0 * np.sin(2 * np.pi * times / DAY)[:, None]
    values[(times % DAY >= 3 * HOUR) & (times % DAY < 3.5 * HOUR)] += 40.0
    day = [(time - START) / DAY for found in began(play(times, values)) for time in found]
    assert any(at < 5 for at in day), "it is news at first"
    assert sum(at > 10 for at in day) <= STREAMS * (days - 10) // 10


def by_day_and_night(days: int) -> tuple[Float64, Float64]:
    """Times, and values of about 90 at noon and 10 at midnight."""
    times = START + 15 * MINUTE * np.arange(96 * days, dtype=np.float64)
    load = 50.0 - 40.0 * np.cos(2 * np.pi * times / DAY)
    noisy = np.random.default_rng(1).normal(1.0, 0.04, (len(times), STREAMS))
    return times, load[:, None] * noisy


def test_alert_of_an_evening_outage_resolves_at_the_night_level() -> None:
    times, values = by_day_and_night(8)
    down = (times >= START + 6.7 * DAY) & (times < START + 6.95 * DAY)
    values[down] = 0.0
    for told in play(times, values).alerts:
        ((_, began), (_, ended)) = [one for one in told if one[1] >= START + 6.7 * DAY][:2]
        assert began - (START + 6.7 * DAY) < HOUR
        assert 0.0 <= ended - (START + 6.95 * DAY) < 5 * HOUR


def test_sustained_shift_of_a_daily_stream_is_one_alert() -> None:
    times, values = by_day_and_night(8)
    up = (times >= START + 6.5 * DAY) & (times < START + 7.7 * DAY)
    values[up] += 60.0
    for told in play(times, values).alerts:
        statuses = [(status, at) for status, at in told if START + 6.5 * DAY <= at < START + 7.7 * DAY]
        assert [status for status, _ in statuses] == ["FIRING"]
