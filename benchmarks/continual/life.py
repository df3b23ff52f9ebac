"""A network that goes through the rounds of a fleet, learning on or not.

Shape legend: T steps, S streams.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.models.backbone import Backbone
from detector.models.learner import Learner, Schedule, likelihood
from detector.models.windows import Windows
from detector.train.judge import Panel

ROUND = 384
REMEMBERED = 4
"""Rounds that a candidate learns from, the newest not among them."""
PASSES = 5


@dataclass
class Life:
    """Running weights, the hidden states of the streams, and what became of the candidates."""

    backbone: Backbone
    state: tuple[Tensor, Tensor]
    learning_rate: float
    taken: int = 0
    asked: int = 0

    def advance(self, windows: Windows, first: int) -> Tensor:
        """[S] summed absolute error of one round, in the streams' units; the state moves on."""
        part = slice(first, first + ROUND)
        with torch.no_grad():
            outputs, hidden, cell = self.backbone.unroll(windows.inputs_TSF[part], *self.state)
            _, error = likelihood(outputs, windows.inputs_TSF[part], windows.target_TS[part])
        self.state = (hidden, cell)
        return (error * windows.unit_TS[part] * windows.mask_TS[part]).double().sum(0)

    def consider(self, windows: Windows, now: int) -> None:
        """Tune a candidate on what came before the newest round, and take it if it does better on that."""
        newest = now - ROUND
        first = max(newest - REMEMBERED * ROUND, 0)
        if newest <= first:
            return
        candidate = copy.deepcopy(self.backbone).train()
        updates = PASSES * (newest - first) // ROUND
        learner = Learner(candidate, Schedule(updates, self.learning_rate, chunk=ROUND))
        past = part_of(windows, slice(first, newest))
        for _ in range(PASSES):
            for _loss in learner.learn(past, np.arange(past.target_TS.shape[1])):
                pass
        self.asked += 1
        if _loss_of(candidate, windows, newest) < _loss_of(self.backbone, windows, newest):
            self.backbone, self.taken = candidate, self.taken + 1


def part_of(windows: Windows, steps: slice) -> Windows:
    """Some of the steps."""
    parts = (windows.inputs_TSF, windows.target_TS, windows.mask_TS, windows.unit_TS)
    return Windows(*(tensor[steps] for tensor in parts))


def _loss_of(backbone: Backbone, windows: Windows, first: int) -> float:
    """Of the round that begins at `first`, after the round before it has warmed the state up."""
    part = part_of(windows, slice(first - ROUND, first + ROUND))
    with torch.no_grad():
        outputs, *_ = backbone.unroll(part.inputs_TSF, *backbone.initial(part.target_TS.shape[1]))
        loss, _ = likelihood(outputs, part.inputs_TSF, part.target_TS)
    return float((loss * part.mask_TS)[-ROUND:].sum() / part.mask_TS[-ROUND:].sum().clamp(min=1))


def measure(backbone: Backbone, judged: Panel, learning_rate: float) -> dict[str, float]:
    """Geometric mean over streams of the error with learning over that without, before and after the middle."""
    windows = judged.windows
    zero = backbone.initial(windows.target_TS.shape[1])
    on, off = Life(copy.deepcopy(backbone), zero, learning_rate), Life(backbone, zero, learning_rate)
    ratios: list[float] = []
    rounds = len(windows.target_TS) // ROUND
    for number in range(rounds):
        ours, theirs = (life.advance(windows, number * ROUND) for life in (on, off))
        seen = windows.mask_TS[number * ROUND : (number + 1) * ROUND].sum(0)
        floor, there = seen * judged.floor_S, seen > 0
        ratio = torch.log((ours + floor)[there] / (theirs + floor)[there])
        ratios.append(float(ratio.mean()) if there.any() else 0.0)
        on.consider(windows, (number + 1) * ROUND)
    half = rounds // 2
    parts = {"before": ratios[:half], "just after": ratios[half : half + 2], "later": ratios[half + 2 :]}
    return {
        **{name: float(np.exp(np.mean(part))) for name, part in parts.items()},
        "taken": on.taken,
        "asked": on.asked,
    }
