"""A stream's own correction of the network: what it learns, what it ignores, and when it is frozen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from detector.columns import Columns, Field, allocate
from detector.models.readout import Readout

HIDDEN, STREAMS, STEPS = 5, 4, 800
Array = npt.NDArray[Any]
Errors = Callable[[np.random.Generator, Array, int], Array]
"""(random source, [S, H] top hidden state, step) -> [S] error of the network alone."""


def run(errors: Errors, frozen: Array | None = None, steps: int = STEPS) -> tuple[Columns, Array]:
    """(state, [T, S] what is left); from step 400 on, `frozen` [S] streams do not learn."""
    rng, rows, readout = np.random.default_rng(0), np.arange(STREAMS), Readout(HIDDEN)
    state = allocate((Field("hidden", (2 * HIDDEN,)), *readout.fields), STREAMS)
    left = np.zeros((steps, STREAMS))
    for step in range(steps):
        state["hidden"][:] = np.tanh(rng.normal(size=state["hidden"].shape))
        error = errors(rng, state["hidden"][:, -HIDDEN:], step) - readout.expected(
            state, rows, state["hidden"][:, -HIDDEN:]
        )
        left[step] = np.abs(error)
        learns = np.ones(STREAMS, bool) if frozen is None or step < 400 else ~frozen
        readout.learn(state, rows, error.astype(np.float32), np.full(STREAMS, step + 1, np.float32), learns)
    return state, left


def noise(rng: np.random.Generator, top: Array, step: int) -> Array:
    return 0.2 * rng.laplace(size=len(top))


def biased(rng: np.random.Generator, top: Array, step: int) -> Array:
    return top[:, 0] + 0.5 + noise(rng, top, step)


def test_error_explained_by_the_top_layer_is_corrected():
    _, left = run(biased)
    assert left[:5].mean() > 0.7
    assert left[-300:].mean() < 0.35


def test_noise_is_not_corrected():
    _, left = run(noise)
    assert left[-400:].mean() == pytest.approx(0.2, rel=0.08)


def test_spike_teaches_no_more_than_a_usual_error():
    _, left = run(lambda rng, top, step: biased(rng, top, step) + 1e30 * (rng.random(len(top)) < 0.01))
    assert np.median(left[-300:]) < 0.35


def test_unneeded_correction_is_unlearned():
    _, left = run(lambda rng, top, step: (biased if step < 300 else noise)(rng, top, step))
    assert left[-100:].mean() == pytest.approx(0.2, rel=0.15)


def test_frozen_rows_do_not_change():
    frozen = np.array([True, False, False, True])
    before, _ = run(biased, steps=400)
    state, _ = run(biased, frozen)
    for name in ("readout", "readout_errors"):
        np.testing.assert_array_equal(state[name][frozen], before[name][frozen])
        assert (state[name][~frozen] != before[name][~frozen]).any(axis=1).all()


def test_bits_of_a_row_do_not_depend_on_other_rows():
    rng, readout = np.random.default_rng(0), Readout(32)
    together, apart = (allocate((Field("hidden", (32,)), *readout.fields), STREAMS) for _ in range(2))
    for step in range(50):
        hidden, error = np.tanh(rng.normal(size=(STREAMS, 32))), rng.normal(size=STREAMS).astype(np.float32)
        ages, learning = np.full(STREAMS, step + 1, np.float32), np.ones(STREAMS, bool)
        together["hidden"][:] = apart["hidden"][:] = hidden
        readout.learn(together, np.arange(STREAMS), error, ages, learning)
        for row in np.arange(STREAMS)[:, None]:
            readout.learn(apart, row, error[row], ages[row], learning[row])
    assert all(together[name].tobytes() == apart[name].tobytes() for name in together)
