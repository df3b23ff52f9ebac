"""The bank of online naive forecasters ("experts") that the network weighs, with their recent errors.

Everything a stream keeps here is one packed float32 vector, because one wide gather is many times cheaper than thirty
narrow ones. Values are relative to the stream's first value (`origin`), so float32 resolves a small ripple on a huge
level.

Shape legend: B rows of one call, K experts, L exponential means.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows, put
from detector.models.profile import PROFILES, Calendar
from detector.stats.ewm import UNCAPPED_RATE, follow, follow_capped, follow_robust, warm_rate

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

MEAN_RATES = (1.0, 0.6, 0.3, 0.12, 0.04, 0.01)
"""Rates of the exponential means; the first one is the last value, the last one serves as the running mean."""
MEANS = len(MEAN_RATES)
PROFILE_NAMES = tuple(one.name for one in PROFILES)
EXPERT_NAMES = (
    *("last_value", "mean_0.6", "mean_0.3", "mean_0.12", "mean_0.04", "running_mean"),
    "running_median",
    *PROFILE_NAMES,
    "steady_day",
)
EXPERTS = len(EXPERT_NAMES)
LAST_VALUE, RUNNING_MEAN, RUNNING_MEDIAN = 0, MEANS - 1, MEANS
FIRST_PROFILE = MEANS + 1
_MEAN_RATES = np.array(MEAN_RATES, np.float32)[:, None]

ERROR_RATE = 1 / 100
ERROR_CAP = 20.0
SKILL_RATE = 1 / 1000
SCALER_RATE = 1 / 1000
SCALER_CAP = 4.0
MEDIAN_PACE = 0.1
"""Most deviations that the running median moves per sample."""
PROFILE_CAP = 4.0
"""Most deviations by which a single sample may pull a profile."""
PEAK_FADES = 1 / 100
PEAK_EVERY = 16
"""Samples between updates of `Slot.PEAK`, so that a spike and its return are one event. A power of two."""
FIT_RATE = 1 / 500
REPEAT_RATE = 0.02
PROFILE_OF = np.array([0, 1, 2, 1])
"""The profile of each expert that has one; `steady_day` also uses the day's."""
RECENT_RATES = np.array([[0.2], [0.5], [0.5], [0.02]], np.float32)
"""Rates at which these experts follow the recent level above the profile, which they add to their forecast."""
OLDEST = np.float32(1_000_000)
"""Ages are counted up to this; from then on, the last `PEAK_EVERY` of them recur. A multiple of it."""


class Slot:
    """Rows of the packed vector."""

    MEANS = slice(0, 6)
    MEDIAN = 6
    RECENT = slice(7, 11)
    """Recent level of the value above the profile, for each expert with a profile."""
    EXPERTS = slice(11, 22)
    """The experts' forecasts of the next sample."""
    ERRORS = slice(22, 33)
    """The experts' running errors."""
    FIT = slice(33, 36)
    """Running distance of the value from each profile."""
    MEAN = 36
    DEVIATION = 37
    LAST = 38
    STEP = 39
    """Last difference."""
    REPEATS = 40
    """Share of samples that repeat the previous one."""
    GAP = 41
    """Logarithm of the last interval over the usual one."""
    AGE = 42
    """Samples seen, up to `OLDEST`."""
    FLOOR = 43
    """Size of a negligible difference at this stream's magnitude."""
    GATE = 44
    """The network's forecast of the next sample."""
    SKILL = slice(45, 49)
    """Slow running errors of the network, the last value, the running mean and the expert best at the time."""
    PEAK = 49
    """Largest last-value error of the past, fading slowly; errors of that size have been seen before."""
    RECENT_PEAK = 50
    """The same since `PEAK` last took it over."""
    SIZE = 51


class Clock:
    """Columns of the float64 field `bank_clock`."""

    ORIGIN, LAST_TIME, INTERVAL, SIZE = 0, 1, 2, 3


FIELDS = (Field("bank", (Slot.SIZE,)), Field("bank_clock", (Clock.SIZE,), "float64"), *Calendar().fields)
"""Fields of a bank with all profiles."""


def unpack(state: Columns, rows: Rows) -> Float32:
    """[SIZE, B] copy of the packed vectors of `rows`."""
    return np.ascontiguousarray(state["bank"].take(rows, axis=0).T)


def pack(state: Columns, rows: Rows, bank: Float32) -> None:
    """Write [SIZE, B] back."""
    state["bank"][rows] = bank.T


