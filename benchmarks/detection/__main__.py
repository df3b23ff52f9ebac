"""`python -m benchmarks.detection [nab|cloud|server|synthetic|quiet|fleet|all ...] [--data DIR] [--json FILE]`.

Scores come straight from the pipeline's components, or with `--scores DIR` from the files that `detector replay
DATA/nab/data --scores DIR` wrote (NAB and cloud only). What is left out of a folder is said on standard error. A figure
that has no meaning, such as recall without an event, is `-`, and null in the file. `quiet` measures the alarm rate that
is reached on streams without a fault, and what the pooled tail in `detector/scoring/scorer.py` is fitted to.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import json_file
from benchmarks.detection import fleet, quiet, server, synthetic
from benchmarks.detection.components import Forecasts, Persistence, play_collection
from benchmarks.detection.layout import DEFAULT_DATA, folder_of, load_collection, load_scores, warn
from benchmarks.detection.machine_files import Machine, kind_of, load_machines
from benchmarks.detection.machines import play_groups
from detector.backtest import daily, nab
from detector.backtest.series import Series
from detector.errors import DetectorError
from detector.models.forecaster import Forecaster
from detector.records import Float64

Figures = dict[str, float]
FORECASTERS: dict[str, Callable[[], Forecasts]] = {
    "shipped": Forecaster,
    "compact": partial(Forecaster, compact=True),
    "persistence": Persistence,
}
"""The compact one plays with the compact scorer: together they are the profile `model.profile: compact`."""
BENCHMARKS = ("nab", "cloud", "synthetic", "quiet", "server", "fleet")
WITH_SCORES = {"nab", "cloud"}
SYNTHETIC_SEEDS = (1, 2, 3)
FOLDS = 4


def _scores(collection: Sequence[Series], args: argparse.Namespace) -> list[Float64]:
    if args.scores is not None:
        return [load_scores(series, args.scores) for series in collection]
    return [trace.anomaly_score for trace in play_collection(collection, FORECASTERS[args.forecaster]())]


def _with_folds(
    evaluate: Callable[..., Figures], collection: Sequence[Series], scores: Sequence[Float64], key: str, events: str
) -> Figures:
    """Figures over everything, and mean and standard error of one of them over folds of series that have `events`."""
    figures = evaluate(collection, scores)
    if not figures[events]:
        warn(f"no labelled {events.rstrip('s')} after the first rows, which do not count, so nothing could be caught")
        return figures
    folds = [evaluate(collection[fold::FOLDS], scores[fold::FOLDS]) for fold in range(min(FOLDS, len(collection)))]
    parts = [fold[key] for fold in folds if fold[events]]
    if len(parts) > 1:
        figures[f"{key}_folds_mean"] = float(np.mean(parts))
        figures[f"{key}_folds_standard_error"] = float(np.std(parts, ddof=1) / np.sqrt(len(parts)))
    return figures


def run_nab(args: argparse.Namespace) -> Figures:
    collection = load_collection(folder_of(args.data, "nab"))
    return _with_folds(nab.evaluate, collection, _scores(collection, args), "standard", "windows")


def run_cloud(args: argparse.Namespace) -> Figures:
    collection = load_collection(folder_of(args.data, "cloud"))
    return _with_folds(daily.evaluate, collection, _scores(collection, args), "best_f1", "events")


def run_server(args: argparse.Namespace) -> Figures:
    """Each kind of machine has its own figures; the score's threshold is one for all."""
    figures: Figures = {}
    kinds: dict[str, list[Machine]] = {}
    for machine in load_machines(folder_of(args.data, "server-metrics")):
        kinds.setdefault(kind_of(machine), []).append(machine)
    for kind, chosen in kinds.items():
        groups = play_groups(chosen, FORECASTERS[args.forecaster]())
        figures |= {f"{kind}_{name}": value for name, value in server.evaluate(chosen, groups).items()}
    return figures


def run_synthetic(args: argparse.Namespace) -> Figures:
    """Mean over seeds, and the share caught at the product's own threshold, by kind of fault and by recurrence.

    The correlated fleet event is one of hosts, and is caught by the group.
    """
    seeds = []
    kinds: dict[str, list[bool]] = {}
    nth: dict[str, list[bool]] = {}
    for seed in SYNTHETIC_SEEDS:
        collection = synthetic.suite(seed)
        scores = _scores(collection, args)
        seeds.append(daily.evaluate(collection, scores))
        for series, score in zip(collection, scores, strict=True):
            events = daily.peaks(series, score).events > 1.0
            kinds.setdefault(series.name.split("/")[1], []).extend(events)
            for which, part in (("first", events[:1]), ("second", events[1:2]), ("later", events[2:])):
                nth.setdefault(f"{which} in a stream", []).extend(part)
    figures = {name: float(np.mean([figure[name] for figure in seeds])) for name in seeds[0]}
    spread = np.std([figure["best_f1"] for figure in seeds], ddof=1) / np.sqrt(len(seeds))
    figures["best_f1_standard_error"] = float(spread)
    figures |= {f"caught: {which}": float(np.mean(found)) for which, found in (kinds | nth).items()}
    return figures | fleet.events_caught(FORECASTERS[args.forecaster])


def run_quiet(args: argparse.Namespace) -> Figures:
    return quiet.evaluate(FORECASTERS[args.forecaster])


def run_fleet(args: argparse.Namespace) -> Figures:
    """Hosts: the group's alarm rate on quiet ones, and the correlated events that no single metric shows well."""
    return fleet.alarm_rates(FORECASTERS[args.forecaster]) | fleet.events_caught(FORECASTERS[args.forecaster])


RUNNERS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "nab": run_nab,
    "cloud": run_cloud,
    "synthetic": run_synthetic,
    "quiet": run_quiet,
    "server": run_server,
    "fleet": run_fleet,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("benchmark", choices=(*BENCHMARKS, "all"), nargs="+")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with nab/, cloud/ and server-metrics/")
    parser.add_argument("--scores", type=Path, help="folder that `detector replay --scores` wrote")
    parser.add_argument("--forecaster", choices=tuple(FORECASTERS), default="shipped")
    parser.add_argument("--json", type=json_file.destination, help="write all figures here")
    args = parser.parse_args()
    chosen = BENCHMARKS if "all" in args.benchmark else tuple(args.benchmark)
    if args.scores is not None and not set(chosen) <= WITH_SCORES:
        parser.error(f"--scores is for {' and '.join(sorted(WITH_SCORES))}")
    report: dict[str, Figures] = {}
    for name in chosen:
        started = time.perf_counter()
        try:
            report[name] = RUNNERS[name](args)
        except DetectorError as exc:
            warn(f"{name}: {exc}")
            continue
        print(f"{name} ({time.perf_counter() - started:.0f} s)")
        for figure, value in report[name].items():
            print(f"  {figure:42s} " + (f"{value:10.3f}" if np.isfinite(value) else f"{'-':>10s}"), flush=True)
        json_file.write(args.json, report)
    return 0 if len(report) == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
