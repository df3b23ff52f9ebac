"""Synthetic groups: hosts whose metrics share what moves them, quiet or with events that no single metric shows well.

A member is a stream of any kind plus its share of the host's common load, a daily habit and slow noise. An event moves
a part of the members, each by a few of its own local deviations, for some ticks: the correlated fleet event. T rows,
M members.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.detection.components import Forecasts
from benchmarks.detection.machine_files import Machine
from benchmarks.detection.machines import play_groups
from benchmarks.detection.server import EPISODE_END_ROWS, incidents_caught, runs
from benchmarks.detection.synthetic import DAY_SECONDS, STREAMS, Rng, daily, smooth

QUIET = {60.0: 6.0, 300.0: 14.0, 3600.0: 60.0}
"""Simulated days of quiet hosts by sampling interval."""
QUIET_SEED = 11
QUIET_HOSTS = 20
EVENT_SEEDS = (1, 2, 3)
EVENT_HOSTS = 8
EVENT_DAYS = 14.0
EVENT_STEP_SECONDS = 300.0
LEAST_MEMBERS, MOST_MEMBERS = 4, 30
LARGEST_SHARE = 2.0
"""Of the common load in a member, in deviations of the member."""


def machine(rng: Rng, name: str, days: float, step_seconds: float, *, events: int) -> Machine:
    """One host; its events lie in the last seven tenths."""
    count = int(days * DAY_SECONDS / step_seconds)
    day = int(DAY_SECONDS / step_seconds)
    phase = np.arange(count) / day
    load = daily(rng, phase) + rng.uniform(0.2, 1.0) * smooth(rng.standard_normal(count), rng.uniform(0.0, 0.95))
    kinds = rng.choice(list(STREAMS), int(rng.integers(LEAST_MEMBERS, MOST_MEMBERS + 1)))
    members = [_member(rng, kind, phase, load) for kind in kinds]
    values = np.stack(members, axis=1)
    labels = np.zeros(count, dtype=bool)
    for place in np.sort(rng.choice(np.arange(3, 10), size=events, replace=False)) * count // 10:
        first = int(place + rng.integers(0, max(count // 40, 1)))
        rows = slice(first, first + int(rng.integers(10, 40)))
        _event(rng, values, rows)
        labels[rows] = True
    times = (1.6e9 + step_seconds * np.arange(count)).astype(np.float64)
    return Machine(name, times, values.astype(np.float32), labels, step_seconds)


def _member(rng: Rng, kind: str, phase_T: np.ndarray, load_T: np.ndarray) -> np.ndarray:
    values = STREAMS[kind](rng, phase_T)
    return np.asarray(values + rng.uniform(0.0, LARGEST_SHARE) * rng.integers(0, 2) * values.std() * load_T)


def _event(rng: Rng, values: np.ndarray, rows: slice) -> None:
    """A third to all of the members move by two to five of their local deviations."""
    chosen = np.flatnonzero(rng.random(values.shape[1]) < rng.uniform(0.33, 1.0))
    for member in chosen:
        column = values[:, member]
        local = float(np.median(np.abs(np.diff(column)))) + 0.02 * float(column.std())
        column[rows] += rng.choice([-1.0, 1.0]) * rng.uniform(2.0, 5.0) * local


def fleet(seed: int, machines: int, days: float, step_seconds: float, *, events: int = 3) -> list[Machine]:
    """Hosts with `events` each; 0 makes them quiet."""
    rng = np.random.default_rng(seed)
    return [machine(rng, f"host-{i}", days, step_seconds, events=events) for i in range(machines)]


def alarm_rates(make_forecaster: Callable[[], Forecasts]) -> dict[str, float]:
    """Alerts a quiet host and week, from the second day on, by sampling interval."""
    figures: dict[str, float] = {}
    for step, days in QUIET.items():
        scores = play_groups(fleet(QUIET_SEED, QUIET_HOSTS, days, step, events=0), make_forecaster())
        first = round(DAY_SECONDS / step)
        episodes = sum(len(runs(score[first:] > 1.0, EPISODE_END_ROWS)) for score in scores)
        figures[f"{step:.0f}s_alerts_per_group_week"] = episodes / (QUIET_HOSTS * (days - 1.0) / 7.0)
    return figures


def events_caught(make_forecaster: Callable[[], Forecasts]) -> dict[str, float]:
    """Share of correlated events caught at 5 minutes at the own threshold, and what was false; mean over seeds."""
    machines = [host for seed in EVENT_SEEDS for host in fleet(seed, EVENT_HOSTS, EVENT_DAYS, EVENT_STEP_SECONDS)]
    scores = play_groups(machines, make_forecaster())
    shares, false = [], []
    for first in range(0, len(machines), EVENT_HOSTS):
        seed = slice(first, first + EVENT_HOSTS)
        share, _, false_per_day = incidents_caught(machines[seed], scores[seed], 1.0)
        shares.append(share)
        false.append(false_per_day)
    return {
        "caught: correlated fleet event": float(np.mean(shares)),
        "fleet_caught_standard_error": float(np.std(shares, ddof=1) / np.sqrt(len(shares))),
        "fleet_false_per_machine_day": float(np.mean(false)),
    }
