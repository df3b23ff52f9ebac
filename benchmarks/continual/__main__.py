"""`python -m benchmarks.continual [FOLDER ...] [--fleets F ...] [--changes C ...] [--seeds N] [--json FILE]`.

Learning on against learning off, and against an oracle. Synthetic fleets of 128 streams live through a change (see
`scenarios`); folders of CSV series are lived through as they are, their last 6,144 samples. Everything is the daemon's
own (`life`), with the defaults of `learning` but for the streams that are remembered: 64, so that half of the fleet is
never learnt from. The oracle takes over at the change with weights that were tuned on another fleet of the kind after
the same change: what there is to gain by weights.

Shown is the error over that of learning off (`figures`), mean over seeds and its standard error; the steps until the
error is within 5% of what it is in the end with learning off, and with the oracle's weights (1,024: never); and how
many candidates were taken, weights taken back, and rounds there were.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch

from benchmarks import json_file
from benchmarks.continual.figures import nothing, ratios, recovery
from benchmarks.continual.life import Life
from benchmarks.continual.scenarios import CHANGES, FLEETS, scenario
from detector.config.learning import Learning
from detector.errors import DetectorError
from detector.learning.buffer import Buffer
from detector.models.backbone import Backbone
from detector.models.learner import Learner, Schedule
from detector.models.weights import Weights, load
from detector.models.windows import Windows, record
from detector.train.files import Series, read_series
from detector.train.material import side_by_side

SEED = 3_000_003
STREAMS, REMEMBERED, STEPS, LONGEST = 128, 64, 2_048, 6_144
HALF = STEPS // 2
AROUND = {
    "before": slice(HALF - 512, HALF),
    "at once": slice(HALF, HALF + 64),
    "soon": slice(HALF + 64, HALF + 256),
    "later": slice(HALF + 256, None),
}
"""Parts of a life, before and after the change."""
ORACLE_UPDATES = 600


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.continual", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--fleets", nargs="+", choices=FLEETS, default=FLEETS)
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=CHANGES)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", type=json_file.destination)
    parser.add_argument("--rate", type=float, default=Learning().learning_rate, help="learning rate at its peak")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        weights = load(options.weights)
        series = {str(folder): read_series([folder]) for folder in options.folders}
    except DetectorError as exc:
        parser.error(str(exc))
    report: dict[str, list[dict[str, float]]] = {}
    if series:
        for folder, recorded in series.items():
            report[folder] = [on_recorded(weights, recorded, options.rate)]
            print(folder, summary(report[folder]), flush=True)
    else:
        for fleet, change in [(fleet, change) for fleet in options.fleets for change in options.changes]:
            name = f"{fleet}, {change}"
            report[name] = [measure(weights, fleet, change, SEED + seed, options.rate) for seed in range(options.seeds)]
            print(name, summary(report[name]), flush=True)
    json_file.write(options.json, report)


def measure(weights: Weights, fleet: str, change: str, seed: int, learning_rate: float) -> dict[str, float]:
    """One fleet, lived through with learning off, on, and by the oracle."""
    times_ST, values_ST = scenario(fleet, change, seed, STREAMS, STEPS)
    on = Life(weights, STREAMS, Buffer(REMEMBERED, Learning().samples), learning_rate)
    off, knowing = Life(weights, STREAMS), Life(weights, STREAMS)
    off_ST, on_ST = off.live(times_ST, values_ST), on.live(times_ST, values_ST)
    before_ST = knowing.live(times_ST[:, :HALF], values_ST[:, :HALF])
    knowing.use([("oracle", oracle(weights.backbone, fleet, change, seed + 1_000))])
    oracle_ST = np.concatenate((before_ST, knowing.live(times_ST[:, HALF:], values_ST[:, HALF:])), axis=1)
    if change == "poison":  # of the spikes themselves nobody knew
        spikes_ST = values_ST != scenario(fleet, "none", seed, STREAMS, STEPS)[1]
        for error_ST in (off_ST, on_ST, oracle_ST):
            error_ST[spikes_ST] = np.nan
    floor_S = nothing(values_ST)
    settled_S, best_S = (np.nanmean(error_ST[:, -HALF // 2 :], axis=1) for error_ST in (off_ST, oracle_ST))
    known = ratios(oracle_ST, off_ST, floor_S, AROUND)
    return {
        **ratios(on_ST, off_ST, floor_S, AROUND),
        **{f"oracle {part}": ratio for part, ratio in known.items()},
        "steps off": recovery(off_ST, settled_S, floor_S, HALF),
        "steps on": recovery(on_ST, settled_S, floor_S, HALF),
        "steps to the oracle off": recovery(off_ST, best_S, floor_S, HALF),
        "steps to the oracle on": recovery(on_ST, best_S, floor_S, HALF),
        **_counts(on),
    }


def oracle(configured: Backbone, fleet: str, change: str, seed: int) -> Backbone:
    """Weights that were tuned at length on another fleet of the kind, after the change."""
    seen = record(*scenario(fleet, change, seed, REMEMBERED, STEPS))
    after = Windows(*(part[HALF:] for part in (seen.inputs_TSF, seen.target_TS, seen.mask_TS, seen.unit_TS)))
    learner = Learner(copy.deepcopy(configured).train(), Schedule(ORACLE_UPDATES, chunk=256, batch=32))
    shuffle = np.random.default_rng(seed)
    while not learner.done:
        for _ in learner.learn(after, shuffle.permutation(REMEMBERED)):
            pass
    return learner.backbone.eval()


def on_recorded(weights: Weights, series: list[Series], learning_rate: float) -> dict[str, float]:
    """Recorded series, side by side."""
    times_ST, values_ST = side_by_side([(one.times[-LONGEST:], one.values[-LONGEST:]) for one in series])
    count, half = len(values_ST), values_ST.shape[1] // 2
    on = Life(weights, count, Buffer(count, Learning().samples), learning_rate)
    off_ST, on_ST = Life(weights, count).live(times_ST, values_ST), on.live(times_ST, values_ST)
    halves = {"first half": slice(0, half), "second half": slice(half, None)}
    return {**ratios(on_ST, off_ST, nothing(values_ST), halves), **_counts(on)}


def _counts(life: Life) -> dict[str, float]:
    return {"taken": life.taken, "reverted": life.reverted, "asked": life.asked}


def summary(found: list[dict[str, float]]) -> str:
    """Mean and standard error over seeds."""
    parts = []
    for name in found[0]:
        values = np.array([one[name] for one in found])
        error = f" +-{values.std(ddof=1) / np.sqrt(len(values)):.3f}" if len(values) > 1 else ""
        parts.append(f"{name} {values.mean():.3f}{error}")
    return "  ".join(parts)


if __name__ == "__main__":
    main()
