"""What the network sees of a stream: 31 dimensionless numbers, in units of the locally best expert's error.

Shape legend: B rows of one call, K experts, F features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.models.naive import EXPERT_NAMES, EXPERTS, PROFILE_NAMES, Slot, unit

Float32 = npt.NDArray[np.float32]

FEATURE_NAMES = (
    *(f"offset.{name}" for name in EXPERT_NAMES),
    *(f"error.{name}" for name in EXPERT_NAMES),
    "value",
    "step",
    "unit",
    "gap",
    "age",
    "repeats",
    *(f"fit.{name}" for name in PROFILE_NAMES),
)
FEATURES = len(FEATURE_NAMES)
OFFSETS = slice(0, EXPERTS)
ERROR_LOGS = slice(EXPERTS, 2 * EXPERTS)

LARGEST = 1e6


def squash(ratio: Float32) -> Float32:
    """asinh, computed with the logarithm, which has a vector kernel; ratios are clipped to a million.

    >>> float(squash(np.float32([1.0]))[0])  # doctest: +ELLIPSIS
    0.88137...
    """
    size = np.minimum(np.abs(ratio), np.float32(LARGEST))
    root = size * size
    root += np.float32(1)
    root = np.sqrt(root)
    root += size
    squashed: Float32 = np.copysign(np.log(root), ratio)
    return squashed


def features(bank: Float32) -> tuple[Float32, Float32]:
    """([F, B] inputs of the network, [B] unit s) after the bank has learned a sample."""
    with np.errstate(over="ignore", under="ignore"):
        scale = unit(bank)
        per_unit = np.float32(1) / scale
        floor = bank[Slot.FLOOR]
        wide = bank[Slot.DEVIATION] + floor
        inputs = np.empty((FEATURES, bank.shape[1]), np.float32)
        inputs[OFFSETS] = squash((bank[Slot.EXPERTS] - bank[Slot.LAST]) * per_unit)
        inputs[ERROR_LOGS] = np.log(np.minimum((bank[Slot.ERRORS] + floor) * per_unit, np.float32(LARGEST)))
        small = inputs[2 * EXPERTS :]
        small[0] = squash((bank[Slot.LAST] - bank[Slot.MEAN]) / wide)
        small[1] = squash(bank[Slot.STEP] * per_unit)
        small[2] = np.log(np.clip(scale / wide, np.float32(1 / LARGEST), np.float32(LARGEST)))
        small[3] = bank[Slot.GAP]
        small[4] = np.log(bank[Slot.AGE]) * np.float32(0.2)
        small[5] = bank[Slot.REPEATS]
        small[6:] = 1 - np.minimum(bank[Slot.FIT] / wide, np.float32(2))
        return inputs, scale
