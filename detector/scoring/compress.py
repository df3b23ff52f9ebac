"""The scale of `anomaly_score` beyond 1, the same for streams and groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def compressed(ratio_B: Float64) -> Float64:
    """[B] the ratio, above 1 replaced by 1 + its logarithm: far out, tails are heavier than exponential.

    >>> compressed(np.array([0.5, 1.0, np.e])).tolist()
    [0.5, 1.0, 2.0]
    """
    return np.where(ratio_B > 1.0, 1.0 + np.log(np.maximum(ratio_B, 1.0)), ratio_B)
