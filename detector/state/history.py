"""The snapshots that a store holds of one partition. The newest is restored, or an older one if it is damaged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from detector.columns import BlockState, Field
from detector.errors import StateDamaged, StateForeign
from detector.protocols import LearntWeights
from detector.records import Partition, partition_name
from detector.state.block import Fingerprint, decode_block, difference
from detector.state.manifest import Manifest, block_offset, decode_manifest, manifest_offset
from detector.state.steps import Steps
from detector.state.weights import decode_weights, weights_sha256

Complain = Callable[[str, StateDamaged], None]


@dataclass(frozen=True, slots=True)
class Generation:
    """A snapshot in a store: the names that must be kept as long as it may be needed."""

    offset: int
    manifest: str
    blocks: tuple[str, ...]
    weights: tuple[str, ...] = ()
    topic_id: str = ""
    """Id of the topic whose log the offset belongs to; empty if unknown."""

    @property
    def names(self) -> set[str]:
        """All blobs that it consists of."""
        return {self.manifest, *self.blocks, *self.weights}


@dataclass(frozen=True, slots=True)
class Restored:
    """The state of a partition at an offset, and which snapshots the store holds."""

    manifest: Manifest
    blocks: list[BlockState]
    weights: tuple[LearntWeights, ...]
    """The learned weights that its streams are forecast with, and those before them."""
    generations: list[Generation]
    """The restored one last, preceded by the one that could stand in for it, if any."""


def newest(
    blobs: Mapping[str, bytes],
    partition: Partition,
    fields: tuple[Field, ...],
    required: Fingerprint,
    complain: Complain,
) -> Steps[Restored | None]:
    """The intact snapshot with the highest offset, or None if there are no snapshots; one step per blob.

    `complain` is called for each damaged one. A snapshot is foreign if its fingerprint is not as `required`.

    Raises StateDamaged if there are snapshots but none is intact, StateForeign, StateNewer.
    """
    names = sorted((name for name in blobs if manifest_offset(name) is not None), reverse=True)
    for position, name in enumerate(names):
        try:
            manifest = decode_manifest(blobs[name], partition)
            theirs = {key: value for key, value in manifest.fingerprint.items() if key in required}
            if theirs != dict(required):
                raise StateForeign(difference(theirs, required))
            blocks = []
            for number, block in enumerate(manifest.blocks):
                yield
                blocks.append(decode_block(_blob(blobs, block), fields, partition, number, {}, block_offset(block)))
            weights = []
            for one in manifest.weights:
                yield
                weights.append(decode_weights(_blob(blobs, one), weights_sha256(one)))
        except StateDamaged as exc:
            complain(name, exc)
            continue
        before = _before(blobs, partition, names[position + 1 :])
        this = _generation(name, manifest)
        return Restored(manifest, blocks, tuple(weights), [*before, this])
    if names:
        raise StateDamaged(
            f"{partition_name(partition)}: none of its {len(names)} snapshots is intact; "
            "remove them to start over at the committed offset"
        )
    return None


def unreferenced(blobs: Collection[str], generations: Collection[Generation]) -> set[str]:
    """The blobs that none of the generations needs."""
    return set(blobs).difference(*(generation.names for generation in generations))


def _before(blobs: Mapping[str, bytes], partition: Partition, names: list[str]) -> list[Generation]:
    for name in names:
        try:
            manifest = decode_manifest(blobs[name], partition)
        except StateDamaged:
            continue
        if blobs.keys() >= {*manifest.blocks, *manifest.weights}:
            return [_generation(name, manifest)]
    return []


def _generation(name: str, manifest: Manifest) -> Generation:
    return Generation(manifest.offset, name, tuple(manifest.blocks), tuple(manifest.weights), manifest.topic_id)


def _blob(blobs: Mapping[str, bytes], name: str) -> bytes:
    try:
        return blobs[name]
    except KeyError:
        raise StateDamaged(f"{name} is missing") from None
