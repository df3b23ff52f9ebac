"""The manifest of a snapshot: which blocks make up a partition's state at one offset.

A block that did not change since an older snapshot is named again, not written again. Names are never used twice, so no
worker, not even one that lost its partition, can overwrite what another wrote.
"""

from __future__ import annotations

import math
import re

import msgspec

from detector.errors import StateDamaged
from detector.records import Lineage, Partition, partition_name
from detector.state.format import seal, unseal
from detector.state.weights import is_weights_name

_MANIFEST = re.compile(r"manifest-(\d{20})-[0-9a-z]+")
_NAME = re.compile(r"(manifest|block)-(\d{20})-[0-9a-z-]+")


class Votes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a partition's event time needs to continue besides its value; absent from formats 1 and 2."""

    wait: int = 0
    refused: int = 0
    since: float = 0.0
    young: bool = False


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """State of one partition at one offset."""

    topic: str
    partition: int
    offset: int
    """The next record to read: every block includes all records before it and no others."""
    watermark: float | None
    """Event time of the partition, unix seconds; None before its first sample."""
    fingerprint: dict[str, str]
    blocks: list[str]
    """Names of the blocks in the order of their numbers."""
    topic_id: str = ""
    leader_epoch: int = -1
    weights: list[str] = []
    """Names of the learned weights that records from `offset` on are forecast with, and of those before them. Empty if
    these are the configured ones, which `fingerprint` identifies."""
    votes: Votes = Votes()

    @property
    def lineage(self) -> Lineage:
        """The log that `offset` belongs to; unknown in format 1."""
        return Lineage(self.topic_id, self.leader_epoch)


def manifest_name(offset: int, writer: str) -> str:
    """Name of a manifest; names sort in the order of offsets."""
    return f"manifest-{offset:020d}-{writer}"


def block_name(offset: int, number: int, writer: str) -> str:
    """Name of block `number` as it is at `offset`."""
    return f"block-{offset:020d}-{number:06d}-{writer}"


def is_name(text: str) -> bool:
    """True for names of manifests, blocks and weights: they are safe as file names."""
    return _NAME.fullmatch(text) is not None or is_weights_name(text)


def manifest_offset(name: str) -> int | None:
    """Offset of the manifest of that name; None for any other name."""
    found = _MANIFEST.fullmatch(name)
    return int(found[1]) if found else None


def block_offset(name: str) -> int | None:
    """Offset of the block of that name; None for any other name."""
    found = _NAME.fullmatch(name)
    return int(found[2]) if found and found[1] == "block" else None


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as bytes."""
    return seal(manifest)


def decode_manifest(blob: bytes, partition: Partition) -> Manifest:
    """Raises StateDamaged, StateNewer."""
    manifest, body = unseal(blob, Manifest)
    if len(body) or (manifest.topic, manifest.partition) != partition or manifest.offset < 0:
        raise StateDamaged(f"is not a manifest of {partition_name(partition)}")
    if manifest.watermark is not None and not math.isfinite(manifest.watermark):
        raise StateDamaged("its watermark is not finite")
    if min(manifest.votes.wait, manifest.votes.refused) < 0:
        raise StateDamaged("its votes on event time are not valid")
    if not all(map(is_name, manifest.blocks)) or len(set(manifest.blocks)) != len(manifest.blocks):
        raise StateDamaged("the names of its blocks are not valid")
    if not all(map(is_weights_name, manifest.weights)) or len(set(manifest.weights)) != len(manifest.weights):
        raise StateDamaged("the names of its weights are not valid")
    return manifest
