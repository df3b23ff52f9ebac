"""Sums over detections at every threshold at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector.records import Float64


class Curve(NamedTuple):
    """A sum as a step function of the threshold, with one entry per distinct score, highest first."""

    thresholds: Float64
    """Rows with score >= threshold are detections."""
    totals: Float64


def cumulate(scores: Float64, deltas: Float64) -> Curve:
    """Total of `deltas` whose score reaches the threshold, for every distinct score.

    >>> cumulate(np.array([1.0, 3.0, 1.0]), np.array([1.0, 10.0, 100.0])).totals.tolist()
    [10.0, 111.0]
    """
    order = np.argsort(-scores, kind="stable")
    ranked, totals = scores[order], np.cumsum(deltas[order])
    last = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, bool)
    return Curve(ranked[last], totals[last])


def at_least(curve: Curve, thresholds: Float64) -> Float64:
    """The curve's totals at other thresholds.

    >>> at_least(Curve(np.array([3.0, 1.0]), np.array([10.0, 111.0])), np.array([4.0, 2.0, 1.0])).tolist()
    [0.0, 10.0, 111.0]
    """
    steps = np.searchsorted(-curve.thresholds, -thresholds, side="right")
    return np.concatenate([[0.0], curve.totals])[steps]
