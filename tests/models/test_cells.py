"""Cells compared with their equations in numpy float64 and with torch's modules, and by gradcheck."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from detector.models.backbone import Backbone, Shape
from detector.models.cells import CELLS, Cell, Cifg, Gru, Lstm, LstmPeephole, Rnn
from detector.models.features import FEATURES

INPUTS, HIDDEN, ROWS = 5, 4, 3
Array = npt.NDArray[Any]


def sigma(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def rnn(w: Array, u: Array, b: Array, x: Array, h: Array, c: Array, extra: Array) -> tuple[Array, Array]:
    return np.tanh(x @ w[0].T + h @ u[0].T + b[0]), c


def lstm(w: Array, u: Array, b: Array, x: Array, h: Array, c: Array, extra: Array) -> tuple[Array, Array]:
    i, f, g, o = (x @ wk.T + h @ uk.T + bk for wk, uk, bk in zip(w, u, b, strict=True))
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


def lstm_peephole(w: Array, u: Array, b: Array, x: Array, h: Array, c: Array, extra: Array) -> tuple[Array, Array]:
    i, f, g, o = (x @ wk.T + h @ uk.T + bk for wk, uk, bk in zip(w, u, b, strict=True))
    to_i, to_f, to_o = extra
    new = sigma(f + to_f * c) * c + sigma(i + to_i * c) * np.tanh(g)
    return sigma(o + to_o * new) * np.tanh(new), new


def cifg(w: Array, u: Array, b: Array, x: Array, h: Array, c: Array, extra: Array) -> tuple[Array, Array]:
    f, g, o = (x @ wk.T + h @ uk.T + bk for wk, uk, bk in zip(w, u, b, strict=True))
    c = sigma(f) * c + (1 - sigma(f)) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


def gru(w: Array, u: Array, b: Array, x: Array, h: Array, c: Array, extra: Array) -> tuple[Array, Array]:
    r = sigma(x @ w[0].T + h @ u[0].T + b[0])
    z = sigma(x @ w[1].T + h @ u[1].T + b[1])
    n = np.tanh(x @ w[2].T + b[2] + r * (h @ u[2].T + extra))
    return (1 - z) * n + z * h, c


EQUATIONS = {"rnn": rnn, "lstm": lstm, "lstm_peephole": lstm_peephole, "cifg": cifg, "gru": gru}


def a_cell(name: str) -> Cell:
    torch.manual_seed(3)
    cell = CELLS[name](INPUTS, HIDDEN).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    return cell


def some_input() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(ROWS, n, generator=generator, dtype=torch.float64) for n in (INPUTS, HIDDEN, HIDDEN)]


def extra_of(cell: Cell) -> Array:
    if isinstance(cell, LstmPeephole):
        peepholes: Array = cell.peepholes.detach().numpy()
        return peepholes
    extra: Array = cell.bias_reset.detach().numpy() if isinstance(cell, Gru) else np.zeros(0)
    return extra


def test_every_cell_has_equations_here():
    assert set(EQUATIONS) == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_step_equals_the_equations(name):
    cell = a_cell(name)
    x, h, c = some_input()
    hidden, kept = cell(x, (h, c))
    gates = [p.detach().numpy().reshape(cell.gates, HIDDEN, -1) for p in (cell.weight_x, cell.weight_h)]
    bias = cell.bias.detach().numpy().reshape(cell.gates, HIDDEN)
    want = EQUATIONS[name](gates[0], gates[1], bias, x.numpy(), h.numpy(), c.numpy(), extra_of(cell))
    np.testing.assert_allclose(hidden.detach().numpy(), want[0], rtol=1e-12)
    np.testing.assert_allclose(kept.detach().numpy(), want[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "module"), [("rnn", torch.nn.RNNCell), ("lstm", torch.nn.LSTMCell), ("gru", torch.nn.GRUCell)]
)
def test_step_equals_torchs_module(name, module):
    cell = a_cell(name)
    x, h, c = some_input()
    theirs = module(INPUTS, HIDDEN).double()
    with torch.no_grad():
        theirs.weight_ih.copy_(cell.weight_x)
        theirs.weight_hh.copy_(cell.weight_h)
        theirs.bias_ih.copy_(cell.bias)
        theirs.bias_hh.zero_()
        if isinstance(cell, Gru):
            theirs.bias_hh[2 * HIDDEN :] = cell.bias_reset
    hidden, kept = cell(x, (h, c))
    want = theirs(x, (h, c)) if name == "lstm" else (theirs(x, h), c)
    torch.testing.assert_close(hidden, want[0])
    torch.testing.assert_close(kept, want[1])


@pytest.mark.parametrize("name", CELLS)
def test_gradients(name):
    cell = a_cell(name)
    x, h, c = (tensor.requires_grad_() for tensor in some_input())
    assert torch.autograd.gradcheck(lambda *a: cell(a[0], (a[1], a[2])), (x, h, c))
    parameters = tuple(cell.parameters())

    def by_parameters(*values):
        named = dict(zip((n for n, _ in cell.named_parameters()), values, strict=True))
        return torch.func.functional_call(cell, named, (x.detach(), (h.detach(), c.detach())))

    assert torch.autograd.gradcheck(by_parameters, parameters)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_unroll_equals_single_steps(name, layers):
    torch.manual_seed(1)
    backbone = Backbone(Shape(name, 8, layers)).double()
    inputs = torch.randn(6, ROWS, FEATURES, dtype=torch.float64)
    hidden, cell = (zero.double() for zero in backbone.initial(ROWS))
    whole, last_hidden, last_cell = backbone.unroll(inputs, hidden, cell)
    for step in range(6):
        outputs, hidden, cell = backbone.step(inputs[step], hidden, cell)
        torch.testing.assert_close(outputs, whole[step])
    torch.testing.assert_close(hidden, last_hidden)
    torch.testing.assert_close(cell, last_cell)


@pytest.mark.parametrize("cell_type", [Lstm, LstmPeephole, Cifg])
def test_forget_gates_start_open(cell_type):
    cell = cell_type(INPUTS, HIDDEN)
    assert (cell.bias == 1).sum() == HIDDEN


def test_only_gated_cells_with_memory_keep_a_cell_state():
    assert not Rnn.keeps_cell
    assert not Gru.keeps_cell
    assert all(CELLS[name].keeps_cell for name in ("lstm", "lstm_peephole", "cifg"))


@pytest.mark.parametrize("name", CELLS)
def test_state_stays_finite(name):
    torch.manual_seed(2)
    backbone = Backbone(Shape(name, 8, 1))
    hidden, cell = backbone.initial(4)
    for size in (1e6, -1e6, 1e-30, 0.0, 14.0):
        outputs, hidden, cell = backbone.step(torch.full((4, FEATURES), size), hidden, cell)
        assert all(torch.isfinite(t).all() for t in (outputs, hidden, cell))