def next_interval(interval_B: Float64, elapsed_B: Float64, age_B: Float32) -> Float64:
    """Usual interval between samples: moves halfway to the last one, but by a twentieth of itself at most.

    For the first eight samples it is the shortest interval so far.
    """
    pace = 0.1 * interval_B
    moved = interval_B + 0.5 * np.clip(elapsed_B - interval_B, -pace, pace)
    early = np.where(interval_B > 0, np.minimum(interval_B, elapsed_B), elapsed_B)
    return np.where(age_B <= 8, early, moved)


class Bank:
    """Updates the packed vector with one sample per row. Experts without their profile forecast the last value."""

    fields: tuple[Field, ...] = FIELDS

    def __init__(self, calendar: Calendar | None = None) -> None:
        """Without `calendar`, all profiles are kept."""
        self._calendar = calendar or Calendar()
        self.fields = (*FIELDS[:2], *self._calendar.fields)

    def learn(self, state: Columns, rows: Rows, times_B: Float64, values_B: Float64) -> tuple[Float32, Float32]:
        """Judge the stored forecasts by the new samples, learn these, and forecast the next ones.

        Returns the [B] error of the network's forecast, in units of s; 0 if there was none; and the bank, unpacked.
        """
        with np.errstate(over="ignore", under="ignore"):
            bank = unpack(state, rows)
            clock = state["bank_clock"].take(rows, axis=0)
            fresh = bank[Slot.AGE] == 0
            clock[:, Clock.ORIGIN] = np.where(fresh, values_B, clock[:, Clock.ORIGIN])
            value = (values_B - clock[:, Clock.ORIGIN]).astype(np.float32)
            missed = np.where(fresh, 0, (value - bank[Slot.GATE]) / np.where(fresh, 1, unit(bank)))
            bank[Slot.AGE] = np.where(bank[Slot.AGE] >= OLDEST, OLDEST - PEAK_EVERY + 1, bank[Slot.AGE] + 1)
            bank[Slot.FLOOR] = (1e-6 * np.abs(values_B) + 1e-12).astype(np.float32)
            _tick(bank, clock, fresh, times_B)
            _judge(bank, value)
            _learn_level(bank, value)
            self._learn_profiles(state, rows, bank, clock, times_B, value)
            pack(state, rows, bank)
            put(state["bank_clock"], rows, clock)
        return missed, bank

    def _learn_profiles(
        self, state: Columns, rows: Rows, bank: Float32, clock: Float64, times_B: Float64, value_B: Float32
    ) -> None:
        """Let the profiles learn the sample, then every expert forecast the next one.

        A profile forecasts its value one interval later plus the stream's recent level above it; where its value is not
        known yet, it forecasts the last value.
        """
        calendar, interval = self._calendar, clock[:, Clock.INTERVAL]
        here = calendar.place(state, rows, times_B)
        usual, known = here.usual()
        over = np.where(known, value_B - usual, np.float32(0))
        cap = np.float32(PROFILE_CAP) * bank[Slot.DEVIATION] + bank[Slot.FLOOR]
        calendar.learn(state, here, value_B, np.clip(over, -cap, cap), interval)
        over, known = calendar.spread(over), calendar.spread(known)
        distance = np.where(known, np.abs(over), np.abs(value_B - bank[Slot.MEAN]))
        fit_rate = warm_rate(bank[Slot.AGE], FIT_RATE)
        bank[Slot.FIT] = follow_capped(bank[Slot.FIT], distance, fit_rate, _limit(bank, bank[Slot.FIT], fit_rate))
        bank[Slot.RECENT] = follow(bank[Slot.RECENT], over[PROFILE_OF], RECENT_RATES)

        there, known_there = map(calendar.spread, calendar.place(state, rows, times_B + interval).usual())
        experts = bank[Slot.EXPERTS]
        experts[:MEANS] = bank[Slot.MEANS]
        experts[RUNNING_MEDIAN] = bank[Slot.MEDIAN]
        experts[FIRST_PROFILE:] = np.where(known_there[PROFILE_OF], there[PROFILE_OF] + bank[Slot.RECENT], value_B)


