"""`detector train`: makes a backbone from the synthetic curriculum and writes it with its card."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from detector.models.backbone import Backbone, Shape
from detector.models.learner import Learner, Schedule, Windows, evaluate, record
from detector.models.weights import Card, save
from detector.synthetic import START, streams

Float64 = npt.NDArray[np.float64]
Progress = Callable[[int, int, float], None]
"""(updates done, updates in all, loss of the last one)."""

STEP_SECONDS = (1, 10, 30, 60, 60, 60, 120, 300, 300, 300, 300, 600, 900, 1800, 3600, 3600)
"""Steps of the curriculum, as often as they should come up."""
GAPS = 0.3
HELD_OUT = 1_000_003
"""Set apart from every training seed."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What to train and on how much."""

    output: Path
    seed: int = 1
    cell: str = "lstm"
    hidden_size: int = 32
    num_layers: int = 1
    updates: int = 1200
    streams: int = 1024
    """Streams drawn at a time."""
    steps: int = 3072
    """Samples of each."""
    passes: int = 3
    """How often each draw is learnt from."""
    threads: int = 1


def train(options: TrainOptions, progress: Progress | None = None) -> Card:
    """Train, write weights and card, return the card. The same options give the same weights on the same machine."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    began = time.monotonic()
    backbone = Backbone(Shape(options.cell, options.hidden_size, options.num_layers))
    learner = Learner(backbone, Schedule(updates=options.updates))
    rng = np.random.default_rng([options.seed, 7])
    curve: list[float] = []
    draw = 0
    while learner.updates < options.updates:
        windows = curriculum([options.seed, draw], options.streams, options.steps)
        for _ in range(options.passes):
            for loss in learner.learn(windows, rng.permutation(options.streams)):
                curve.append(loss)
                if progress is not None:
                    progress(learner.updates, options.updates, loss)
        draw += 1
    held_out = evaluate(backbone, curriculum([HELD_OUT, options.seed], min(options.streams, 512), options.steps))
    return save(backbone.eval(), options.output, _facts(options, curve, held_out, time.monotonic() - began))


def curriculum(seed: list[int], count: int, steps: int) -> Windows:
    """Synthetic streams of mixed steps and starts, as the network sees them."""
    rng = np.random.default_rng(seed)
    groups = min(16, count)
    times, values = [], []
    for part in np.array_split(np.arange(count), groups):
        step = float(rng.choice(STEP_SECONDS))
        start = START + float(rng.integers(0, 7 * 86400))
        drawn = streams(int(rng.integers(2**31)), len(part), steps, step, start=start, gaps=GAPS)
        times.append(np.broadcast_to(drawn.times_T, drawn.values_ST.shape))
        values.append(drawn.values_ST)
    return record(np.concatenate(times), np.concatenate(values))


def command(options: TrainOptions) -> str:
    """The command line that makes these weights."""
    sizes = f"--cell {options.cell} --hidden-size {options.hidden_size} --num-layers {options.num_layers}"
    work = f"--seed {options.seed} --updates {options.updates} --output {options.output.name}"
    return f"detector train --synthetic {sizes} {work}"


def _facts(options: TrainOptions, curve: list[float], held_out: dict[str, float], seconds: float) -> Card:
    sizes = {key: value for key, value in asdict(options).items() if key != "output"}
    block = max(1, len(curve) // 50)
    return {
        "command": command(options),
        "options": sizes,
        "torch": torch.__version__,
        "held_out": {key: round(value, 5) for key, value in held_out.items()},
        "loss_curve": [round(float(np.mean(curve[at : at + block])), 4) for at in range(0, len(curve), block)],
        "seconds": round(seconds, 1),
    }
