"""`python -m benchmarks.detection.training [--updates N] [--seed N] [--weights DIR] [--json FILE]`: trained to detect?

The shipped weights learn on, with the same draws and the same number of updates for every objective of `teaching`; the
control has the likelihood alone. Faults of a habit, drift, contextual spikes and flat lines are never learnt from, and
the synthetic streams that are judged come from other generators than those that are learnt from.

Shown is what the same scorer makes of the forecasts on all benchmarks of `ablation`, seeds and folds as there: the
control, then paired differences from it. Before that, of held-out streams of the curriculum: the loss, the error over
the best naive forecast's, and what is left of both rankings. With `--json` and `--weights` a run that was broken
off goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import json_file
from benchmarks.detection.ablation import Benchmarks, Estimates, mean_over, read, table, write
from benchmarks.detection.components import Trace, play_collection
from benchmarks.detection.layout import DEFAULT_DATA
from benchmarks.detection.parts import Variant
from benchmarks.detection.teaching import CONTROL, OBJECTIVES, STEPS, STREAMS, TAUGHT, Lesson, lesson, missed, teach
from detector.backtest import daily
from detector.backtest.series import Series
from detector.errors import DetectorError
from detector.models.backbone import Backbone
from detector.models.forecaster import Forecaster
from detector.models.learner import evaluate
from detector.models.weights import load, save
from detector.models.windows import Windows
from detector.train.material import HELD_OUT, curriculum

SHIPPED = "as shipped"
UPDATES = 192


def taught(
    folder: Path | None, seed: int, updates: int, streams: int = STREAMS, steps: int = STEPS
) -> dict[str, Backbone]:
    """The network by what it was taught, and as shipped; kept in `folder`, or read from there."""
    paths = {name: folder / f"{name.replace(' ', '-')}.safetensors" for name in OBJECTIVES} if folder else {}
    if paths and all(path.exists() for path in paths.values()):
        networks = {name: load(path).backbone for name, path in paths.items()}
    else:
        networks = teach(seed, updates, streams, steps)
        for name, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            save(networks[name], path, {"objective": name, "seed": seed, "updates": updates})
    return {CONTROL: networks[CONTROL], SHIPPED: load().backbone, **networks}


def judge(benchmarks: Benchmarks, backbone: Backbone) -> Estimates:
    """Every column of the ablation, and the synthetic suite by what was learnt from."""
    weights = replace(load(), backbone=backbone)
    long, many = (play_collection(collection, Forecaster(weights)) for collection in benchmarks.plays())
    return benchmarks.figures(long, many, Variant()) | by_kind(benchmarks.synthetic, many)


def by_kind(suites: Sequence[Sequence[Series]], traces: Sequence[Trace]) -> Estimates:
    """Best F1 over faults of the kinds that were learnt from, and over all others; mean over suites.

    `traces` are of the suites' streams, one suite after the other.
    """
    parts: dict[str, list[float]] = {"synthetic F1, kinds learnt from": [], "synthetic F1, kinds left out": []}
    for suite in suites:
        played = list(zip(suite, traces, strict=False))
        traces = traces[len(suite) :]
        for column, known in zip(parts, (True, False), strict=True):
            chosen = [(one, trace) for one, trace in played if (one.name.split("/")[1] in TAUGHT) is known]
            figures = daily.evaluate([one for one, _ in chosen], [trace.anomaly_score for _, trace in chosen])
            parts[column].append(figures["best_f1"])
    return {column: mean_over(found) for column, found in parts.items()}


def held_out(streams: int = STREAMS, steps: int = STEPS) -> tuple[Windows, Lesson]:
    """Streams that nothing is learnt from, without faults and with."""
    return curriculum([HELD_OUT, 0], streams, steps), lesson([HELD_OUT, 1], streams, steps)


def losses(backbone: Backbone, clean: Windows, faulty: Lesson) -> dict[str, float]:
    """What was asked for: the likelihood and the error of clean streams, and both rankings of faults."""
    rankings = {name: missed(backbone, faulty, throughout=every) for name, every in (("largest", False), ("all", True))}
    return evaluate(backbone, clean) | rankings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection.training", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with nab/, cloud/ and server-metrics/")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument(
        "--weights", type=Path, help="keep the taught weights here; those that it has are not taught again"
    )
    parser.add_argument("--json", type=json_file.destination, help="keep figures here; what it has is not judged again")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        benchmarks, found = Benchmarks.load(args.data), read(args.json)
    except DetectorError as exc:
        parser.error(str(exc))
    networks = taught(args.weights, args.seed, args.updates)
    parts = held_out()
    for name, backbone in networks.items():
        print(
            f"{name}: held-out",
            ", ".join(f"{key} {value:.4f}" for key, value in losses(backbone, *parts).items()),
            flush=True,
        )
    for name, backbone in networks.items():
        if name not in found:
            began = time.perf_counter()
            found[name] = judge(benchmarks, backbone)
            print(f"{name} ({time.perf_counter() - began:.0f} s)", file=sys.stderr, flush=True)
            write(args.json, found)
    print(table(found, CONTROL))
    return 0


if __name__ == "__main__":
    sys.exit(main())
