"""What a decoder can already tell about a sample: whether its time and value are usable at all."""

from __future__ import annotations

import numpy as np

from detector.decoders.timestamps import END_OF_TIME
from detector.records import LARGEST_VALUE, Float64, Outcome, Uint8


def outcomes_of(times: Float64, values: Float64, gaps: list[int]) -> Uint8:
    """Outcome of each sample [N]; `gaps` are the positions without a value, whose entry in `values` is NaN."""
    outcomes = np.zeros(len(values), dtype=np.uint8)
    fine = np.abs(values) <= LARGEST_VALUE
    if not fine.all():
        outcomes[~fine] = Outcome.OUT_OF_RANGE
        outcomes[~np.isfinite(values)] = Outcome.NOT_FINITE
        outcomes[gaps] = Outcome.GAP
    fine = (times >= 0) & (times < END_OF_TIME)
    if not fine.all():
        outcomes[~fine] = Outcome.BAD_TIMESTAMP
    return outcomes
