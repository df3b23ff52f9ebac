"""Teaching the shipped network to detect: streams with labelled faults, what is asked of their residuals, the updates.

The loss is the likelihood of what is not a fault, and a weight times a ranking: the residuals of a fault have to stand
out of the stream's ordinary ones, which is what the score lives on.

Shape legend: T steps, S streams.
"""

from __future__ import annotations

import copy
import math
import sys
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from benchmarks.detection.synthetic import FAULTS, SHORT
from detector.models.backbone import Backbone
from detector.models.learner import Learner, Schedule, likelihood
from detector.models.weights import load
from detector.models.windows import Windows, compact, record
from detector.records import Float64
from detector.synthetic import draw_streams

TAUGHT = ("spike", "dip", "level shift", "variance burst", "dropout")
"""Kinds of fault that are learnt from; all others are left for the judging."""
STREAMS, STEPS = 256, 3_072
LEARNING_RATE = 1e-3
RECOVERY_STEPS = 12
"""After a fault, neither fault nor ordinary."""
TAIL_POWER = 8.0
"""The power mean of exponential sizes with it is their 98% quantile."""
MARGIN = math.log(2.0)
"""What a fault's residual has to exceed the tail of the ordinary ones by, as a logarithm."""
LEAST_SIZE = 1e-3
"""In units of the stream's mean error: what is foretold exactly has no logarithm."""


class Objective(NamedTuple):
    """What is learnt beside the likelihood."""

    weight: float
    """Of the ranking."""
    throughout: bool = False
    """Whether every residual of a fault has to stand out, not only its largest: the forecast must not follow it."""


CONTROL = "control"
OBJECTIVES = {
    CONTROL: Objective(0.0),
    "largest 0.1": Objective(0.1),
    "largest 1": Objective(1.0),
    "all 1": Objective(1.0, throughout=True),
}


class Lesson(NamedTuple):
    """Streams with labelled faults, as the network sees them."""

    windows: Windows
    fault_TS: Tensor
    """1 where the next value is a fault's."""
    ordinary_TS: Tensor
    """1 where there is a next value that neither is a fault's nor comes soon after one."""


def lesson(seed: list[int], streams: int, steps: int) -> Lesson:
    """Fresh streams of the curriculum, each with two to four faults of one kind in its last seven tenths."""
    times_ST, values_ST = draw_streams(seed, streams, steps)
    rng = np.random.default_rng([*seed, 1])
    fault_ST, touched_ST = np.zeros((2, *values_ST.shape))
    for values, fault, touched in zip(values_ST, fault_ST, touched_ST, strict=True):
        for rows in inject(rng, values):
            fault[rows], touched[rows.start : rows.stop + RECOVERY_STEPS] = 1.0, 1.0
    windows = record(times_ST, values_ST)
    missing_ST = ~np.isfinite(values_ST)
    is_next = [np.zeros_like(windows.mask_TS.numpy()) for _ in range(2)]
    for marks_TS, marks_ST in zip(is_next, (fault_ST, touched_ST), strict=True):
        marks_TS[:-1] = compact(times_ST, np.where(missing_ST, np.nan, marks_ST))[1][1:]
    fault_TS, touched_TS = map(torch.from_numpy, is_next)
    return Lesson(windows, windows.mask_TS * fault_TS, windows.mask_TS * (1.0 - touched_TS))


