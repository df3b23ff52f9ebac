"""`python -m benchmarks.lag [--json FILE] [--image FILE] [--quick]`.

Every cell, one layer of 16, learns the adding problem and delayed recall (see `problems`) at growing lags, its gates
opened for the lag; `lstm as it is` has the model's own forget bias of 1 instead. Beside that, the norm of the gradient
of an untrained layer by the input so many steps back. One thread, about ten minutes; `--quick` takes one.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import json_file
from benchmarks.lag.draw import Results, draw
from benchmarks.lag.learn import Learnt, gradient_norms, learn
from benchmarks.lag.problems import PROBLEMS
from detector.models.cells import CELLS

LAGS = (20, 50, 100, 200, 400)
QUICK_LAGS = (20, 50)
UPDATES = 1500
SEED = 1
AS_IT_IS = "lstm as it is"


def report(cells: dict[str, dict[int, Learnt]]) -> str:
    """A row a cell: updates until it was learnt, by lag, or the skill that was reached."""
    lines = []
    for cell, found in cells.items():
        said = [f"{one.updates:>6}" if one.solved else f"({one.skill:4.2f})" for one in found.values()]
        lines.append(f"  {cell:14} " + " ".join(said))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.lag", description=__doc__)
    parser.add_argument("--json", type=json_file.destination)
    parser.add_argument("--image", type=Path, help="picture to draw, say docs/images/lag.png")
    parser.add_argument("--quick", action="store_true", help="small lags only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lags, updates = (QUICK_LAGS, 500) if options.quick else (LAGS, UPDATES)
    norms = {cell: gradient_norms(cell, max(lags), SEED, opened=False) for cell in CELLS}
    opened = {cell: gradient_norms(cell, max(lags), SEED, opened=True) for cell in CELLS}
    print("gradient norm at lag", *lags)
    for cell in CELLS:
        print(f"  {cell:14}", *(f"{norms[cell][lag]:.0e}" for lag in lags), "| opened", end=" ")
        print(*(f"{opened[cell][lag]:.0e}" for lag in lags))
    results: Results = {}
    for name, problem in PROBLEMS.items():
        results[name] = {cell: {lag: learn(problem, cell, lag, updates, SEED) for lag in lags} for cell in CELLS}
        results[name][AS_IT_IS] = {lag: learn(problem, "lstm", lag, updates, SEED, opened=False) for lag in lags}
        print(f"{name}: updates until learnt, by lag {lags}; skill reached where it was not")
        print(report(results[name]), flush=True)
    if options.json is not None:
        learnt = {
            name: {cell: {lag: asdict(one) for lag, one in found.items()} for cell, found in cells.items()}
            for name, cells in results.items()
        }
        found = {"lags": lags, "gradient_norms": norms, "gradient_norms_opened": opened, "learnt": learnt}
        json_file.write(options.json, found)
    if options.image:
        options.image.parent.mkdir(parents=True, exist_ok=True)
        draw(options.image, norms, opened, results)


if __name__ == "__main__":
    main()