def _tick(bank: Float32, clock: Float64, fresh_B: npt.NDArray[np.bool_], times_B: Float64) -> None:
    elapsed = np.maximum(times_B - clock[:, Clock.LAST_TIME], 1e-3)
    before = clock[:, Clock.INTERVAL]
    gap = np.clip(elapsed / np.where(before > 0, before, elapsed), 0.1, 1e4).astype(np.float32)
    bank[Slot.GAP] = np.where(fresh_B, np.float32(0), np.log(gap))
    clock[:, Clock.INTERVAL] = np.where(fresh_B, 0.0, next_interval(before, elapsed, bank[Slot.AGE]))
    clock[:, Clock.LAST_TIME] = times_B


def unit(bank: Float32) -> Float32:
    """[B] unit s: the smallest running error in the stream's bank, plus its floor."""
    smallest: Float32 = bank[Slot.ERRORS].min(axis=0) + bank[Slot.FLOOR]
    return smallest


def best_expert(bank: Float32) -> Float32:
    """[B] forecast of the expert with the smallest running error."""
    errors, experts = bank[Slot.ERRORS], bank[Slot.EXPERTS]
    is_best = errors == errors.min(axis=0)
    forecast: Float32 = experts[0].copy()
    # The first one of several; an argmin over columns takes twice as long.
    for expert in reversed(range(EXPERTS)):
        np.copyto(forecast, experts[expert], where=is_best[expert])
    return forecast


def _judge(bank: Float32, value_B: Float32) -> None:
    """Update the running errors of the stored forecasts; there are none before the second sample."""
    made = np.maximum(bank[Slot.AGE] - 1, 1)
    judged = bank[Slot.AGE] > 1
    experts = bank[Slot.EXPERTS]
    rivals = np.stack((bank[Slot.GATE], experts[LAST_VALUE], experts[RUNNING_MEAN], best_expert(bank)))
    for made_by, slot, rate in ((rivals, Slot.SKILL, SKILL_RATE), (experts, Slot.ERRORS, ERROR_RATE)):
        pace = np.where(judged, warm_rate(made, rate), np.float32(0))
        bank[slot] = follow_capped(bank[slot], np.abs(made_by - value_B), pace, _limit(bank, bank[slot], pace))


def _limit(bank: Float32, error: Float32, rate_B: Float32) -> Float32:
    """Most that a single error counts as: `ERROR_CAP` times the usual one, or as much as was seen before.

    Nothing is capped at the rates of the first samples, for lack of anything to compare with.
    """
    limit: Float32 = error + bank[Slot.FLOOR]
    limit *= np.float32(ERROR_CAP)
    np.maximum(limit, np.where(rate_B > UNCAPPED_RATE, np.float32(np.inf), bank[Slot.PEAK]), out=limit)
    return limit


def _learn_level(bank: Float32, value_B: Float32) -> None:
    """Update the exponential means, the normaliser, the median, and the small features of the last step."""
    age, floor = bank[Slot.AGE], bank[Slot.FLOOR]
    bank[Slot.MEANS] = follow(bank[Slot.MEANS], value_B, warm_rate(age, _MEAN_RATES))
    bank[Slot.MEAN], bank[Slot.DEVIATION] = follow_robust(
        bank[Slot.MEAN],
        bank[Slot.DEVIATION],
        value_B,
        warm_rate(age, SCALER_RATE),
        np.maximum(SCALER_CAP * bank[Slot.DEVIATION] + floor, bank[Slot.PEAK]),
    )
    pace = np.where(age <= 8, np.float32(1), np.float32(MEDIAN_PACE)) * bank[Slot.DEVIATION]
    bank[Slot.MEDIAN] += np.where(age == 1, value_B, np.clip(value_B - bank[Slot.MEDIAN], -pace, pace))
    bank[Slot.STEP] = np.where(age > 1, value_B - bank[Slot.LAST], np.float32(0))
    repeated = ((bank[Slot.STEP] == 0) & (age > 1)).astype(np.float32)
    bank[Slot.REPEATS] = follow(bank[Slot.REPEATS], repeated, warm_rate(age, REPEAT_RATE))
    bank[Slot.LAST] = value_B
    _learn_peak(bank)


def _learn_peak(bank: Float32) -> None:
    recent = np.maximum(bank[Slot.RECENT_PEAK], np.abs(bank[Slot.STEP]))
    cycles = bank[Slot.AGE] * np.float32(1 / PEAK_EVERY)
    due = cycles == np.floor(cycles)
    faded = bank[Slot.PEAK] * np.float32(1 - PEAK_FADES)
    bank[Slot.PEAK] = np.where(due, np.maximum(faded, recent), bank[Slot.PEAK])
    bank[Slot.RECENT_PEAK] = np.where(due, np.float32(0), recent)
