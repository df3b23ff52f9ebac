"""`Lifecycle` compared with a plain model of one stream, and its rules for the end of an alert."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.lifecycle import Lifecycle, Observation
from detector.columns import allocate
from detector.records import AlertStatus

BAND = 1.0


class Model:
    """What `Lifecycle` must do, for one stream and without arrays."""

    def __init__(self, anomalous: int, of: int, normal: int, below: float, too_long: float, cooldown: float) -> None:
        self.anomalous, self.of, self.normal, self.below = anomalous, of, normal, below
        self.too_long, self.cooldown = too_long, cooldown
        self.bits: list[bool] = []
        self.status, self.quiet, self.starts_at, self.ended_at = AlertStatus.NONE, 0, 0.0, -np.inf
        self.worst, self.worst_value, self.level = 0.0, 0.0, False

    def step(self, time: float, score: float, value: float) -> AlertStatus:
        lasts = abs(value - self.worst_value) < abs(value) if self.level else value == self.worst_value
        recent = self.status == AlertStatus.NONE and time < self.ended_at + self.too_long
        is_accepted = recent and self.level and abs(value - self.worst_value) < 0.5 * abs(self.worst_value)
        if is_accepted or time < self.ended_at + self.cooldown:
            score = min(score, 1.0)
        self.bits = [*self.bits, score > 1.0][-self.of :]
        self.quiet = self.quiet + 1 if score < self.below else 0
        if self.status == AlertStatus.FIRING:
            if lasts or (not self.level and abs(value) <= BAND):
                self._remember(score, value)
            if (self.quiet >= self.normal and not lasts) or time - self.starts_at > self.too_long:
                self.level &= time - self.starts_at > self.too_long
                self.status, self.ended_at, self.bits = AlertStatus.NONE, time, []
                return AlertStatus.RESOLVED
            return self.status
        begins = self.status == AlertStatus.NONE or (sum(self.bits) == 1 and self.bits[-1])
        if begins and score > 1.0:
            self.worst, self.level = 0.0, False
        self.level |= score > 1.0 and abs(value) > BAND
        self._remember(score, value)
        if sum(self.bits) >= self.anomalous:
            self.status, self.starts_at = AlertStatus.FIRING, time
        elif any(self.bits):
            self.status = AlertStatus.PENDING
        elif self.status == AlertStatus.PENDING:
            self.status, self.level = AlertStatus.NONE, False
        return self.status

    def _remember(self, score: float, value: float) -> None:
        if score > max(1.0, self.worst):
            self.worst, self.worst_value = score, value


@given(
    samples=st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 0.9, 1.0, 1.5, 3.0]), st.sampled_from([-9.0, 0.0, 0.5, 3.0, 9.0])),
        max_size=60,
    ),
    anomalous=st.integers(1, 3),
    extra=st.integers(0, 3),
    normal=st.integers(1, 4),
    too_long=st.sampled_from([5.0, 1e9]),
    cooldown=st.sampled_from([0.0, 4.0]),
)
def test_g15_lifecycle_agrees_with_a_plain_model(
    samples: list[tuple[float, float]], anomalous: int, extra: int, normal: int, too_long: float, cooldown: float
) -> None:
    of = anomalous + extra
    lifecycle = Lifecycle(
        anomalous=anomalous,
        of=of,
        recovery_normal=normal,
        recovery_below=0.8,
        max_firing_seconds=too_long,
        cooldown_seconds=cooldown,
    )
    model = Model(anomalous, of, normal, 0.8, too_long, cooldown)
    state, with_a_quiet_one = allocate(lifecycle.fields, 4), np.array([2, 0])
    for time, (score, value) in enumerate(samples):
        status, quiet = lifecycle.decide(state, with_a_quiet_one, seen(float(time), [score, 0.0], [value, 0.0]))
        assert status == model.step(float(time), score, value), (time, score)
        assert quiet == AlertStatus.NONE
        assert state["alert.status"][2] == model.status
    assert (state["alert.status"][[0, 1, 3]] == AlertStatus.NONE).all()


def seen(time: float, score: float | list[float], value: float | list[float] = 1.0) -> Observation:
    """What streams show at one time whose usual value is 0."""
    values = np.atleast_1d(value)
    times, expected, ones = np.full(len(values), time), np.zeros(len(values)), np.ones(len(values))
    offsets = times.astype(np.int64)
    return Observation(times, values, expected, -BAND * ones, BAND * ones, np.atleast_1d(score), offsets)


def test_worst_sample_is_kept_until_the_next_episode() -> None:
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=2, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0
    )
    state, rows = allocate(lifecycle.fields, 1), np.array([0])
    for time, score in enumerate([1.2, 2.5, 1.1, 0.0, 0.0]):
        lifecycle.decide(state, rows, seen(float(time), score, value=score * 10))
    assert state["alert.worst"][0].tolist() == [1.0, 25.0, 0.0, -1.0, 1.0, 2.5]
    assert state["alert.worst_offset"][0] == 1
    assert state["alert.starts_at"][0] == 0.0
    lifecycle.decide(state, rows, seen(9.0, 1.1, value=11.0))
    assert state["alert.worst"][0][0] == 9.0
    assert state["alert.starts_at"][0] == 9.0


def test_g15_alert_for_a_long_level_shift_resolves_when_the_level_returns() -> None:
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=5, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0
    )
    state, rows = allocate(lifecycle.fields, 1), np.array([0])
    said = [
        AlertStatus(lifecycle.decide(state, rows, seen(float(time), 1.5 if time == 0 else 0.0, value))[0])
        for time, value in enumerate([9.0] * 257 + [0.0])
    ]
    assert said == [AlertStatus.FIRING] * 257 + [AlertStatus.RESOLVED]


def test_g15_max_firing_seconds_counts_from_the_sample_that_fires_not_from_the_first_pending_one() -> None:
    lifecycle = Lifecycle(
        anomalous=3, of=5, recovery_normal=2, recovery_below=0.8, max_firing_seconds=100.0, cooldown_seconds=0.0
    )
    state, rows = allocate(lifecycle.fields, 1), np.array([0])

    def step(time: float, score: float) -> AlertStatus:
        return AlertStatus(int(lifecycle.decide(state, rows, seen(time, score, 9.0))[0]))

    waited = [step(float(time), 1.5 if time % 4 == 0 else 0.0) for time in range(301)]
    assert set(waited) == {AlertStatus.PENDING}
    assert [step(time, 2.0) for time in (301.0, 302.0)] == [AlertStatus.PENDING, AlertStatus.FIRING]
    assert state["alert.starts_at"][0] == 302.0
    assert [step(time, 2.0) for time in (303.0, 402.0, 403.0)] == [AlertStatus.FIRING] * 2 + [AlertStatus.RESOLVED]


def test_cooldown_begins_no_alert_and_its_samples_do_not_count_afterwards() -> None:
    lifecycle = Lifecycle(
        anomalous=2, of=3, recovery_normal=1, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=10.0
    )
    state, rows = allocate(lifecycle.fields, 1), np.array([0])

    def step(time: float, score: float, value: float) -> AlertStatus:
        return AlertStatus(int(lifecycle.decide(state, rows, seen(time, score, value))[0]))

    assert [step(0.0, 2.0, 9.0), step(1.0, 2.0, 9.0)] == [AlertStatus.PENDING, AlertStatus.FIRING]
    assert step(2.0, 0.0, 0.0) == AlertStatus.RESOLVED
    assert {step(time, 2.0, 9.0) for time in (3.0, 4.0, 11.0, 11.9)} == {AlertStatus.NONE}
    assert [step(12.0, 2.0, 9.0), step(13.0, 2.0, 9.0)] == [AlertStatus.PENDING, AlertStatus.FIRING]


def test_level_that_never_fired_is_not_accepted() -> None:
    """A single sample after an alert, too few to fire, says nothing about when the same level comes to stay."""
    lifecycle = Lifecycle(
        anomalous=2, of=2, recovery_normal=1, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0
    )
    state, rows = allocate(lifecycle.fields, 1), np.array([0])
    earlier, single, stays = [(2.0, -9.0), (2.0, -9.0), (0.0, 0.0)], [(2.0, 9.0), (0.0, 0.0)], [(2.0, 9.0)] * 2
    said = [
        AlertStatus(int(lifecycle.decide(state, rows, seen(float(time), *one))[0]))
        for time, one in enumerate([*earlier, *single, (0.0, 0.0), *stays])
    ]
    assert said[2] == AlertStatus.RESOLVED
    assert said[-2:] == [AlertStatus.PENDING, AlertStatus.FIRING]


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(
    ("time", "value", "status"),
    [
        pytest.param(102.0, 9.0, AlertStatus.NONE, id="the level that fired for too long"),
        pytest.param(102.0, 4.6, AlertStatus.NONE, id="within half the shift, towards the usual"),
        pytest.param(102.0, 13.4, AlertStatus.NONE, id="within half the shift, away from the usual"),
        pytest.param(200.9, 9.0, AlertStatus.NONE, id="almost as long after its end"),
        pytest.param(201.0, 9.0, AlertStatus.FIRING, id="as long after its end"),
        pytest.param(102.0, 4.5, AlertStatus.FIRING, id="half the shift away"),
        pytest.param(102.0, 13.5, AlertStatus.FIRING, id="half the shift further"),
        pytest.param(102.0, -9.0, AlertStatus.FIRING, id="on the other side"),
    ],
)
def test_level_of_an_alert_that_fired_for_too_long_is_accepted_for_as_long_again(
    time: float, value: float, status: AlertStatus, side: float
) -> None:
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=2, recovery_below=0.8, max_firing_seconds=100.0, cooldown_seconds=0.0
    )
    state, rows = allocate(lifecycle.fields, 1), np.array([0])
    said = [int(lifecycle.decide(state, rows, seen(at, 2.0, side * 9.0))[0]) for at in (0.0, 100.0, 101.0, 101.5)]
    assert said == [AlertStatus.FIRING, AlertStatus.FIRING, AlertStatus.RESOLVED, AlertStatus.NONE]
    assert lifecycle.decide(state, rows, seen(time, 3.0, side * value))[0] == status


def test_level_of_an_alert_whose_stream_recovered_is_not_accepted() -> None:
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=1, recovery_below=0.8, max_firing_seconds=100.0, cooldown_seconds=0.0
    )
    state, rows = allocate(lifecycle.fields, 1), np.array([0])
    said = [int(lifecycle.decide(state, rows, seen(at, *one))[0]) for at, one in enumerate([(2, 9), (0, 0), (2, 9)])]
    assert said == [AlertStatus.FIRING, AlertStatus.RESOLVED, AlertStatus.FIRING]


def test_alert_with_the_largest_settings_fires_and_resolves() -> None:
    lifecycle = Lifecycle(
        anomalous=32, of=32, recovery_normal=255, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0
    )
    state, rows = allocate(lifecycle.fields, 1), np.array([0])
    said = [
        AlertStatus(int(lifecycle.decide(state, rows, seen(float(time), *one))[0]))
        for time, one in enumerate([(2.0, 9.0)] * 32 + [(0.0, 0.0)] * 255)
    ]
    assert said == [AlertStatus.PENDING] * 31 + [AlertStatus.FIRING] * 255 + [AlertStatus.RESOLVED]


def test_g15_stuck_value_is_one_alert_until_the_value_changes() -> None:
    """The value lies within its band, and its score falls once the run of repeats is as long as earlier ones."""
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0
    )
    stuck = [(1.2, 50.0, 50.5), *[(0.0, 50.0, 50.0)] * 100]
    moves = [(0.0, 50.0 + step, 50.0) for step in (0.1, 0.3, -0.2)]
    assert ends(lifecycle, [*stuck, *moves]) == [len(stuck)]


def ends(lifecycle: Lifecycle, samples: list[tuple[float, float, float]]) -> list[int]:
    """Indexes of the (score, value, expected) samples at which an alert resolves."""
    state, rows = allocate(lifecycle.fields, 1), np.array([0])
    found = []
    for at, (score, value, expected) in enumerate(samples):
        band = Observation(
            *(np.array([x]) for x in (float(at), value, expected, expected - BAND, expected + BAND, score, at))
        )
        if lifecycle.decide(state, rows, band)[0] == AlertStatus.RESOLVED:
            found.append(at)
    return found


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param([(1.5, 0.0, 100.0), (0.0, 0.0, 50.0)], id="sudden"),
        pytest.param([(1.5, 80.0, 82.0), (0.0, 40.0, 41.0), (0.0, 0.0, 0.5)], id="a drift that is followed"),
        pytest.param([(1.5, 0.0, 0.5), (0.0, 0.0, 0.0)], id="within its band"),
    ],
)
def test_g15_return_to_the_old_level_resolves_although_its_first_sample_is_anomalous(
    outage: list[tuple[float, float, float]],
) -> None:
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0
    )
    back = [(9.0, 100.0, 0.0), *[(0.0, 100.0, 100.0)] * 10]
    assert ends(lifecycle, [*outage, *back]) == [len(outage) + 3]


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        pytest.param([0.0, 0.0, 0.0, 20.0, 20.0, 20.0], 3, id="back at what is usual by now"),
        pytest.param([0.0] * 6, None, id="still at the worst value"),
        pytest.param([160.0, 160.0, 80.0, 80.0, 80.0, 80.0], None, id="as far from what is usual as before"),
    ],
)
def test_g15_usual_level_of_an_alert_follows_the_daily_pattern(values: list[float], ends: int | None) -> None:
    lifecycle = Lifecycle(
        anomalous=1, of=1, recovery_normal=1, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0,
        usual_change=lambda state, rows, since, now: np.where((since < 2.0) & (now >= 2.0), -80.0, 0.0),
    )  # fmt: skip
    state, rows = allocate(lifecycle.fields, 1), np.zeros(1, dtype=np.int64)
    resolved = []
    for at, value in enumerate(values):
        usual = 100.0 if at < 2 else 20.0
        time, seen, expected, lower, upper, score = (
            np.array([one]) for one in (float(at), value, usual, usual - 1.0, usual + 1.0, 2.0 if at == 0 else 0.0)
        )
        status = lifecycle.decide(state, rows, Observation(time, seen, expected, lower, upper, score, np.array([at])))
        if status[0] == AlertStatus.RESOLVED:
            resolved.append(at)
    assert resolved == ([] if ends is None else [ends])
