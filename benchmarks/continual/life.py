"""A network that goes through the rounds of a fleet, learning on or not, by the rules that the daemon learns by.

Shape legend: T steps, S streams.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from detector.config.learning import Learning
from detector.learning.tuning import CANDIDATE, consider, judged
from detector.learning.versions import KEPT
from detector.models.backbone import Backbone
from detector.models.learner import likelihood
from detector.models.windows import Windows
from detector.train.judge import Panel

REMEMBERED = Learning().samples
CONFIGURED = "configured"


@dataclass
class Life:
    """Running weights, the hidden states of the streams, and what became of the candidates."""

    configured: Backbone
    state: tuple[Tensor, Tensor]
    learning_rate: float
    remembered: int = REMEMBERED
    """Samples of each stream."""
    chain: list[tuple[str, Backbone]] = field(default_factory=list)
    """Learnt weights: the running ones, then those before them."""
    taken: int = 0
    reverted: int = 0
    asked: int = 0

    @property
    def round(self) -> int:
        """Samples between two rounds: as many as a candidate is judged on."""
        return judged(self.remembered)

    @property
    def running(self) -> tuple[str, Backbone]:
        """Name and weights."""
        return self.chain[0] if self.chain else (CONFIGURED, self.configured)

    def advance(self, windows: Windows, first: int) -> Tensor:
        """[S] summed absolute error of one round, in the streams' units; the state moves on."""
        part = slice(first, first + self.round)
        with torch.no_grad():
            outputs, hidden, cell = self.running[1].unroll(windows.inputs_TSF[part], *self.state)
            _, error = likelihood(outputs, windows.inputs_TSF[part], windows.target_TS[part])
        self.state = (hidden, cell)
        return (error * windows.unit_TS[part] * windows.mask_TS[part]).double().sum(0)

    def consider(self, windows: Windows, now: int) -> None:
        """What the daemon does once in a while, over the streams that have as many new samples as are judged on."""
        steps = slice(max(now - self.remembered, 0), now)
        remembered = _at_the_end(windows, steps, self.remembered)
        ready_S = remembered.mask_TS.sum(0) >= 2 * self.round - 1
        ready_S &= remembered.mask_TS[-self.round - 1 :].sum(0) >= self.round
        if int(ready_S.sum()) < 2:
            return
        name, _ = self.running
        networks = {CONFIGURED: self.configured, **dict(self.chain)}
        verdict = consider(networks, [name] * int(ready_S.sum()), _of(remembered, ready_S), self.learning_rate)
        self.asked += 1
        names = [one for one, _ in self.chain]
        if verdict.chosen == CANDIDATE:
            self.taken += 1
            self.chain = [(f"learnt {self.asked}", verdict.candidate), *self.chain][:KEPT]
        elif verdict.chosen is not None:
            self.reverted += 1
            self.chain = [] if verdict.chosen == CONFIGURED else self.chain[names.index(verdict.chosen) :]


def _at_the_end(windows: Windows, steps: slice, length: int) -> Windows:
    """Some of the steps; what is missing before them is masked. The last target is not known yet."""
    made = []
    for tensor in (windows.inputs_TSF, windows.target_TS, windows.mask_TS, windows.unit_TS):
        part = tensor[steps]
        missing = torch.zeros((length - len(part), *part.shape[1:]), dtype=part.dtype)
        made.append(torch.cat((missing, part)))
    made[2][-1] = 0
    return Windows(*made)


def _of(windows: Windows, chosen_S: Tensor) -> Windows:
    parts = (windows.inputs_TSF, windows.target_TS, windows.mask_TS, windows.unit_TS)
    return Windows(*(tensor[:, chosen_S] for tensor in parts))


def measure(
    backbone: Backbone, judged_on: Panel, learning_rate: float, remembered: int = REMEMBERED
) -> dict[str, float]:
    """Geometric mean over streams of the error with learning over that without, before and after the middle."""
    windows = judged_on.windows
    zero = backbone.initial(windows.target_TS.shape[1])
    on, off = (Life(copy.deepcopy(backbone), zero, learning_rate, remembered) for _ in range(2))
    size = on.round
    ratios: list[float] = []
    rounds = len(windows.target_TS) // size
    for number in range(rounds):
        ours, theirs = (life.advance(windows, number * size) for life in (on, off))
        seen = windows.mask_TS[number * size : (number + 1) * size].sum(0)
        floor, there = seen * judged_on.floor_S, seen > 0
        ratio = torch.log((ours + floor)[there] / (theirs + floor)[there])
        ratios.append(float(ratio.mean()) if there.any() else 0.0)
        on.consider(windows, (number + 1) * size)
    half = rounds // 2
    parts = {
        "before": ratios[:half],
        "just after": ratios[half : half + 2],
        "soon": ratios[half + 2 : half + 6],
        "later": ratios[half + 6 :],
    }
    return {
        **{name: float(np.exp(np.mean(part))) for name, part in parts.items()},
        "taken": on.taken,
        "reverted": on.reverted,
        "asked": on.asked,
    }
