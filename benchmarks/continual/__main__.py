"""`python -m benchmarks.continual [FOLDER ...] [--weights FILE] [--json FILE] [--rate R]`: learning on against not.

Folders of CSV series, their last 6,144 samples side by side; without any, synthetic fleets that live through a change
(see `scenarios`). Candidates come and go by the daemon's own rules (`detector.learning.tuning`): with the defaults of
`learning`, a round every 256 samples, and the streams' states are carried over. Shown is the absolute error over that
of the weights as they were, geometric mean over streams: in the first half of the rounds, in the two after it, in the
four after these, and in the rest; and how many candidates were taken, weights taken back, and rounds there were.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from benchmarks.continual.life import REMEMBERED, measure
from benchmarks.continual.scenarios import SCENARIOS, scenario
from detector.config.learning import Learning
from detector.learning.tuning import judged
from detector.models.weights import load
from detector.train.files import read_series
from detector.train.judge import panel
from detector.train.material import side_by_side

SEED = 3_000_003
STREAMS, ROUNDS = 96, 24
STEPS = ROUNDS * judged(REMEMBERED)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.continual", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rate", type=float, default=Learning().learning_rate, help="learning rate at its peak")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = {}
    for where in options.folders or SCENARIOS:
        if isinstance(where, Path):
            series = [(one.times[-STEPS:], one.values[-STEPS:]) for one in read_series([where])]
            parts = side_by_side(series)
        else:
            parts = scenario(where, SEED, STREAMS, STEPS)
        found = measure(load(options.weights).backbone, panel(*parts), options.rate)
        report[str(where)] = found
        print(where, "  ".join(f"{key} {value:.3f}" for key, value in found.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
