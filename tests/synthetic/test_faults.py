"""Injected faults change the labelled steps and no others."""

import numpy as np
import pytest

from detector.synthetic import KINDS, inject


@pytest.mark.parametrize("kind", KINDS)
def test_fault_changes_only_its_steps(kind):
    clean = 20 + np.random.default_rng(0).normal(size=600)
    values = clean.copy()
    fault = inject(values, kind, 400, np.random.default_rng(1))
    assert (fault.kind, fault.start, fault.end) == (kind, 400, 400 + KINDS[kind][1])
    changed = values != clean
    assert changed[fault.start : fault.end].all()
    assert not changed[: fault.start].any()
    assert not changed[fault.end :].any()


@pytest.mark.parametrize("kind", ["spike", "dip", "level_shift", "variance_burst", "drift"])
def test_fault_is_large(kind):
    values = 20 + np.random.default_rng(0).normal(size=600)
    fault = inject(values, kind, 400, np.random.default_rng(1))
    assert np.abs(values[fault.start : fault.end] - 20).max() > 5


def test_fault_ends_with_its_stream():
    assert inject(np.ones(10), "drift", 8, np.random.default_rng(0)).end == 10


@pytest.mark.parametrize("start", [0, 10, -1])
def test_fault_outside_its_stream_is_an_error(start):
    with pytest.raises(ValueError, match="a fault cannot start at step"):
        inject(np.ones(10), "spike", start, np.random.default_rng(0))


def test_fault_in_a_constant_stream_is_visible():
    values = np.zeros(100)
    inject(values, "spike", 50, np.random.default_rng(0))
    assert values[50] > 0