def inject(rng: np.random.Generator, values_T: Float64) -> list[slice]:
    """Faults of one kind, as the synthetic suite makes them; changes `values_T` and returns their rows.

    A stream that never moves has none.
    """
    kind, steps = str(rng.choice(TAUGHT)), len(values_T)
    deviation = float(np.nanmedian(np.abs(np.diff(values_T)))) + 0.05 * float(np.nanstd(values_T))
    if deviation == 0.0:
        return []
    places = rng.choice(np.arange(3, 10), size=int(rng.integers(2, 5)), replace=False) * steps // 10
    found = []
    for place in np.sort(places):
        first = int(place + rng.integers(0, max(steps // 40, 1)))
        length = 3 if kind in SHORT else max(int(steps * rng.uniform(0.008, 0.03)), 12)
        missing, rows = np.isnan(values_T), slice(first, min(first + length, steps))
        FAULTS[kind](rng, values_T, rows, deviation, steps)
        values_T[missing] = np.nan
        found.append(rows)
    return found


def ranking(size_TS: Tensor, fault_TS: Tensor, ordinary_TS: Tensor, *, throughout: bool) -> Tensor:
    """How little the residuals of faults stand out of the tail of the ordinary ones: mean over streams that have both.

    softplus(margin + log(tail of the ordinary sizes) - log(size of the fault)), a fault's size being the largest of
    its residuals, or each in turn where they have to stand out `throughout`. Sizes are in a unit of the stream's own.
    """
    log_TS = torch.log(size_TS + LEAST_SIZE)
    ordinary_S = ordinary_TS.sum(0).clamp(min=1.0)
    powers_TS = (TAIL_POWER * log_TS).masked_fill(ordinary_TS == 0, -torch.inf)
    usable = (ordinary_TS.sum(0) > 0) & (fault_TS.sum(0) > 0)
    if not usable.any():
        return torch.zeros(())
    tail_S = (torch.logsumexp(powers_TS[:, usable], 0) - torch.log(ordinary_S[usable])) / TAIL_POWER
    log_TS, fault_TS = log_TS[:, usable], fault_TS[:, usable]
    if not throughout:
        largest_S = log_TS.masked_fill(fault_TS == 0, -torch.inf).amax(0)
        return softplus(MARGIN + tail_S - largest_S).mean()
    missed_TS = softplus(MARGIN + tail_S - log_TS) * fault_TS
    return (missed_TS.sum(0) / fault_TS.sum(0)).mean()


def missed(backbone: Backbone, taught: Lesson, *, throughout: bool) -> float:
    """The ranking of a network's residuals, each stream as a whole."""
    windows = taught.windows
    with torch.inference_mode():
        outputs, _, _ = backbone.unroll(windows.inputs_TSF, *backbone.initial(windows.inputs_TSF.shape[1]))
        _, error_TS = likelihood(outputs, windows.inputs_TSF, windows.target_TS)
        size_TS = error_TS * windows.unit_TS / windows.unit_TS.mean(0)
        return float(ranking(size_TS, taught.fault_TS, taught.ordinary_TS, throughout=throughout))


class Pupil(Learner):
    """Learns on for an objective."""

    def __init__(self, backbone: Backbone, updates: int, objective: Objective) -> None:
        super().__init__(backbone.requires_grad_(), Schedule(updates=updates, learning_rate=LEARNING_RATE))
        self.objective = objective

    def attend(self, taught: Lesson) -> None:
        """One pass, chunk by chunk, all streams in each update."""
        windows, chunk = taught.windows, self.schedule.chunk
        hidden, cell = self.backbone.initial(windows.inputs_TSF.shape[1])
        for start in range(0, len(windows.inputs_TSF), chunk):
            if self.done:
                return
            part = slice(start, start + chunk)
            outputs, hidden, cell = self.backbone.unroll(windows.inputs_TSF[part], hidden, cell)
            loss, error = likelihood(outputs, windows.inputs_TSF[part], windows.target_TS[part])
            ordinary = taught.ordinary_TS[part]
            if self.objective.weight:
                unit = windows.unit_TS[part] / windows.unit_TS[part].mean(0)
                faint = ranking(error * unit, taught.fault_TS[part], ordinary, throughout=self.objective.throughout)
                loss = loss + self.objective.weight * faint
            self._update(loss, ordinary)
            hidden, cell = hidden.detach(), cell.detach()


def teach(seed: int, updates: int, streams: int = STREAMS, steps: int = STEPS) -> dict[str, Backbone]:
    """The shipped network after so many updates for each objective; all see the same streams."""
    pupils = {name: Pupil(copy.deepcopy(load().backbone), updates, one) for name, one in OBJECTIVES.items()}
    draw = 0
    while not all(pupil.done for pupil in pupils.values()):
        taught = lesson([seed, draw], streams, steps)
        for pupil in pupils.values():
            pupil.attend(taught)
        draw += 1
        print(f"{pupils[CONTROL].updates} of {updates} updates", file=sys.stderr, flush=True)
    return {name: pupil.backbone.eval() for name, pupil in pupils.items()}
