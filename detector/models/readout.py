"""A correction of the shared network's forecast that each stream learns from its own errors.

The correction is linear in z, the network's top hidden state and a constant. Weights follow the normalised gradient
(Haykin, Adaptive Filter Theory, ch. 6), with everything in units of the stream's error s:

    e' = w . z                                     expected error of the network
    w += rate * (clip(e, -u, u) - e') z / (1 + |z|^2)

Errors are clipped at the usual one, u: a spike teaches no more than a usual sample, and the correction leans from the
mean error towards the median one, by which forecasts are judged. It is used only where its recent errors are smaller
than those of the network alone.

Shape legend: B rows of one call, H hidden size; the weights of a row are H for the hidden state, then the constant's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Bool, Columns, Field, Rows, put
from detector.stats.ewm import follow, warm_rate

Float32 = npt.NDArray[np.float32]

RATE = 0.1
CLIP = np.float32(1.0)
"""Most usual errors that a single error counts as."""
OUTLIER = np.float32(5.0)
"""The same for the update of the running errors."""
USUAL_RATE = 1 / 200
SKILL_RATE = 1 / 1000
LARGEST = np.float32(1e6)
LEAST = np.float32(1e-9)

ALONE, CORRECTED, USUAL = 0, 1, 2
"""Columns of the field `readout_errors`: running errors of the network alone and with the correction; usual error."""


class Readout:
    """The correction of every stream; computed row by row, so a stream's bits do not depend on others in the call."""

    def __init__(self, hidden_size: int, rate: float = RATE) -> None:
        """`hidden_size` is that of the network's top layer, whose state is the end of the field `hidden`."""
        self._size = hidden_size
        self._rate = np.float32(rate)
        self.fields = (
            Field("readout", (hidden_size + 1,), finite=True),
            Field("readout_errors", (3,), initial=1.0, finite=True),
        )

    def expected(self, state: Columns, rows: Rows, top_BH: Float32) -> Float32:
        """[B] expected error of the network's forecast, in units of s; 0 where the correction has not helped lately.

        `top_BH` is the top layer's hidden state from which the forecast was read.
        """
        errors = state["readout_errors"].take(rows, axis=0)
        own = _read(state["readout"].take(rows, axis=0), top_BH)
        return np.where(errors[:, CORRECTED] < errors[:, ALONE], own, np.float32(0))

    def learn(self, state: Columns, rows: Rows, error_B: Float32, age_B: Float32, learning_B: Bool) -> None:
        """Take in the error of the last corrected forecast (which includes `expected`), in units of s.

        `age_B` counts a row's judged forecasts, including this one. Rows where `learning_B` is false do not change.
        Must be called before the network's next step, which replaces `hidden`.
        """
        seen_BH = state["hidden"].take(rows, axis=0)[:, -self._size :]
        weights = state["readout"].take(rows, axis=0)
        errors = np.ascontiguousarray(state["readout_errors"].take(rows, axis=0).T)
        own = _read(weights, seen_BH)
        used = np.where(errors[CORRECTED] < errors[ALONE], own, np.float32(0))
        error = np.clip(error_B, -LARGEST, LARGEST) + used
        most = CLIP * errors[USUAL] + LEAST
        surprise = np.where(learning_B, np.clip(error, -most, most) - own, np.float32(0))
        # 1 + |z|^2; the constant in z adds another 1.
        step = self._rate * surprise / (2 + np.clip(np.vecdot(seen_BH, seen_BH), 0, LARGEST))
        weights[:, :-1] += step[:, None] * seen_BH
        weights[:, -1] += step
        put(state["readout"], rows, weights)
        missed = np.minimum(np.abs(np.stack((error, error - own, error))), OUTLIER * most)
        rates = np.stack([warm_rate(age_B, rate) for rate in (SKILL_RATE, SKILL_RATE, USUAL_RATE)])
        put(state["readout_errors"], rows, follow(errors, missed, np.where(learning_B, rates, np.float32(0))).T)


def _read(weights: Float32, top_BH: Float32) -> Float32:
    """[B] weights . z, as a separate product for every row, so its bits do not depend on other rows."""
    read: Float32 = np.clip(np.vecdot(weights[:, :-1], top_BH) + weights[:, -1], -LARGEST, LARGEST)
    return read
