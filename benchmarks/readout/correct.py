"""Corrections of the network's forecast that a stream could learn online: the daemon's own, and what else was tried.

The daemon's is `detector.models.readout`. `LeastSquares` is recursive least squares with forgetting (Haykin, Adaptive
Filter Theory, ch. 10) on the same inputs, its errors clipped and its use chosen by the same rules.

Shape legend: T steps, S streams, Z entries of z.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Field, allocate
from detector.models.readout import CLIP, LEAST, OUTLIER, SKILL_RATE, USUAL_RATE, Readout

Float64 = npt.NDArray[np.float64]

PRIOR = 100.0
"""Weight of the start at no correction, in samples."""


def daemon(z_TSZ: Float64, error_TS: Float64, mask_TS: Float64, rate: float) -> Float64:
    """[T, S] absolute errors left by the daemon's correction at a rate; `error_TS` is what the network alone left.

    `z_TSZ` ends with the constant.
    """
    streams, size = z_TSZ.shape[1:]
    readout, rows = Readout(size - 1, rate), np.arange(streams)
    state = allocate((Field("hidden", (size - 1,)), *readout.fields), streams)
    left, seen = np.zeros_like(error_TS), np.zeros(streams, np.float32)
    for step, here in enumerate(mask_TS > 0):
        state["hidden"][:] = z_TSZ[step, :, :-1]
        offered = (error_TS[step] - readout.expected(state, rows, state["hidden"])).astype(np.float32)
        left[step] = np.abs(offered)
        seen += here
        readout.learn(state, rows, offered, np.maximum(seen, 1), here)
    return left


class LeastSquares:
    """Recursive least squares that forgets by `keep` a sample; P is the inverse of the weighted covariance of z."""

    def __init__(self, streams: int, size: int, keep: float) -> None:
        self._keep = keep
        self._weights_SZ = np.zeros((streams, size))
        self._p_SZZ = np.tile(np.eye(size) / PRIOR, (streams, 1, 1))

    def predict(self, z_SZ: Float64) -> Float64:
        """[S] expected error; changes nothing."""
        expected: Float64 = (self._weights_SZ * z_SZ).sum(1)
        return expected

    def learn(self, z_SZ: Float64, error_S: Float64, here_S: Float64) -> None:
        """Take in the error that came; where `here` is 0 there was none."""
        pz_SZ = np.einsum("sij,sj->si", self._p_SZZ, z_SZ)
        gain_SZ = pz_SZ / (self._keep + (pz_SZ * z_SZ).sum(1))[:, None] * here_S[:, None]
        self._weights_SZ += gain_SZ * (error_S - self.predict(z_SZ))[:, None]
        shrunk = (self._p_SZZ - gain_SZ[:, :, None] * pz_SZ[:, None, :]) / np.where(here_S, self._keep, 1)[
            :, None, None
        ]
        # Without new directions P grows by forgetting alone; it is bounded by where it started.
        self._p_SZZ = shrunk / np.maximum(np.einsum("sii->si", shrunk).max(1) * PRIOR, 1)[:, None, None]


def least_squares(z_TSZ: Float64, error_TS: Float64, mask_TS: Float64, keep: float) -> Float64:
    """[T, S] absolute errors left by recursive least squares; arguments as for `daemon`."""
    streams, size = z_TSZ.shape[1:]
    correction, left = LeastSquares(streams, size, keep), np.zeros_like(error_TS)
    usual, alone, corrected, seen = np.ones(streams), np.ones(streams), np.ones(streams), np.zeros(streams)
    for step, here in enumerate(mask_TS):
        error = error_TS[step]
        without, with_it = np.abs(error), np.abs(error - correction.predict(z_TSZ[step]))
        left[step] = np.where(corrected < alone, with_it, without)
        seen += here
        most = CLIP * usual + LEAST
        correction.learn(z_TSZ[step], np.clip(error, -most, most), here)
        pace = here * np.maximum(SKILL_RATE, 1 / np.maximum(seen, 1))
        alone += pace * (np.minimum(without, OUTLIER * most) - alone)
        corrected += pace * (np.minimum(with_it, OUTLIER * most) - corrected)
        pace = here * np.maximum(USUAL_RATE, 1 / np.maximum(seen, 1))
        usual += pace * (np.minimum(without, OUTLIER * most) - usual)
    return left
