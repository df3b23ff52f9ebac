"""Two problems whose answer lies `lag` steps back.

Shape legend: T steps, B sequences, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

SYMBOLS = 4
ADDING_VARIANCE = 1 / 6
"""Of the sum of two uniform numbers: the squared error of who always answers 1."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Sequences, what to answer at their last step, and how good answers are."""

    inputs: int
    outputs: int
    draw: Callable[[Generator, int, int], tuple[Tensor, Tensor]]
    """(generator, lag, sequences) -> (inputs [T, B, I], answers [B, ...])."""
    loss: Callable[[Tensor, Tensor], Tensor]
    skill: Callable[[Tensor, Tensor], float]
    """0 for the best answer without memory, 1 for a perfect one."""


def adding(generator: Generator, lag: int, count: int) -> tuple[Tensor, Tensor]:
    """The adding problem (Hochreiter & Schmidhuber 1997, experiment 4): the sum of the two marked ones of many numbers.

    One mark is at the first tenth of the sequence, the other in its second half.
    """
    values_TB = torch.rand(lag + 1, count, generator=generator)
    marks_TB = torch.zeros_like(values_TB)
    row = torch.arange(count)
    early = torch.randint(0, max(lag // 10, 1), (count,), generator=generator)
    late = torch.randint((lag + 1) // 2, lag + 1, (count,), generator=generator)
    marks_TB[early, row] = 1
    marks_TB[late, row] = 1
    return torch.stack((values_TB, marks_TB), -1), (values_TB * marks_TB).sum(0)


def recall(generator: Generator, lag: int, count: int) -> tuple[Tensor, Tensor]:
    """Delayed recall: name the symbol shown at the first step, with other symbols, marked as unimportant, in between.

    As the two-sequence problems with noise of Hochreiter & Schmidhuber 1997, experiment 3.
    """
    symbols_TB = torch.randint(0, SYMBOLS, (lag + 1, count), generator=generator)
    shown = nn.functional.one_hot(symbols_TB, SYMBOLS).float()
    first = torch.zeros(lag + 1, count, 1)
    first[0] = 1
    return torch.cat((shown, first), -1), symbols_TB[0]


def _squared(answer_BO: Tensor, wanted_B: Tensor) -> Tensor:
    return nn.functional.mse_loss(answer_BO[:, 0], wanted_B)


def _explained(answer_BO: Tensor, wanted_B: Tensor) -> float:
    return 1 - float(_squared(answer_BO, wanted_B)) / ADDING_VARIANCE


def _recalled(answer_BO: Tensor, wanted_B: Tensor) -> float:
    right = float((answer_BO.argmax(1) == wanted_B).float().mean())
    return (right - 1 / SYMBOLS) / (1 - 1 / SYMBOLS)


PROBLEMS = {
    "adding": Problem(2, 1, adding, _squared, _explained),
    "recall": Problem(SYMBOLS + 1, SYMBOLS, recall, nn.functional.cross_entropy, _recalled),
}
