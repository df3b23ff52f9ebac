"""`make peers`: this detector beside others on the same series in one run, a table a benchmark.

    python -m benchmarks.peers [nab|cloud|synthetic|smd|asd ...] [--only NAME ...] [--json FILE]

Every detector has one setting and one threshold for all series of a benchmark; the detector's machines are its groups.
With `--json out.json` the scores of the peers are kept in `out.scores/`, so that a run that was broken off goes on
where it was; remove there what a changed peer left.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from benchmarks import json_file
from benchmarks.detection import server, synthetic
from benchmarks.detection.components import play_collection
from benchmarks.detection.layout import DEFAULT_DATA, folder_of, load_collection, warn
from benchmarks.detection.machine_files import KINDS, Machine, load_machines, of_kind
from benchmarks.detection.machines import play_groups
from benchmarks.peers.cache import ScoreCache
from benchmarks.peers.machine import MACHINE_PEERS
from benchmarks.peers.stream import PEERS, Peer
from detector.backtest import daily, nab
from detector.backtest.series import Series
from detector.errors import DetectorError
from detector.models.forecaster import Forecaster
from detector.records import Float64

Figures = dict[str, float]
Played = TypeVar("Played", Series, Machine)
OURS: dict[str, Callable[[], Forecaster]] = {
    "detector": Forecaster,
    "detector, compact profile": partial(Forecaster, compact=True),
}
SYNTHETIC_SEED = 11
LARGEST_SCORE = 1e30
"""What stands for infinity."""
MACHINES = set(KINDS.values())
COLUMNS = {
    "nab": ("standard", "low_fp", "low_fn"),
    "cloud": ("best_f1", "caught_in_budget"),
    "synthetic": ("best_f1", "caught_at_best", "caught_in_budget"),
    "smd": ("average_precision", "vus_pr", "roc", "caught_in_budget"),
    "asd": ("average_precision", "vus_pr", "roc", "caught_in_budget"),
}


class Selection(NamedTuple):
    """The detectors to run, and where scores are kept."""

    only: list[str]
    """Names of detectors; none are all."""
    cache: ScoreCache


def scored(series: Series, peer: Peer) -> Float64:
    """[T] scores; a gap is skipped and scores 0."""
    scores = np.zeros(len(series.values))
    present = np.isfinite(series.values)
    if present.any():
        scores[present] = peer(series.values[present])
    return scores


def key(place: int, one: Series | Machine) -> str:
    """What its scores are kept under: of the same name, other values have other scores."""
    digest = hashlib.blake2b(one.values.tobytes(), digest_size=4).hexdigest()
    return f"{place}-{one.name}-{digest}"


def on_synthetic(collection: Sequence[Series], scores: Sequence[Float64]) -> Figures:
    """Also the share of faults caught at each detector's own best threshold."""
    figures = daily.evaluate(collection, scores)
    events = [daily.peaks(series, score).events for series, score in zip(collection, scores, strict=True)]
    return figures | {"caught_at_best": float((np.concatenate(events) >= figures["best_threshold"]).mean())}


def compare(
    played: Sequence[Played],
    ours: Callable[[Forecaster], list[Float64]],
    peers: Mapping[str, Callable[[Played], Float64]],
    evaluate: Callable[[Sequence[Played], Sequence[Float64]], Figures],
    selection: Selection,
) -> dict[str, Figures]:
    """Figures of both profiles of this detector and of its peers on the same series or machines."""
    found = {}
    for name in (*OURS, *peers):
        if selection.only and name not in selection.only:
            continue
        if name in OURS:
            began = time.perf_counter()
            scores = ours(OURS[name]())
            seconds = time.perf_counter() - began
        else:
            kept, peer = selection.cache, peers[name]
            parts = [kept.scored((name, key(place, one)), partial(peer, one)) for place, one in enumerate(played)]
            scores = [np.nan_to_num(part.scores, posinf=LARGEST_SCORE) for part in parts]
            seconds = sum(part.seconds for part in parts)
        found[name] = evaluate(played, scores) | {"seconds": seconds}
        print(f"  {name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return found


def on_collection(
    collection: Sequence[Series],
    evaluate: Callable[[Sequence[Series], Sequence[Float64]], Figures],
    selection: Selection,
) -> dict[str, Figures]:
    """Figures of every detector on labelled series."""

    def ours(forecaster: Forecaster) -> list[Float64]:
        return [trace.anomaly_score for trace in play_collection(collection, forecaster)]

    peers = {name: partial(scored, peer=peer) for name, peer in PEERS.items()}
    return compare(collection, ours, peers, evaluate, selection)


def on_machines(machines: Sequence[Machine], selection: Selection) -> dict[str, Figures]:
    """Figures of every detector on machines."""
    return compare(machines, partial(play_groups, machines), MACHINE_PEERS, server.evaluate, selection)


def run(name: str, data: Path, selection: Selection) -> dict[str, Figures]:
    """Detector -> figures, on one benchmark."""
    if name in MACHINES:
        return on_machines(of_kind(load_machines(folder_of(data, "server-metrics")), name), selection)
    if name == "synthetic":
        return on_collection(synthetic.suite(SYNTHETIC_SEED), on_synthetic, selection)
    evaluate = nab.evaluate if name == "nab" else daily.evaluate
    return on_collection(load_collection(folder_of(data, name)), evaluate, selection)


def detectors(name: str) -> list[str]:
    """Names of the detectors that a benchmark compares."""
    return [*OURS, *(MACHINE_PEERS if name in MACHINES else PEERS)]


def complaint(names: Sequence[str], only: Sequence[str]) -> str | None:
    """What is wrong with asking these benchmarks for these detectors; None: nothing."""
    there = {name: detectors(name) for name in names}
    unknown = [one for one in only if not any(one in known for known in there.values())]
    if unknown:
        known = dict.fromkeys(one for found in there.values() for one in found)
        return f"no detector is named {', '.join(map(repr, unknown))}; known are {', '.join(map(repr, known))}"
    without = [name for name, known in there.items() if only and not set(only) & set(known)]
    return f"none of {', '.join(map(repr, only))} is a detector of {', '.join(without)}" if without else None


def table(name: str, found: dict[str, Figures]) -> str:
    """Markdown; `-` is a figure without a meaning, or one that a detector does not have."""
    columns = [column for column in COLUMNS[name] if any(column in figures for figures in found.values())]
    lines = [f"| {name} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for detector, figures in found.items():
        cells = (figures.get(column, math.nan) for column in columns)
        lines.append(f"| {detector} | {' | '.join(f'{cell:.3g}' if math.isfinite(cell) else '-' for cell in cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("benchmark", choices=tuple(COLUMNS), nargs="*")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with nab/, cloud/ and server-metrics/")
    parser.add_argument("--only", nargs="*", default=[], help="names of detectors, as the table has them")
    parser.add_argument("--json", type=json_file.destination, help="add all figures to this file")
    args = parser.parse_args()
    names = args.benchmark or list(COLUMNS)
    if wrong := complaint(names, args.only):
        parser.error(wrong)
    try:
        report: dict[str, dict[str, Figures]] = json_file.read(args.json) or {}
    except DetectorError as exc:
        parser.error(str(exc))
    failed = False
    for name in names:
        cache = ScoreCache(args.json.with_suffix(".scores") / name if args.json else None)
        try:
            found = run(name, args.data, Selection(args.only, cache))
        except DetectorError as exc:
            warn(f"{name}: {exc}")
            failed = True
            continue
        report.setdefault(name, {}).update(found)
        print(table(name, report[name]), flush=True)
        json_file.write(args.json, report)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
