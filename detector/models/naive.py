"""The bank of online naive forecasters ("experts") that the network weighs, with the errors they made lately.

Everything a stream keeps here is one packed float32 vector, because one wide gather is many times cheaper than thirty
narrow ones. Values are kept relative to the stream's first value (`origin`), so that float32 resolves a small
ripple on a huge level.

Shape legend: B rows of one call, K experts, L exponential means.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows
from detector.models.profile import CalendarProfile, Place
from detector.stats.ewm import follow, follow_capped, follow_robust, warm_rate

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

MEAN_RATES = (1.0, 0.6, 0.3, 0.12, 0.04, 0.01)
"""Rates of the exponential means; the first is the last value, the last stands for the running mean."""
EXPERT_NAMES = (
    "last_value",
    "mean_0.6",
    "mean_0.3",
    "mean_0.12",
    "mean_0.04",
    "running_mean",
    "day_profile",
    "week_profile",
)
MEANS = len(MEAN_RATES)
EXPERTS = len(EXPERT_NAMES)
LAST_VALUE, RUNNING_MEAN = 0, MEANS - 1

ERROR_RATE = 1 / 200
ERROR_CAP = 20.0
SCALER_RATE = 1 / 1000
SCALER_CAP = 4.0
FIT_RATE = 1 / 500
REPEAT_RATE = 0.02
RECENT_RATE = 0.3
"""Rate of the recent level that a profile forecast is shifted by."""
OLDEST = 1e6


class Slot:
    """Rows of the packed vector."""

    MEANS = slice(0, 6)
    RECENT = slice(6, 8)
    """Recent level of the value over each profile."""
    EXPERTS = slice(8, 16)
    """Forecasts of the next sample."""
    ERRORS = slice(16, 24)
    FIT = slice(24, 26)
    """Running distance of the value from each profile."""
    MEAN = 26
    DEVIATION = 27
    LAST = 28
    STEP = 29
    """Last difference."""
    REPEATS = 30
    """Share of samples that repeat the one before."""
    GAP = 31
    """Log of the last distance in time over the usual one."""
    AGE = 32
    """Samples seen."""
    FLOOR = 33
    """What counts as nothing at this stream's magnitude."""
    GATE = 34
    """The network's forecast of the next sample."""
    GATE_ERROR = 35
    SIZE = 36


class Clock:
    """Columns of the float64 field `bank_clock`."""

    ORIGIN, LAST_TIME, INTERVAL, SIZE = 0, 1, 2, 3


DAY = CalendarProfile("day", 24, rate=0.3)
WEEK = CalendarProfile("week", 168, rate=0.5)
PROFILES = (DAY, WEEK)

FIELDS = (Field("bank", (Slot.SIZE,)), Field("bank_clock", (Clock.SIZE,), "float64"), *DAY.fields, *WEEK.fields)


def unpack(state: Columns, rows: Rows) -> Float32:
    """[SIZE, B] copy of the packed vectors of `rows`."""
    return np.ascontiguousarray(state["bank"].take(rows, axis=0).T)


def pack(state: Columns, rows: Rows, bank: Float32) -> None:
    """Write [SIZE, B] back."""
    state["bank"][rows] = bank.T


def next_interval(interval_B: Float64, elapsed_B: Float64, age_B: Float32) -> Float64:
    """Usual distance between samples: follows steps within a tenth at once, others by a twentieth, gaps barely.

    Of the first eight steps the shortest is believed.
    """
    pace = 0.1 * interval_B
    moved = interval_B + 0.5 * np.clip(elapsed_B - interval_B, -pace, pace)
    early = np.where(interval_B > 0, np.minimum(interval_B, elapsed_B), elapsed_B)
    return np.where(age_B <= 8, early, moved)


class Bank:
    """Updates the packed vector with a sample per row."""

    fields = FIELDS

    def learn(self, state: Columns, rows: Rows, times_B: Float64, values_B: Float64) -> None:
        """Judge the stored forecasts by the new samples, learn from these, and forecast the ones after them."""
        with np.errstate(over="ignore", under="ignore"):
            bank = unpack(state, rows)
            clock = state["bank_clock"].take(rows, axis=0)
            fresh = bank[Slot.AGE] == 0
            clock[:, Clock.ORIGIN] = np.where(fresh, values_B, clock[:, Clock.ORIGIN])
            value = (values_B - clock[:, Clock.ORIGIN]).astype(np.float32)
            bank[Slot.AGE] = np.minimum(bank[Slot.AGE] + 1, OLDEST)
            bank[Slot.FLOOR] = (1e-6 * np.abs(values_B) + 1e-12).astype(np.float32)
            _tick(bank, clock, fresh, times_B)
            _judge(bank, value)
            _learn_level(bank, value)
            _learn_profiles(state, rows, bank, clock, times_B, value)
            pack(state, rows, bank)
            state["bank_clock"][rows] = clock


