"""Learned weights in a store: one blob per version and partition, named by the hash of its content.

The same name always has the same bytes, so writing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from detector.errors import StateDamaged
from detector.protocols import LearntWeights
from detector.state.format import seal, unseal

_NAME = re.compile(r"weights-([0-9a-f]{64})")


class WeightsHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header in front of the tensors."""

    sha256: str


def weights_name(sha256: str) -> str:
    """Name of the blob of these weights."""
    return f"weights-{sha256}"


def is_weights_name(text: str) -> bool:
    """True for names that `weights_name` makes."""
    return _NAME.fullmatch(text) is not None


def weights_sha256(name: str) -> str:
    """The hash in such a name."""
    return name.removeprefix("weights-")


def encode_weights(weights: LearntWeights) -> bytes:
    """The weights as bytes."""
    return seal(WeightsHeader(weights.sha256), weights.tensors)


def decode_weights(blob: bytes, sha256: str) -> LearntWeights:
    """Raises StateDamaged, StateNewer."""
    header, body = unseal(blob, WeightsHeader)
    tensors = bytes(body)
    if header.sha256 != sha256 or hashlib.sha256(tensors).hexdigest() != sha256:
        raise StateDamaged(f"does not hold the weights {sha256[:12]}")
    return LearntWeights(sha256, tensors)
