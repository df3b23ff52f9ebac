"""Labelled synthetic streams: kinds of stream x kinds of anomaly, fresh for every seed.

A stream's anomalies are of one kind and recur, so that a detector that forgives what it has seen once shows it.
Nothing in the detector was chosen by these generators' constants: use several seeds and report their spread. T rows a
stream.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from detector.backtest.series import Series
from detector.records import Float64

DAY_SECONDS = 86_400.0
Rng = np.random.Generator
Fault = Callable[[Rng, Float64, slice, float, int], None]
"""(random source, values to change in place, rows, the stream's local deviation, rows a day)."""


def daily(rng: Rng, phase_T: Float64) -> Float64:
    """[T] a random periodic shape of unit deviation; `phase_T` in days."""
    shape = sum(rng.normal() / order * np.cos(2 * np.pi * (order * phase_T + rng.random())) for order in (1, 2, 3, 5))
    return np.asarray(shape / (np.std(shape) + 1e-9))


def smooth(noise_T: Float64, keep: float) -> Float64:
    """[T] first-order autoregression of unit deviation."""
    smoothed = np.empty_like(noise_T)
    level = 0.0
    for row, shock in enumerate(noise_T):
        level = keep * level + np.sqrt(1 - keep**2) * shock
        smoothed[row] = level
    return smoothed


def _level(rng: Rng, phase_T: Float64) -> Float64:
    return 50.0 + rng.uniform(0.5, 5.0) * rng.standard_normal(len(phase_T))


def _season(rng: Rng, phase_T: Float64) -> Float64:
    season = daily(rng, phase_T)
    noise = smooth(rng.standard_normal(len(phase_T)), rng.uniform(0.0, 0.9))
    return 40.0 + 10.0 * season + rng.uniform(0.5, 3.0) * noise


def _counts(rng: Rng, phase_T: Float64) -> Float64:
    rate = rng.uniform(5.0, 60.0) * np.exp(rng.uniform(0.1, 0.8) * daily(rng, phase_T))
    return rng.poisson(rate).astype(float)


def _latency(rng: Rng, phase_T: Float64) -> Float64:
    level = 100.0 * (1.0 + 0.1 * daily(rng, phase_T))
    return np.asarray(level * np.exp(rng.uniform(0.05, 0.4) * smooth(rng.standard_normal(len(phase_T)), 0.3)))


def _wander(rng: Rng, phase_T: Float64) -> Float64:
    slow = smooth(rng.standard_normal(len(phase_T)), 0.998)
    return 60.0 + 8.0 * slow + rng.uniform(0.2, 1.0) * rng.standard_normal(len(phase_T))


def _batch(rng: Rng, phase_T: Float64) -> Float64:
    jobs = ((phase_T * rng.choice([4, 8, 24]) + rng.random()) % 1.0) < 0.12
    return 10.0 + 50.0 * jobs * rng.uniform(0.8, 1.2, len(phase_T)) + rng.standard_normal(len(phase_T))


STREAMS: dict[str, Callable[[Rng, Float64], Float64]] = {
    "level": _level,
    "season": _season,
    "counts": _counts,
    "latency": _latency,
    "wander": _wander,
    "batch": _batch,
}


def _spike(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    values[rows.start : rows.start + 3] += rng.uniform(6.0, 12.0) * dev


def _dip(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    values[rows.start : rows.start + 3] -= rng.uniform(6.0, 12.0) * dev


def _shift(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    values[rows] += rng.choice([-1.0, 1.0]) * rng.uniform(5.0, 10.0) * dev


def _drift(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    length = rows.stop - rows.start
    values[rows] += np.linspace(0.0, rng.choice([-1.0, 1.0]) * rng.uniform(8.0, 15.0), length) * dev


def _burst(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    values[rows] += rng.uniform(3.0, 6.0) * dev * rng.standard_normal(rows.stop - rows.start)


def _flat(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    values[rows] = values[rows.start]


def _dropout(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    values[rows] = 0.0


def _no_season(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    length = rows.stop - rows.start
    values[rows] = np.median(values) + 0.3 * dev * rng.standard_normal(length)


def _phase(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    values[rows] = np.roll(values, day // 3)[rows]


def _frequency(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    values[rows] = values[(rows.start + 3 * np.arange(rows.stop - rows.start)) % len(values)]


def _contextual(rng: Rng, values: Float64, rows: slice, dev: float, day: int) -> None:
    inside = np.quantile(values, [0.05, 0.95])
    side = inside[0] if values[rows.start] > values.mean() else inside[1]
    values[rows.start : rows.start + 3] = side


FAULTS: dict[str, Fault] = {
    "spike": _spike,
    "dip": _dip,
    "level shift": _shift,
    "drift": _drift,
    "variance burst": _burst,
    "flat line": _flat,
    "dropout": _dropout,
    "missing season": _no_season,
    "phase shift": _phase,
    "frequency change": _frequency,
    "contextual spike": _contextual,
}
SHORT = {"spike", "dip", "contextual spike"}
OF_A_HABIT = {"missing season", "phase shift", "frequency change"}
WITH_HABIT = {"season", "counts", "batch"}
"""Where the time of day says nothing of the value, these faults leave a stream as it was."""
WITH_CONTEXT = WITH_HABIT | {"wander"}
"""Where neither time nor neighbours do, an ordinary value is no contextual spike."""


def stream(rng: Rng, kind: str, fault: str | None, days: float, step_seconds: float) -> Series:
    """One stream of `days`; with a fault, it happens two to four times in the last seven tenths."""
    count = int(days * DAY_SECONDS / step_seconds)
    day = int(DAY_SECONDS / step_seconds)
    times = (1.6e9 + step_seconds * np.arange(count)).astype(np.float64)
    values = (QUIET_STREAMS | POWER_STREAMS)[kind](rng, np.arange(count) / day)
    windows = []
    if fault is not None:
        # The local deviation: what is left after the step before is what an operator's eye calls noise.
        dev = float(np.median(np.abs(np.diff(values)))) + 0.05 * float(values.std())
        places = rng.choice(np.arange(3, 10), size=int(rng.integers(2, 5)), replace=False) * count // 10
        for place in np.sort(places):
            first = int(place + rng.integers(0, max(count // 40, 1)))
            length = 3 if fault in SHORT else int(np.clip(count * rng.uniform(0.008, 0.03), 12, 3 * day))
            if fault in OF_A_HABIT:
                length = max(length, day // 6)
            FAULTS[fault](rng, values, slice(first, first + length), dev, day)
            windows.append((first, first + length - 1))
    return Series(f"{kind}/{fault or 'quiet'}", times, values, np.array(windows, dtype=np.int64).reshape(-1, 2))


def suite(seed: int, copies: int = 2) -> list[Series]:
    """Every kind of stream with every kind of fault, `copies` times, at 1, 5 and 60 minutes.

    Faults of a habit happen only to streams that have one, twice as often.
    """
    rng = np.random.default_rng(seed)
    steps = {60.0: 3.0, 300.0: 14.0, 3600.0: 60.0}
    return [
        stream(rng, kind, fault, days, step)
        for kind in STREAMS
        for fault in FAULTS
        for _ in range(copies * _times(kind, fault))
        for step, days in [tuple(steps.items())[int(rng.integers(3))]]
    ]


def _times(kind: str, fault: str) -> int:
    if fault in OF_A_HABIT:
        return 2 if kind in WITH_HABIT else 0
    return int(fault != "contextual spike" or kind in WITH_CONTEXT)


def _base(rng: Rng, phase_T: Float64) -> Float64:
    """A level, or as often a season, for noise to be added to."""
    return 40.0 + 10.0 * rng.integers(0, 2) * daily(rng, phase_T)


def _heavy(rng: Rng, phase_T: Float64) -> Float64:
    """Laplace noise: an exponential tail on either side."""
    return np.asarray(_base(rng, phase_T) + rng.uniform(0.5, 3.0) * rng.laplace(size=len(phase_T)))


def _light(rng: Rng, phase_T: Float64) -> Float64:
    """Uniform noise: no tail at all."""
    return np.asarray(_base(rng, phase_T) + rng.uniform(0.5, 5.0) * rng.uniform(-1.0, 1.0, len(phase_T)))


def _power(rng: Rng, phase_T: Float64) -> Float64:
    """Student's t noise: a power for a tail; at 2.5 degrees of freedom even its variance is hard to measure."""
    noise = rng.standard_t(rng.uniform(2.5, 6.0), len(phase_T))
    return np.asarray(_base(rng, phase_T) + rng.uniform(0.5, 3.0) * noise)


QUIET_STREAMS = STREAMS | {"heavy": _heavy, "light": _light}
POWER_STREAMS = {"power": _power}
"""Nothing but records: whoever alerts on what is unlike anything before must flood on these."""
QUIET_STEPS = (60.0, 300.0, 3600.0)


def quiet(seed: int, streams: int, days: float, kinds: tuple[str, ...] = tuple(QUIET_STREAMS)) -> list[Series]:
    """Streams without a fault: all kinds, heavy and light tails as well, and all sampling intervals in turn."""
    rng = np.random.default_rng(seed)
    return [
        stream(rng, kinds[i % len(kinds)], None, days, QUIET_STEPS[i // len(kinds) % len(QUIET_STEPS)])
        for i in range(streams)
    ]
