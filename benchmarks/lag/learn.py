"""Learning a problem with one layer of a cell, and how its gradient fades.

Shape legend: T steps, B sequences, I inputs, H hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, nn

from benchmarks.lag.problems import Problem
from detector.models.cells import CELLS, Cell, Cifg, Gru, Lstm, LstmPeephole

HIDDEN = 16
BATCH = 32
TEST = 512
LEARNING_RATE = 1e-2
CLIP = 1.0
SOLVED = 0.9
"""Skill from which a problem counts as learnt."""
LOOK_EVERY = 25
"""Updates between two looks at fresh sequences; learning ends when they are solved."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """How it went."""

    skill: float
    updates: int

    @property
    def solved(self) -> bool:
        """Whether the problem was learnt."""
        return self.skill >= SOLVED


def make(cell: str, inputs: int, lag: int | None) -> Cell:
    """A layer whose gates, where it has any, start open for times up to `lag`, or as the cell itself has them (None).

    Tallec & Ollivier 2018, "Can recurrent neural networks warp time?": forget bias log U(1, lag - 1), input bias its
    opposite. A plain network has nothing to open.
    """
    made = CELLS[cell](inputs, HIDDEN)
    if lag is None:
        return made
    keep = torch.log(torch.empty(HIDDEN).uniform_(1, max(lag - 1, 2)))
    with torch.no_grad():
        if isinstance(made, Lstm | LstmPeephole):
            made.bias[:HIDDEN] = -keep
            made.bias[HIDDEN : 2 * HIDDEN] = keep
        elif isinstance(made, Cifg):
            made.bias[:HIDDEN] = keep
        elif isinstance(made, Gru):
            made.bias[HIDDEN : 2 * HIDDEN] = keep
    return made


def learn(problem: Problem, cell: str, lag: int, updates: int, seed: int, *, opened: bool = True) -> Learnt:
    """Learn on fresh sequences until solved, for at most so many updates; judged on others.

    `opened` has the gates start as in `make`, otherwise as the cell itself has them.
    """
    torch.manual_seed(seed)
    generator = Generator().manual_seed(seed + 1)
    layer = make(cell, problem.inputs, lag if opened else None)
    head = nn.Linear(HIDDEN, problem.outputs)
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], LEARNING_RATE)
    skill, done = 0.0, 0
    while done < updates and skill < SOLVED:
        for _ in range(min(LOOK_EVERY, updates - done)):
            inputs_TBI, wanted = problem.draw(generator, lag, BATCH)
            optimiser.zero_grad()
            torch.autograd.backward(problem.loss(head(_last(layer, inputs_TBI)), wanted))
            nn.utils.clip_grad_norm_([*layer.parameters(), *head.parameters()], CLIP)
            optimiser.step()
            done += 1
        with torch.no_grad():
            inputs_TBI, wanted = problem.draw(generator, lag, TEST)
            skill = problem.skill(head(_last(layer, inputs_TBI)), wanted)
    return Learnt(skill, done)


def _last(layer: Cell, inputs_TBI: torch.Tensor) -> torch.Tensor:
    zero = inputs_TBI.new_zeros(inputs_TBI.shape[1], layer.hidden)
    return layer.unroll(inputs_TBI, (zero, zero.clone()))[0][-1]


def gradient_norms(cell: str, lag: int, seed: int, *, opened: bool) -> list[float]:
    """Norms of the gradient of an untrained layer's last hidden state by the input 0 ... `lag` steps back.

    Over that by the last input; `opened` as in `learn`.
    """
    torch.manual_seed(seed)
    layer = make(cell, 2, lag if opened else None).double()
    inputs_TBI = torch.randn(lag + 1, BATCH, 2, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward((_last(layer, inputs_TBI) * torch.randn(BATCH, HIDDEN, dtype=torch.float64)).sum())
    assert inputs_TBI.grad is not None
    norms = inputs_TBI.grad.norm(dim=-1).mean(1).flip(0)
    return [float(norm) for norm in norms / norms[0]]
