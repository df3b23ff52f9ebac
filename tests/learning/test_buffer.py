from __future__ import annotations

import numpy as np
import pytest

from detector.columns import allocate
from detector.learning.buffer import LAST, NONE, UNIT, WIDTH, Buffer
from detector.learning.tuning import windows_of
from detector.models.features import FEATURES
from detector.models.naive import FIELDS, Bank
from detector.models.windows import record
from tests.learning.fleet import START, values


def fill(buffer: Buffer, values_ST: np.ndarray, rows: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Streams live in `rows` of a table of `size` and learn all their values."""
    state, bank = allocate(FIELDS, size), Bank()
    for step, column in enumerate(values_ST.T):
        bank.learn(state, rows, np.full(len(rows), START + 60.0 * step), column)
        buffer.take(state, rows)
    return state


def test_buffer_equals_what_training_sees_of_the_same_streams() -> None:
    wave_ST, rows = values(5, 300), np.array([3, 7, 20, 33, 40])
    buffer = Buffer(8, 64)
    buffer.choose(rows)
    fill(buffer, wave_ST, rows, 50)
    slots = [int(np.flatnonzero(buffer.row_S == row)[0]) for row in rows]
    seen = windows_of([buffer.stretch(slot) for slot in slots], buffer.samples)
    times = np.broadcast_to(START + 60.0 * np.arange(300), wave_ST.shape)
    wanted = record(times, wave_ST)
    np.testing.assert_array_equal(seen.inputs_TSF.numpy(), wanted.inputs_TSF[-64:].numpy())
    np.testing.assert_allclose(seen.target_TS[:-1].numpy(), wanted.target_TS[-64:-1].numpy(), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(seen.mask_TS.numpy(), wanted.mask_TS[-64:].numpy())


def test_memory_follows_from_the_settings_not_from_the_fleet() -> None:
    buffer = Buffer(16, 32)
    rows = np.arange(2_000)
    buffer.choose(rows)
    fill(buffer, np.random.default_rng(0).normal(size=(2_000, 50)), rows, 2_048)
    assert buffer.nbytes == 16 * 32 * WIDTH * 4
    assert (buffer.length_S == 32).all()
    assert (buffer.row_S != NONE).all()


def test_choice_of_streams_depends_on_rows_only_and_is_stable() -> None:
    one, other = Buffer(32, 4), Buffer(32, 4)
    one.choose(np.arange(1_000))
    for count in (10, 400, 1_000):
        other.choose(np.random.default_rng(count).permutation(count))
    assert set(one.row_S) == set(other.row_S)
    before = set(one.row_S)
    one.choose(np.arange(1_100))
    assert len(before & set(one.row_S)) >= 24
    assert max(before) > 500 > min(before), "of the whole fleet, not of its beginning"


def test_reused_row_has_no_samples_of_its_former_stream() -> None:
    buffer, rows = Buffer(4, 16), np.arange(3)
    buffer.choose(rows)
    fill(buffer, values(3, 10), rows, 4)
    fill(buffer, values(3, 5, seed=9), rows, 4)  # their rows were given to new streams
    assert buffer.length_S[:3].tolist() == [5, 5, 5]
    buffer.forget(np.array([1]))
    assert sorted(buffer.length_S.tolist()) == [0, 0, 5, 5]
    buffer.choose(np.array([0]))
    assert buffer.row_S.tolist().count(NONE) == 3


def test_oldest_samples_are_replaced_and_new_ones_counted() -> None:
    buffer, rows = Buffer(1, 8), np.array([0])
    buffer.choose(rows)
    state = fill(buffer, np.arange(20.0)[None, :], rows, 1)
    assert buffer.stretch(0)[:, LAST].tolist() == [12, 13, 14, 15, 16, 17, 18, 19]
    assert (buffer.stretch(0)[:, UNIT] > 0).all()
    assert buffer.fresh_S.tolist() == [20]
    buffer.take(state, rows)
    assert buffer.stretch(0)[-1, :FEATURES].tolist() == buffer.stretch(0)[-2, :FEATURES].tolist()


@pytest.mark.parametrize("rows", [np.array([], np.int64), np.array([5])])
def test_rows_that_were_not_chosen_are_not_stored(rows: np.ndarray) -> None:
    buffer, state = Buffer(2, 4), allocate(FIELDS, 8)
    buffer.choose(np.array([1]))
    buffer.take(state, rows)
    assert buffer.taken_S.tolist() == [0, 0]
