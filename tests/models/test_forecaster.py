"""The forecaster's contract: reading changes nothing, bits independent of batches, finiteness, skill and fallback."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.columns import BLOCK_ROWS, Columns, allocate
from detector.models.backbone import Backbone, Shape
from detector.models.cells import Lstm
from detector.models.features import FEATURES
from detector.models.forecaster import CHUNK_ROWS, FORECASTERS, Forecaster, choose
from detector.models.kernel import AT_ONCE, FusedLstm, Kernel
from detector.models.learner import likelihood
from detector.models.naive import Slot
from detector.models.weights import Weights, load
from detector.models.windows import record
from detector.synthetic import streams

START = 1.7e9
Array = npt.NDArray[Any]
EXTREME = st.floats(-1e30, 1e30, allow_nan=False, allow_infinity=False)


@pytest.fixture(scope="module", params=["full", "compact"])
def forecaster(request) -> Forecaster:
    return Forecaster(compact=request.param == "compact")


def step(forecaster: Forecaster, state: Columns, rows: Array, time: float, values: Any) -> None:
    forecaster.learn(state, rows, np.full(len(rows), time), np.asarray(values, float))
    forecaster.forecast(state, rows)


def play(forecaster: Forecaster, values: Array, interval: float = 60.0) -> tuple[Columns, Array]:
    """(state, forecasts [T, S]) after streams [S, T]."""
    values = np.atleast_2d(values)
    state, rows = allocate(forecaster.fields, len(values)), np.arange(len(values))
    made = np.empty(values.T.shape)
    for at, column in enumerate(values.T):
        made[at] = forecaster.stored(state, rows).loc
        step(forecaster, state, rows, START + interval * at, column)
    return state, made


def test_first_forecast_comes_after_the_first_sample(forecaster):
    state = allocate(forecaster.fields, 3)
    assert np.isnan(forecaster.stored(state, np.arange(3)).loc).all()
    step(forecaster, state, np.array([1]), START, [7.0])
    stored = forecaster.stored(state, np.arange(3))
    assert stored.loc[1] == pytest.approx(7.0, abs=0.1)
    assert stored.scale[1] > 0
    assert np.isnan(stored.loc[[0, 2]]).all()


def test_reading_changes_nothing(forecaster):
    state, _ = play(forecaster, np.random.default_rng(0).normal(size=(4, 30)))
    before = {name: column.tobytes() for name, column in state.items()}
    rows = np.arange(4)
    stored = forecaster.stored(state, rows)
    stored.loc[:] = 0
    forecaster.skill(state, rows)
    forecaster.fallback(state, rows)
    assert before == {name: column.tobytes() for name, column in state.items()}


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 2 * BLOCK_ROWS + 40), st.integers(0, 2**31), st.integers(1, 300))
def test_bits_do_not_depend_on_other_streams_order_or_batches(forecaster, count, seed, cut):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 6)) * 10.0 ** rng.integers(-6, 12, (count, 1))
    together, _ = play(forecaster, values)
    apart = allocate(forecaster.fields, count)
    for at in range(6):
        order = rng.permutation(count)
        for part in np.split(order, range(cut, count, cut)):
            step(forecaster, apart, part, START + 60.0 * at, values[part, at])
    for name, column in together.items():
        assert column.tobytes() == apart[name].tobytes(), name


def test_bits_do_not_depend_on_chunks(forecaster):
    count = CHUNK_ROWS + 300
    values = np.random.default_rng(1).normal(size=(count, 3))
    together, _ = play(forecaster, values)
    tail, _ = play(forecaster, values[-300:])
    assert together["forecast"][-300:].tobytes() == tail["forecast"].tobytes()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(EXTREME, st.floats(1e-3, 1e8)), min_size=1, max_size=25))
def test_everything_stays_finite(forecaster, samples):
    state, rows, time = allocate(forecaster.fields, 1), np.array([0]), START
    for value, wait in samples:
        time += wait
        step(forecaster, state, rows, time, [value])
    assert all(np.isfinite(column).all() for column in state.values())
    assert np.isfinite(forecaster.skill(state, rows)).all()


def test_forecaster_beats_the_last_value_on_seasonal_streams(forecaster):
    drawn = streams(3, 12, 4000, 300.0, families=["daily"], events=False)
    _, made = play(forecaster, drawn.values_ST, 300.0)
    values = drawn.values_ST.T
    ours = np.abs(made - values)[1000:].mean(axis=0)
    last = np.abs(np.diff(values, axis=0))[999:].mean(axis=0)
    assert np.exp(np.log(ours / last).mean()) < 0.95
    assert (ours < 1.02 * last).all()


def test_skill_says_whether_the_network_helps(forecaster):
    noise = np.random.default_rng(0).normal(size=(3, 600))
    state, _ = play(forecaster, noise)
    assert (forecaster.skill(state, np.arange(3)) < 0.9).all()
    assert (forecaster.fallback(state, np.arange(3)) < len(FORECASTERS)).all()


def test_falls_back_to_a_better_naive_forecast_and_returns():
    bank = np.zeros((Slot.SIZE, 4), np.float32)
    bank[Slot.AGE] = [1000, 1000, 1000, 10]
    #                     worse  close  better  young
    bank[Slot.SKILL] = [[1.20, 1.02, 0.90, 9.0], [1.5] * 4, [1.0] * 4, [1.1] * 4]
    assert choose(bank, np.zeros(4, np.uint8)).tolist() == [2, 0, 0, 0]
    assert choose(bank, np.full(4, 2, np.uint8)).tolist() == [2, 2, 0, 0]


def biased(correction: float) -> Weights:
    """The shipped weights with a constant error in the forecast."""
    weights = load()
    backbone = Backbone(weights.backbone.shape)
    backbone.load_state_dict(weights.backbone.state_dict())
    backbone.head.bias.data[-2] += correction
    return Weights(backbone, weights.card, "bad")


def test_readout_corrects_a_network_that_errs():
    values, rows = np.random.default_rng(0).normal(size=(4, 400)), np.arange(4)
    alone, corrected = (Forecaster(biased(1.0), readout=readout) for readout in (False, True))
    skill_alone, skill = (one.skill(play(one, values)[0], rows) for one in (alone, corrected))
    assert (skill < 0.9 * skill_alone).all()
    assert (skill < 0.85).all()


def test_network_that_errs_is_not_used():
    forecaster = Forecaster(biased(50.0), readout=False)
    values = np.random.default_rng(0).normal(size=(2, 400))
    state, made = play(forecaster, values)
    assert (forecaster.fallback(state, np.arange(2)) > 0).all()
    assert (forecaster.skill(state, np.arange(2)) > 2).all()
    assert np.abs(made[-100:]).max() < 5


def test_fused_step_equals_the_equations():
    cell = load().backbone.layers[0]
    assert isinstance(cell, Lstm)
    x, h, c = torch.randn(AT_ONCE, cell.inputs), torch.rand(AT_ONCE, cell.hidden), torch.randn(AT_ONCE, cell.hidden)
    want_hidden, want_cell = cell(x, (h, c))
    shown = torch.empty_like(h)
    FusedLstm(cell)(torch.cat((x, h), 1), c, shown)
    for got, want in ((shown, want_hidden), (c, want_cell)):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("shape", [Shape("lstm", 8, 1), Shape("lstm", 8, 2), Shape("gru", 8, 2), Shape("rnn", 4, 1)])
def test_step_does_not_depend_on_other_rows_of_the_call(shape, halved):
    torch.manual_seed(0)
    rng, count = np.random.default_rng(0), 2 * AT_ONCE + 300
    step = Kernel(Backbone(shape), torch.device("cpu"), 1, halved=halved)
    kept = np.float16 if halved else np.float32
    start = {name: rng.normal(size=(count, shape.state_size)).astype(kept) for name in ("hidden", "cell")}
    inputs = rng.normal(size=(FEATURES, count)).astype(np.float32)

    def played(*cuts: int) -> list[np.ndarray]:
        state, made = {name: column.copy() for name, column in start.items()}, []
        for rows in np.split(rng.permutation(count), cuts):
            raw, top = step(state, rows, inputs[:, rows])
            made.append((rows, raw.copy(), top.copy()))
        order = np.argsort(np.concatenate([rows for rows, _, _ in made]))
        raw, top = np.concatenate([raw.T for _, raw, _ in made]), np.concatenate([top for _, _, top in made])
        return [raw[order], top[order], state["hidden"], state["cell"]]

    for alone, together in zip(played(1, 7, 400, 900), played(), strict=True):
        np.testing.assert_array_equal(alone, together)
    assert (played()[2] != start["hidden"]).any(axis=1).all()


@pytest.mark.parametrize(
    "shape", [Shape("gru", 8, 1), Shape("lstm", 8, 2), Shape("rnn", 4, 2), Shape("cifg"), Shape("lstm_peephole", 16)]
)
def test_every_network_shape_runs(shape):
    torch.manual_seed(0)
    forecaster = Forecaster(Weights(Backbone(shape), {}, "untrained"))
    _, made = play(forecaster, np.random.default_rng(0).normal(size=(3, 50)))
    assert np.isfinite(made[1:]).all()


def test_daemon_and_training_forecast_the_same():
    forecaster = Forecaster(readout=False)
    values = np.random.default_rng(0).normal(size=(3, 40))
    times = np.broadcast_to(START + 60.0 * np.arange(40), values.shape)
    windows = record(times, values)
    with torch.inference_mode():
        outputs, _, _ = forecaster.weights.backbone.unroll(windows.inputs_TSF, *forecaster.weights.backbone.initial(3))
        _, error = likelihood(outputs, windows.inputs_TSF, windows.target_TS)
    state, rows = allocate(forecaster.fields, 3), np.arange(3)
    for at in range(39):
        step(forecaster, state, rows, START + 60.0 * at, values[:, at])
        unit = state["bank"][:, Slot.ERRORS].min(axis=1) + state["bank"][:, Slot.FLOOR]
        ours = np.abs(values[:, at + 1] - state["bank_clock"][:, 0] - state["bank"][:, Slot.GATE]) / unit
        if at > 1:  # before that the unit is next to nothing, and targets are clipped
            np.testing.assert_allclose(ours, error[at].numpy(), rtol=1e-3, atol=1e-3)


def test_state_of_a_stream_has_the_designed_size(forecaster):
    assert sum(field.nbytes for field in forecaster.fields) <= 2048
