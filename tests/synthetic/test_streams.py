"""Synthetic streams: reproducible, finite, of every family, at any step."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from detector.synthetic import FAMILIES, streams

Float64 = npt.NDArray[Any]


@pytest.mark.parametrize("step_seconds", [1.0, 60.0, 3600.0])
def test_every_family_is_finite_and_most_streams_move(step_seconds):
    drawn = streams(2, 4 * len(FAMILIES), 500, step_seconds)
    assert np.isfinite(drawn.values_ST).all()
    assert (drawn.values_ST.std(axis=1) > 0).mean() > 0.8
    assert set(drawn.families) == set(FAMILIES)


def test_seed_determines_the_streams():
    one, same, other = (streams(seed, 30, 100, 60.0, gaps=0.5) for seed in (1, 1, 2))
    assert one.values_ST.tobytes() == same.values_ST.tobytes()
    assert one.values_ST.tobytes() != other.values_ST.tobytes()


def test_families_can_be_chosen():
    drawn = streams(1, 5, 50, 60.0, families=["counts", "utilisation"])
    assert drawn.families == ("counts", "utilisation") * 2 + ("counts",)


def test_gaps_have_no_value():
    assert not np.isnan(streams(1, 60, 800, 60.0).values_ST).any()
    missing = np.isnan(streams(1, 60, 800, 60.0, gaps=0.5).values_ST).any(axis=1)
    assert 0.2 < missing.mean() < 0.8


def test_without_events_levels_do_not_shift():
    calm, eventful = (
        streams(1, 200, 1500, 300.0, families=["shifting"], events=events).values_ST for events in (False, True)
    )

    def moved(values: Float64) -> Float64:
        halves = np.split(values, 2, axis=1)
        return np.abs(halves[0].mean(1) - halves[1].mean(1)) / values.std(1)

    assert np.median(moved(calm)) < 0.5 * np.median(moved(eventful))
