"""What a store holds of a partition: its snapshots and their blocks, each read and checked as by a restore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from detector.errors import StateDamaged, StateMissing, StateNewer
from detector.protocols import Stored
from detector.series import SeriesKey
from detector.state.block import StoredBlock, read_block
from detector.state.manifest import Manifest, block_offset, decode_manifest, manifest_offset
from detector.state.weights import decode_weights, weights_sha256


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a snapshot."""

    number: int
    name: str
    bytes: int
    offset: int | None
    """Offset of the snapshot that wrote it; None if it cannot be read."""
    streams: int
    damaged: str | None
    """What is wrong with it; None if it is intact."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot of a partition."""

    name: str
    offset: int
    written_at: float
    """Unix time, by the store's clock."""
    newest_sample: float | None
    """Event time; None if there was no sample yet, or it cannot be read."""
    streams: int
    bytes: int
    model: str | None
    learnt_weights: tuple[str, ...]
    """Hashes of weights learned from this partition's streams: those in use, then those before them."""
    topic_id: str
    leader_epoch: int
    fingerprint: dict[str, str]
    """What the last bits of its state depend on."""
    blocks: tuple[Block, ...]
    damaged: str | None
    """The first thing that is wrong with it; None if it is intact."""


@dataclass(frozen=True, slots=True)
class Survey:
    """One partition of the input."""

    topic: str
    partition: int
    snapshots: tuple[Snapshot, ...]
    """Newest first."""
    other_blobs: int
    """How many blobs no intact snapshot needs: of a checkpoint under way, or garbage that its worker will delete."""

    @property
    def newest_intact(self) -> Snapshot | None:
        """The newest snapshot that can be restored."""
        return next((snapshot for snapshot in self.snapshots if snapshot.damaged is None), None)


def survey(stored: Stored) -> Survey:
    """Survey a partition. Reads every blob that a snapshot names."""
    names = sorted((name for name in stored.blobs if manifest_offset(name) is not None), reverse=True)
    blocks: dict[tuple[int, str], Block] = {}
    snapshots = tuple(_snapshot(stored, name, blocks) for name in names)
    found = Survey(*stored.partition, snapshots, 0)
    return replace(found, other_blobs=len(set(stored.blobs) - intact_names(stored, found)))


def intact_names(stored: Stored, found: Survey, up_to: int | None = None) -> set[str]:
    """Names of the blobs of all intact snapshots, or of those up to an offset."""
    names = set()
    for snapshot in found.snapshots:
        if snapshot.damaged is None and (up_to is None or snapshot.offset <= up_to):
            manifest = decode_manifest(_blob(stored, snapshot.name), stored.partition)
            names |= {snapshot.name, *manifest.blocks, *manifest.weights}
    return names


def streams(stored: Stored, snapshot: Snapshot) -> Iterator[tuple[SeriesKey, int, StoredBlock]]:
    """Every stream of a snapshot: its key, its row in the block, and the block. Raises StateDamaged."""
    for block in snapshot.blocks:
        read = read_block(_blob(stored, block.name), stored.partition, block.number, block_offset(block.name))
        for row, key in enumerate(read.block.keys):
            if key is not None:
                yield key, row, read


def at_offset(found: Survey, offset: int | None) -> Snapshot:
    """The newest intact snapshot, or the one at an offset. Raises StateMissing, StateDamaged."""
    where = f"{found.topic}/{found.partition}"
    if not found.snapshots:
        raise StateMissing(f"{where}: there is no snapshot")
    offsets = ", ".join(str(snapshot.offset) for snapshot in found.snapshots)
    if offset is None:
        if found.newest_intact is None:
            raise StateMissing(f"{where}: there is no intact snapshot; those at these offsets are damaged: {offsets}")
        return found.newest_intact
    for snapshot in found.snapshots:
        if snapshot.offset == offset and snapshot.damaged is None:
            return snapshot
    if any(snapshot.offset == offset for snapshot in found.snapshots):
        raise StateDamaged(f"{where}: the snapshot at offset {offset} is damaged")
    raise StateMissing(f"{where}: there is no snapshot at offset {offset}; there are some at {offsets}")


def _snapshot(stored: Stored, name: str, known: dict[tuple[int, str], Block]) -> Snapshot:
    written_at = stored.written_at[name]
    try:
        blob = _blob(stored, name)
        manifest = decode_manifest(blob, stored.partition)
    except (StateDamaged, StateNewer) as exc:
        offset = manifest_offset(name) or 0
        return Snapshot(name, offset, written_at, None, 0, 0, None, (), "", -1, {}, (), str(exc))
    blocks = []
    for place in enumerate(manifest.blocks):
        if place not in known:
            known[place] = _block(stored, *place)
        blocks.append(known[place])
    faults = [f"{block.name}: {block.damaged}" for block in blocks if block.damaged]
    return Snapshot(
        name=name,
        offset=manifest.offset,
        written_at=written_at,
        newest_sample=manifest.watermark,
        streams=sum(block.streams for block in blocks),
        bytes=len(blob) + sum(block.bytes for block in blocks),
        model=manifest.fingerprint.get("model"),
        learnt_weights=tuple(map(weights_sha256, manifest.weights)),
        topic_id=manifest.topic_id,
        leader_epoch=manifest.leader_epoch,
        fingerprint=manifest.fingerprint,
        blocks=tuple(blocks),
        damaged=next(iter(faults + _weights_faults(stored, manifest)), None),
    )


def _block(stored: Stored, number: int, name: str) -> Block:
    try:
        blob = _blob(stored, name)
    except StateDamaged as exc:
        return Block(number, name, 0, None, 0, str(exc))
    try:
        read = read_block(blob, stored.partition, number, block_offset(name))
    except (StateDamaged, StateNewer) as exc:
        return Block(number, name, len(blob), None, 0, str(exc))
    taken = sum(key is not None for key in read.block.keys)
    return Block(number, name, len(blob), read.offset, taken, None)


def _weights_faults(stored: Stored, manifest: Manifest) -> list[str]:
    faults = []
    for name in manifest.weights:
        try:
            decode_weights(_blob(stored, name), weights_sha256(name))
        except (StateDamaged, StateNewer) as exc:
            faults.append(f"{name}: {exc}")
    return faults


def _blob(stored: Stored, name: str) -> bytes:
    try:
        return stored.blobs[name]
    except KeyError:
        raise StateDamaged("is missing") from None
