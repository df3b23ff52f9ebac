"""Recurrent cells, one step over a block of streams, written as their equations.

`*` is the elementwise product, sigma the logistic function, [h, x] the last step's hidden state joined with the input.
Every cell keeps two tensors per layer, hidden and cell state; those without a cell state pass it through.

Shape legend: B rows, I inputs, H hidden size, G gates.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""(hidden_BH, cell_BH)."""

FORGET_BIAS = 1.0
"""Forget gates start open, so that from the beginning of training gradients reach far back (Gers et al. 2000)."""


class Cell(nn.Module, ABC):
    """Parameters common to all cells: G gates over [h, x], stacked along the output.

    `weight_x` [G*H, I] and `weight_h` [G*H, H] start uniform in +-1/sqrt(H), as in torch's recurrent modules; `bias`
    [G*H] starts at zero.
    """

    gates = 1
    keeps_cell = True
    """Whether the cell state carries information from step to step."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.hidden = hidden
        bound = 1 / math.sqrt(hidden)
        self.weight_x = nn.Parameter(torch.empty(self.gates * hidden, inputs).uniform_(-bound, bound))
        self.weight_h = nn.Parameter(torch.empty(self.gates * hidden, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(self.gates * hidden))

    @abstractmethod
    def forward(self, input_BI: Tensor, state: State) -> State:
        """State after one step."""

    def unroll(self, input_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        """T steps, for training: (hidden states [T, B, H], last state). Overridden by cells that torch has fused."""
        hidden = []
        for input_BI in input_TBI:
            state = self(input_BI, state)
            hidden.append(state[0])
        return torch.stack(hidden), state

    def _fused(self, bias_h: Tensor | None = None) -> list[Tensor]:
        """Parameters as torch's recurrent functions take them, with a second bias."""
        second = torch.zeros_like(self.bias) if bias_h is None else bias_h
        return [self.weight_x, self.weight_h, self.bias, second]

    def _sums(self, input_BI: Tensor, hidden_BH: Tensor) -> tuple[Tensor, ...]:
        """W [h, x] + b for every gate, each [B, H]."""
        sums_BG = torch.addmm(self.bias, input_BI, self.weight_x.t()) + hidden_BH @ self.weight_h.t()
        return sums_BG.chunk(self.gates, dim=1)

    def _open_gate(self, gate: int) -> None:
        with torch.no_grad():
            self.bias[gate * self.hidden : (gate + 1) * self.hidden] = FORGET_BIAS


class Rnn(Cell):
    """The baseline without gates (Elman 1990, "Finding structure in time").

    h' = tanh(W [h, x] + b)
    """

    keeps_cell = False

    def forward(self, input_BI: Tensor, state: State) -> State:
        """One step; the cell state passes through."""
        hidden, cell = state
        (total,) = self._sums(input_BI, hidden)
        return torch.tanh(total), cell

    def unroll(self, input_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        """Fused by torch."""
        out, last = torch.rnn_tanh(input_TBI, state[0][None], self._fused(), True, 1, 0.0, False, False, False)
        return out, (last[0], state[1])


class Lstm(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with the forget gate of Gers, Schmidhuber & Cummins 2000.

    i = sigma(Wi [h, x] + bi)        what to write
    f = sigma(Wf [h, x] + bf)        what to keep
    g = tanh(Wc [h, x] + bc)         the candidate
    o = sigma(Wo [h, x] + bo)        what to show
    c' = f * c + i * g
    h' = o * tanh(c')

    Gates are stacked in torch's order i, f, g, o.
    """

    gates = 4

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self._open_gate(1)

    def forward(self, input_BI: Tensor, state: State) -> State:
        """One step."""
        hidden, cell = state
        i, f, g, o = self._sums(input_BI, hidden)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(cell), cell

    def unroll(self, input_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        """Fused by torch."""
        start = (state[0][None], state[1][None])
        out, hidden, cell = torch.lstm(input_TBI, start, self._fused(), True, 1, 0.0, False, False, False)
        return out, (hidden[0], cell[0])


class LstmPeephole(Cell):
    """LSTM whose gates see the cell state (Gers & Schmidhuber 2000; Gers, Schraudolph & Schmidhuber 2002).

    i = sigma(Wi [h, x] + pi * c + bi)
    f = sigma(Wf [h, x] + pf * c + bf)
    g = tanh(Wc [h, x] + bc)
    c' = f * c + i * g
    o = sigma(Wo [h, x] + po * c' + bo)    the output gate looks at the new cell state
    h' = o * tanh(c')
    """

    gates = 4

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.peepholes = nn.Parameter(torch.zeros(3, hidden))
        self._open_gate(1)

    def forward(self, input_BI: Tensor, state: State) -> State:
        """One step."""
        hidden, cell = state
        i, f, g, o = self._sums(input_BI, hidden)
        to_i, to_f, to_o = self.peepholes
        kept = torch.sigmoid(f + to_f * cell) * cell
        cell = kept + torch.sigmoid(i + to_i * cell) * torch.tanh(g)
        return torch.sigmoid(o + to_o * cell) * torch.tanh(cell), cell


class Cifg(Cell):
    """LSTM with coupled input and forget gate (Greff et al. 2017, "LSTM: A search space odyssey", section 3).

    f = sigma(Wf [h, x] + bf)
    g = tanh(Wc [h, x] + bc)
    o = sigma(Wo [h, x] + bo)
    c' = f * c + (1 - f) * g
    h' = o * tanh(c')
    """

    gates = 3

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self._open_gate(0)

    def forward(self, input_BI: Tensor, state: State) -> State:
        """One step."""
        hidden, cell = state
        f, g, o = self._sums(input_BI, hidden)
        keep = torch.sigmoid(f)
        cell = keep * cell + (1 - keep) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(cell), cell


class Gru(Cell):
    """Gated recurrent unit (Cho et al. 2014), with the reset gate after the matrix product, as in torch.

    r = sigma(Wr [h, x] + br)                      how much of the past the candidate sees
    z = sigma(Wz [h, x] + bz)                      how much of the past stays
    n = tanh(Wn x + bn + r * (Un h + bm))
    h' = (1 - z) * n + z * h

    Gates are stacked in torch's order r, z, n; `bias_reset` is bm.
    """

    gates = 3
    keeps_cell = False

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.bias_reset = nn.Parameter(torch.zeros(hidden))
        self._open_gate(1)

    def forward(self, input_BI: Tensor, state: State) -> State:
        """One step; the cell state passes through."""
        hidden, cell = state
        from_input = torch.addmm(self.bias, input_BI, self.weight_x.t()).chunk(3, dim=1)
        from_hidden = (hidden @ self.weight_h.t()).chunk(3, dim=1)
        r, z = (torch.sigmoid(a + b) for a, b in zip(from_input[:2], from_hidden[:2], strict=True))
        n = torch.tanh(from_input[2] + r * (from_hidden[2] + self.bias_reset))
        return (1 - z) * n + z * hidden, cell

    def unroll(self, input_TBI: Tensor, state: State) -> tuple[Tensor, State]:
        """Fused by torch."""
        bias_h = torch.cat((self.bias_reset.new_zeros(2 * self.hidden), self.bias_reset))
        out, last = torch.gru(input_TBI, state[0][None], self._fused(bias_h), True, 1, 0.0, False, False, False)
        return out, (last[0], state[1])


CELLS: dict[str, type[Cell]] = {
    "rnn": Rnn,
    "lstm": Lstm,
    "lstm_peephole": LstmPeephole,
    "cifg": Cifg,
    "gru": Gru,
}
"""`model.cell` -> class."""
