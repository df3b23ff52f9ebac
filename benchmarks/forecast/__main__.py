"""`python -m benchmarks.forecast [DATA] [--weights FILE] [--alone] [--json FILE]`.

Mean absolute error over that of the best naive forecast (see `naive`), the first 15% of a series skipped: geometric
mean over series, share of series won, and the worst series. `network` is the network with each stream's own
correction, with `--alone` without it; `used` what the daemon stores, that is with a naive forecast in its stead where
it does worse.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks import json_file
from benchmarks.detection.layout import DEFAULT_DATA, load_collection, warn
from benchmarks.detection.machine_files import load_machines
from benchmarks.forecast.naive import naive_forecasts
from detector.columns import allocate
from detector.errors import DetectorError
from detector.models.forecaster import Forecaster
from detector.models.naive import Clock, Slot
from detector.models.weights import load
from detector.records import Float64

SKIP = 0.15
MACHINE_METRICS = 6
LEAST_DEVIATION = 1e-6
"""Of a machine's metric, which is scaled to [0, 1]."""
LEAST_VALUES = 2
Named = tuple[str, Float64, Float64]
"""(name, times, values)."""


def collections(data: Path) -> dict[str, list[Named]]:
    """Every collection that is there, as named series without gaps in their values; a few metrics of each machine.

    Series of fewer than `LEAST_VALUES` are left out, and that is said.
    """
    found: dict[str, list[Named]] = {}
    for name in ("nab", "cloud"):
        if (data / name).is_dir():
            found[name] = [(s.name, *_present(s.times, s.values)) for s in load_collection(data / name)]
    if (data / "server-metrics").is_dir():
        found["server"] = list(_metrics(data / "server-metrics"))
    for name, series in found.items():
        short = [one for one, times, _ in series if len(times) < LEAST_VALUES]
        if short:
            warn(f"{name}: fewer than {LEAST_VALUES} values, left out: {', '.join(short)}")
        found[name] = [one for one in series if len(one[1]) >= LEAST_VALUES]
    return {name: series for name, series in found.items() if series}


def _present(times: Float64, values: Float64) -> tuple[Float64, Float64]:
    keep = np.isfinite(values)
    return times[keep], values[keep]


def _metrics(folder: Path) -> Iterable[Named]:
    for machine in load_machines(folder):
        named = [_present(machine.times, values.astype(np.float64)) for values in machine.values.T]
        moving = [metric for metric, (_, values) in enumerate(named) if len(values) and values.std() > LEAST_DEVIATION]
        for place in np.linspace(0, len(moving) - 1, MACHINE_METRICS).astype(int) if moving else ():
            yield f"{machine.name}/{moving[place]}", *named[moving[place]]


def run(forecaster: Forecaster, series: list[Named]) -> list[tuple[Float64, Float64]]:
    """(network's forecast, stored forecast) of every series; all play side by side, as streams of one daemon."""
    longest = max(len(times) for _, times, _ in series)
    state = allocate(forecaster.fields, len(series))
    network, used = np.full((2, longest, len(series)), np.nan)
    lengths = np.array([len(times) for _, times, _ in series])
    for step in range(longest):
        rows = np.flatnonzero(lengths > step)
        origin = state["bank_clock"][rows, Clock.ORIGIN]
        network[step, rows] = origin + state["bank"][rows, Slot.GATE]
        used[step, rows] = forecaster.stored(state, rows).loc
        times = np.array([series[row][1][step] for row in rows])
        forecaster.learn(state, rows, times, np.array([series[row][2][step] for row in rows]))
        forecaster.forecast(state, rows)
    return [(network[:size, row], used[:size, row]) for row, size in enumerate(lengths)]


def judge(series: Named, network: Float64, used: Float64) -> dict[str, object]:
    """Errors of one series over the best naive one."""
    name, times, values = series
    first = max(int(SKIP * len(values)), 1)
    naive = {kind: _error(values, loc, first) for kind, loc in naive_forecasts(times, values).items()}
    best = min(naive, key=lambda kind: naive[kind])
    floor = 1e-6 * float(np.abs(values).mean()) + 1e-30
    made = {"network": network, "used": used}
    ratio = {kind: (_error(values, loc, first) + floor) / (naive[best] + floor) for kind, loc in made.items()}
    return {"series": name, "best": best, **ratio}


def _error(values: Float64, loc: Float64, first: int) -> float:
    return float(np.abs(values - loc)[first:].mean())


def summary(judged: list[dict[str, object]], kind: str) -> dict[str, float]:
    """Geometric mean, share won, worst."""
    ratio = np.array([float(str(row[kind])) for row in judged])
    return {"ratio": float(np.exp(np.log(ratio).mean())), "won": float((ratio < 1).mean()), "worst": float(ratio.max())}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.forecast", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--alone", action="store_true", help="without the streams' own corrections")
    parser.add_argument("--json", type=json_file.destination)
    parser.add_argument("--verbose", action="store_true", help="every series")
    options = parser.parse_args()
    try:
        forecaster = Forecaster(load(options.weights), readout=not options.alone)
        named = collections(options.data)
    except DetectorError as exc:
        parser.error(str(exc))
    if not named:
        parser.error(f"{options.data}: nab/, cloud/ and server-metrics/ contain no series")
    report: dict[str, object] = {"model": forecaster.name}
    for name, series in named.items():
        judged = [judge(one, *made) for one, made in zip(series, run(forecaster, series), strict=True)]
        report[name] = {"network": summary(judged, "network"), "used": summary(judged, "used"), "series": judged}
        for kind in ("network", "used"):
            found = summary(judged, kind)
            print(f"{name:7} {kind:8} ratio {found['ratio']:.3f}  won {found['won']:.0%}  worst {found['worst']:.2f}")
        if options.verbose:
            for row in sorted(judged, key=lambda row: -float(str(row["used"]))):
                print(f"  {row['series']!s:60} {row['best']!s:10} {row['network']:.3f} {row['used']:.3f}")
    json_file.write(options.json, report)


if __name__ == "__main__":
    main()
