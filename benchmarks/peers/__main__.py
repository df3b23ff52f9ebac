"""`make peers`: this detector beside others on the same series in one run, a table a benchmark.

    python -m benchmarks.peers [nab|cloud|synthetic|server ...] [--only NAME ...] [--json FILE]

Every detector has one setting and one threshold for all series of a benchmark. The machines' VUS-PR is TSB-AD's own,
with a buffer of up to 100 rows; ours is there as by the product's group score.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.detection import server, synthetic
from benchmarks.detection.components import play_collection
from benchmarks.detection.layout import DEFAULT_DATA, Machine, load_collection, load_machines
from benchmarks.detection.machines import play_groups
from benchmarks.peers.machine import MACHINE_PEERS
from benchmarks.peers.stream import PEERS, Peer
from detector.backtest import daily, nab
from detector.backtest.series import Series
from detector.models.forecaster import Forecaster
from detector.records import Float64

Figures = dict[str, float]
OURS = "detector"
SYNTHETIC_SEED = 11
VUS_BUFFER_ROWS = 100
COLUMNS = {
    "nab": ("standard", "low_fp", "low_fn"),
    "cloud": ("best_f1", "caught_in_budget"),
    "synthetic": ("best_f1", "caught_in_budget"),
    "smd": ("average_precision", "vus_pr", "roc", "caught_in_budget"),
    "asd": ("average_precision", "vus_pr", "roc", "caught_in_budget"),
}


def scored(series: Series, peer: Peer) -> Float64:
    """[T] scores; a gap is skipped and scores 0."""
    scores = np.zeros(len(series.values))
    present = np.isfinite(series.values)
    scores[present] = np.nan_to_num(peer(series.values[present]), posinf=1e30)
    return scores


def vus_pr(machine: Machine, scores: Float64) -> float:
    """Volume under the surface of precision and recall over buffers of 0 to 100 rows (Paparrizos et al. 2022)."""
    from TSB_AD.evaluation.basic_metrics import generate_curve

    return float(generate_curve(machine.labels.astype(int), scores, VUS_BUFFER_ROWS, "opt", 250)[-1])


def on_collection(
    collection: Sequence[Series], evaluate: Callable[[Sequence[Series], Sequence[Float64]], Figures], only: list[str]
) -> dict[str, Figures]:
    """Figures of every detector on labelled series."""
    found = {}
    for name in (OURS, *PEERS):
        if only and name not in only:
            continue
        began = time.perf_counter()
        if name == OURS:
            scores = [trace.anomaly_score for trace in play_collection(collection, Forecaster())]
        else:
            scores = [scored(series, PEERS[name]) for series in collection]
        found[name] = evaluate(collection, scores) | {"seconds": time.perf_counter() - began}
        print(f"  {name}: {found[name]['seconds']:.0f} s", file=sys.stderr, flush=True)
    return found


def on_machines(machines: Sequence[Machine], only: list[str]) -> dict[str, Figures]:
    """Figures of every detector on machines."""
    found = {}
    for name in (OURS, *MACHINE_PEERS):
        if only and name not in only:
            continue
        began = time.perf_counter()
        if name == OURS:
            groups = play_groups(machines, Forecaster())
        else:
            groups = [MACHINE_PEERS[name](machine) for machine in machines]
        seconds = time.perf_counter() - began
        volume = np.mean([vus_pr(machine, group) for machine, group in zip(machines, groups, strict=True)])
        found[name] = server.evaluate(machines, groups) | {"vus_pr": float(volume), "seconds": seconds}
        print(f"  {name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return found


def run(name: str, data: Path, only: list[str]) -> dict[str, dict[str, Figures]]:
    """Benchmark -> detector -> figures."""
    if name == "server":
        machines = load_machines(data / "server-metrics")
        kinds = {"smd": "machine", "asd": "omi"}
        return {
            kind: on_machines([machine for machine in machines if machine.name.startswith(prefix)], only)
            for kind, prefix in kinds.items()
        }
    if name == "synthetic":
        return {name: on_collection(synthetic.suite(SYNTHETIC_SEED), daily.evaluate, only)}
    evaluate = nab.evaluate if name == "nab" else daily.evaluate
    return {name: on_collection(load_collection(data / name), evaluate, only)}


def table(name: str, found: dict[str, Figures]) -> str:
    """Markdown."""
    columns = [column for column in COLUMNS[name] if column in next(iter(found.values()))]
    lines = [f"| {name} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for detector, figures in found.items():
        lines.append(f"| {detector} | {' | '.join(f'{figures[column]:.3g}' for column in columns)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("benchmark", choices=("nab", "cloud", "synthetic", "server"), nargs="*")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with nab/, cloud/ and server-metrics/")
    parser.add_argument("--only", nargs="*", default=[], help="names of detectors, as the table has them")
    parser.add_argument("--json", type=Path, help="add all figures to this file")
    args = parser.parse_args()
    report = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    for chosen in args.benchmark or ("nab", "cloud", "synthetic", "server"):
        for name, found in run(chosen, args.data, args.only).items():
            report.setdefault(name, {}).update(found)
            print(table(name, report[name]), flush=True)
            if args.json:
                args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