def _tick(bank: Float32, clock: Float64, fresh_B: npt.NDArray[np.bool_], times_B: Float64) -> None:
    elapsed = np.maximum(times_B - clock[:, Clock.LAST_TIME], 1e-3)
    interval = np.where(fresh_B, 0.0, next_interval(clock[:, Clock.INTERVAL], elapsed, bank[Slot.AGE]))
    usual = np.where(interval > 0, interval, elapsed)
    gap = np.clip(elapsed / usual, 0.1, 1e4).astype(np.float32)
    bank[Slot.GAP] = np.where(fresh_B, np.float32(0), np.log(gap))
    clock[:, Clock.LAST_TIME] = times_B
    clock[:, Clock.INTERVAL] = interval


def _judge(bank: Float32, value_B: Float32) -> None:
    """Errors of the stored forecasts; there are none before the second sample."""
    made = np.maximum(bank[Slot.AGE] - 1, 1)
    rate = np.where(bank[Slot.AGE] > 1, warm_rate(made, ERROR_RATE), np.float32(0))
    floor = bank[Slot.FLOOR]
    errors = np.abs(bank[Slot.EXPERTS] - value_B)
    bank[Slot.ERRORS] = follow_capped(bank[Slot.ERRORS], errors, rate, ERROR_CAP, floor)
    gate_error = np.abs(bank[Slot.GATE] - value_B)
    bank[Slot.GATE_ERROR] = follow_capped(bank[Slot.GATE_ERROR], gate_error, rate, ERROR_CAP, floor)


def _learn_level(bank: Float32, value_B: Float32) -> None:
    """Exponential means, normaliser and the small features of the last step."""
    age = bank[Slot.AGE]
    for row, rate in enumerate(MEAN_RATES):
        bank[row] = follow(bank[row], value_B, warm_rate(age, rate))
    bank[Slot.MEAN], bank[Slot.DEVIATION] = follow_robust(
        bank[Slot.MEAN], bank[Slot.DEVIATION], value_B, warm_rate(age, SCALER_RATE), SCALER_CAP, bank[Slot.FLOOR]
    )
    bank[Slot.STEP] = np.where(age > 1, value_B - bank[Slot.LAST], np.float32(0))
    repeated = ((bank[Slot.STEP] == 0) & (age > 1)).astype(np.float32)
    bank[Slot.REPEATS] = follow(bank[Slot.REPEATS], repeated, warm_rate(age, REPEAT_RATE))
    bank[Slot.LAST] = value_B


def _learn_profiles(
    state: Columns, rows: Rows, bank: Float32, clock: Float64, times_B: Float64, value_B: Float32
) -> None:
    """Profiles learn the sample; then every expert forecasts the sample after it."""
    interval = clock[:, Clock.INTERVAL]
    fit_rate = warm_rate(bank[Slot.AGE], FIT_RATE)
    bank[Slot.EXPERTS][:MEANS] = bank[Slot.MEANS]
    for index, profile in enumerate(PROFILES):
        here = profile.place(rows, times_B)
        usual, known = profile.value(state, here)
        over = np.where(known, value_B - usual, np.float32(0))
        distance = np.where(known, np.abs(over), np.abs(value_B - bank[Slot.MEAN]))
        fit, recent = bank[Slot.FIT], bank[Slot.RECENT]
        fit[index] = follow_capped(fit[index], distance, fit_rate, ERROR_CAP, bank[Slot.FLOOR])
        recent[index] = follow(recent[index], over, RECENT_RATE)
        profile.learn(state, here, value_B, interval)
        bank[Slot.EXPERTS][MEANS + index] = _profile_forecast(
            state, profile, profile.place(rows, times_B + interval), bank, index
        )


def _profile_forecast(state: Columns, profile: CalendarProfile, there: Place, bank: Float32, index: int) -> Float32:
    """Profile at the next moment plus recent level; the last value where the profile has no say yet."""
    usual, known = profile.value(state, there)
    forecast: Float32 = np.where(known, usual + bank[Slot.RECENT][index], bank[Slot.LAST])
    return forecast
