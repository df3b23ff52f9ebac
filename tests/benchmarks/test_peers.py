"""Peers are worth comparing with only if they are causal, and find what is plain to see."""

import numpy as np
import pytest

from benchmarks.peers import stream

WITHOUT_PACKAGES = [
    stream.novelty,
    stream.novelties,
    stream.windowed_gaussian,
    stream.ewma_z,
    stream.persistence,
    stream.spectral_residual,
]


@pytest.fixture
def values():
    values = 10 + np.random.default_rng(1).normal(size=400)
    values[300] = 30
    return values


@pytest.mark.parametrize("peer", WITHOUT_PACKAGES, ids=lambda peer: peer.__name__)
def test_a_score_uses_nothing_after_its_row(peer: stream.Peer, values):
    np.testing.assert_allclose(peer(values)[:350], peer(values[:350]), rtol=1e-9)


@pytest.mark.parametrize("peer", WITHOUT_PACKAGES, ids=lambda peer: peer.__name__)
def test_a_plain_spike_scores_highest(peer: stream.Peer, values):
    # The first rows, when little has been seen, do not count in any benchmark either.
    assert 100 + peer(values)[100:].argmax() in (300, 301)


def test_columns_are_scored_as_if_each_were_alone(values):
    both = np.stack((values, values[::-1]), axis=1)
    np.testing.assert_array_equal(stream.novelty_columns(both)[:, 1], stream.novelty(values[::-1].copy()))
