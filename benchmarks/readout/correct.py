"""Corrections of the network's forecast that each stream learns online from its own errors.

A correction is linear in z, the network's hidden state and a constant: e ~ w . z, in units of the stream's bank. `Nlms`
is the normalised gradient (Haykin, Adaptive Filter Theory, ch. 6), `Rls` recursive least squares with forgetting (ch.
10). Errors are clipped at the usual one: a spike teaches no more than a usual sample, and what is learnt leans from the
mean error towards the median one, by which forecasts are judged.

Shape legend: S streams, Z entries of z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

CLIP = 1.0
"""Usual errors that a single one counts as at most."""
OUTLIER = 5.0
"""The same for the running errors themselves."""
PRIOR = 100.0
"""Weight of the start at no correction, in samples."""


class Correction(Protocol):
    """Online regression for S streams side by side."""

    def predict(self, z_SZ: Float64) -> Float64:
        """[S] expected error; changes nothing."""

    def learn(self, z_SZ: Float64, error_S: Float64, here_S: Float64) -> None:
        """Take in the error that came; where `here` is 0 there was none."""


class Nlms:
    """w += rate * (e - w . z) z / (1 + |z|^2)."""

    def __init__(self, streams: int, size: int, rate: float) -> None:
        self._rate = rate
        self._weights_SZ = np.zeros((streams, size))

    def predict(self, z_SZ: Float64) -> Float64:
        expected: Float64 = (self._weights_SZ * z_SZ).sum(1)
        return expected

    def learn(self, z_SZ: Float64, error_S: Float64, here_S: Float64) -> None:
        surprise = (error_S - self.predict(z_SZ)) * here_S
        self._weights_SZ += self._rate * (surprise / (1 + (z_SZ * z_SZ).sum(1)))[:, None] * z_SZ


class Rls:
    """Recursive least squares that forgets by `keep` a sample; P is the inverse of the weighted covariance of z."""

    def __init__(self, streams: int, size: int, keep: float) -> None:
        self._keep = keep
        self._weights_SZ = np.zeros((streams, size))
        self._p_SZZ = np.tile(np.eye(size) / PRIOR, (streams, 1, 1))

    def predict(self, z_SZ: Float64) -> Float64:
        expected: Float64 = (self._weights_SZ * z_SZ).sum(1)
        return expected

    def learn(self, z_SZ: Float64, error_S: Float64, here_S: Float64) -> None:
        pz_SZ = np.einsum("sij,sj->si", self._p_SZZ, z_SZ)
        gain_SZ = pz_SZ / (self._keep + (pz_SZ * z_SZ).sum(1))[:, None] * here_S[:, None]
        self._weights_SZ += gain_SZ * (error_S - self.predict(z_SZ))[:, None]
        shrunk = (self._p_SZZ - gain_SZ[:, :, None] * pz_SZ[:, None, :]) / np.where(here_S, self._keep, 1)[
            :, None, None
        ]
        # Without new directions P grows by forgetting alone; it is bounded by where it started.
        self._p_SZZ = shrunk / np.maximum(np.einsum("sii->si", shrunk).max(1) * PRIOR, 1)[:, None, None]


@dataclass(frozen=True, slots=True)
class Corrected:
    """Absolute errors [T, S] in units of s."""

    always_TS: Float64
    chosen_TS: Float64
    """The correction is used only where it has erred less lately than the network alone."""


def run(correction: Correction, z_TSZ: Float64, error_TS: Float64, mask_TS: Float64) -> Corrected:
    """Correct forecasts one after the other; `error_TS` is what the network alone left (value - forecast)."""
    always, chosen = np.zeros_like(error_TS), np.zeros_like(error_TS)
    streams = error_TS.shape[1]
    usual, plain, ours, seen = np.ones(streams), np.zeros(streams), np.zeros(streams), np.zeros(streams)
    for step in range(len(error_TS)):
        here = mask_TS[step]
        error, left = error_TS[step], error_TS[step] - correction.predict(z_TSZ[step])
        always[step] = np.abs(left)
        chosen[step] = np.where(ours < plain, np.abs(left), np.abs(error))
        seen += here
        pace = here * np.maximum(1 / 1000, 1 / np.maximum(seen, 1))
        most = CLIP * usual + 1e-9
        plain += pace * (np.minimum(np.abs(error), OUTLIER * most) - plain)
        ours += pace * (np.minimum(np.abs(left), OUTLIER * most) - ours)
        correction.learn(z_TSZ[step], np.clip(error, -most, most), here)
        usual += (
            here * np.maximum(1 / 200, 1 / np.maximum(seen, 1)) * (np.minimum(np.abs(error), OUTLIER * most) - usual)
        )
    return Corrected(always, chosen)
