"""Between the stream table and the store: what is durable of each partition, what to write, and what to delete.

A snapshot is the state of a partition at one offset. It takes effect with its manifest, which names its blocks; blocks
that did not change since the last snapshot are named again. Two snapshots are kept, the older in case the newer turns
out to be damaged.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from structlog.typing import FilteringBoundLogger

from detector.errors import StateDamaged
from detector.protocols import LearntWeights, StateStore, WeightsInUse
from detector.records import Lineage, Partition, partition_name
from detector.state.block import Fingerprint, encode_block
from detector.state.foreign import resumable
from detector.state.history import Generation, Restored, unreferenced
from detector.state.manifest import Manifest, Votes, block_name, encode_manifest, manifest_name
from detector.state.steps import Steps
from detector.state.weights import encode_weights, weights_name
from detector.streams.event_time import EventTime
from detector.streams.table import StreamTable

KEPT_GENERATIONS = 2
DELETED_A_STEP = 8


@dataclass(slots=True)
class _Durable:
    """What the store holds of one of our partitions."""

    generations: list[Generation] = field(default_factory=list)
    """Newest last."""
    garbage: set[str] = field(default_factory=set)
    """Blobs to delete once the next offset is committed, including those written for a cut that was given up."""
    repeated_to: int | None = None
    """An earlier owner may have sent alerts of records before this offset; None while that is unknown."""


@dataclass(slots=True)
class Cut:
    """The state of one partition at `offset`, on its way to the store."""

    partition: Partition
    offset: int
    lineage: Lineage
    event_time: EventTime
    numbers: list[int]
    """Numbers of the blocks that changed."""
    names: list[str]
    """Names of all blocks, by number."""
    manifest: str
    """Name of the manifest."""
    weights: tuple[LearntWeights, ...] = ()
    """Learned weights that records from `offset` on are forecast with, and those before them."""
    swaps: bool = False
    """The weights change: no record from `offset` on may be processed until the snapshot is durable."""
    durable: bool = False
    written: set[str] = field(default_factory=set)
    """Names of the blobs handed to the store."""


class Snapshots:
    """Writes and restores the partitions of one stream table. Raises StateError."""

    def __init__(
        self,
        store: StateStore,
        table: StreamTable,
        fingerprint: Fingerprint,
        on_foreign: str,
        log: FilteringBoundLogger,
        weights: WeightsInUse | None = None,
    ) -> None:
        """`on_foreign` is explained in `state/foreign.py`.

        Without `weights`, every stream is forecast with the configured ones, whatever was learned.
        """
        self.store = store
        self.table = table
        self.fingerprint = fingerprint
        self.on_foreign = on_foreign
        self.log = log
        self.weights = weights
        self.blocks_written = 0
        self.bytes_written = 0
        self.damaged = 0
        self._durable: dict[Partition, _Durable] = {}

    def restore(self, partition: Partition) -> Steps[Manifest | None]:
        """Fill the table with the partition's newest snapshot, if any; its manifest says where to resume.

        Only the last step changes the table.
        """
        blobs = yield from self.store.opening(partition)
        restored = yield from self._newest(blobs, partition)
        self._durable[partition] = durable = _Durable()
        if restored is None:
            durable.garbage = set(blobs)
            return None
        durable.generations = restored.generations
        durable.garbage = unreferenced(blobs, restored.generations)
        event_time = _event_time(restored.manifest)
        if restored.blocks or event_time != EventTime():
            self.table.restore(partition, event_time, restored.blocks)
        if not restored.generations:  # none of these blocks is stored
            self.table.cancel_cut(partition, range(len(restored.blocks)))
        if self.weights is not None:
            self.weights.use(partition, restored.weights)
        elif restored.weights:
            self.log.warning("learned weights are not used, learning.mode is off", partition=partition_name(partition))
        return restored.manifest

    def forget(self, partition: Partition) -> None:
        """Forget a partition that is no longer ours; what is stored of it stays."""
        self._durable.pop(partition, None)
        if self.weights is not None:
            self.weights.forget(partition)

    def note_ends(self, positions: Mapping[Partition, int], ends: Mapping[Partition, int]) -> None:
        """Note where logs end: an earlier owner may have read as far as an end reported after the restore.

        An end reported before the first record may be older than that.
        """
        for partition in positions.keys() & ends.keys() & self._durable.keys():
            durable, end = self._durable[partition], ends[partition]
            if durable.repeated_to is not None:
                durable.repeated_to = min(durable.repeated_to, end)
            elif not durable.generations or positions[partition] > durable.generations[-1].offset:
                durable.repeated_to = end

    def swaps(self, positions: Mapping[Partition, int]) -> bool:
        """Whether a cut here could give a partition other weights."""
        return any(self._swaps(partition, offset) for partition, offset in positions.items())

    def _swaps(self, partition: Partition, offset: int) -> bool:
        """Not before a partition's first snapshot: committing its offset again proves that the partition is ours.

        Nor among records that an earlier owner may have read: their alerts may have been sent, and must not change.
        """
        durable = self._durable.get(partition)
        if self.weights is None or durable is None or not durable.generations:
            return False
        if durable.repeated_to is None or offset < durable.repeated_to:
            return False
        moved = durable.generations[-1].offset != offset
        return moved and self.weights.upcoming(partition) != self.weights.current(partition)

    @contextmanager
    def cut(
        self, positions: Mapping[Partition, int], lineages: Mapping[Partition, Lineage], *, swap: bool
    ) -> Iterator[list[Cut]]:
        """Fix the state of these partitions, which must include exactly the records before the positions.

        `lineages` says which logs the positions belong to. With `swap`, cuts name proposed weights from here on.

        What is not settled when the context ends is part of the next cut again, under other names.
        """
        cuts = self._cut(positions, lineages, swap)
        try:
            yield cuts
        finally:
            for cut in cuts:
                if not cut.durable:
                    self.table.cancel_cut(cut.partition, cut.numbers)
                    durable = self._durable[cut.partition]
                    durable.garbage |= unreferenced(cut.written, durable.generations)

    def _cut(self, positions: Mapping[Partition, int], lineages: Mapping[Partition, Lineage], swap: bool) -> list[Cut]:
        cuts, this = [], secrets.token_hex(6)
        for partition, offset in positions.items():
            durable = self._durable.setdefault(partition, _Durable())
            last = durable.generations[-1] if durable.generations else None
            lineage = lineages[partition]
            if last is not None and (last.offset, last.topic_id) == (offset, lineage.topic_id):
                continue
            numbers = self.table.cut(partition)
            names = list(last.blocks) if last else []
            names += [""] * (self.table.blocks_of(partition) - len(names))
            for number in numbers:
                names[number] = block_name(offset, number, this)
            event_time, manifest = self.table.event_time(partition), manifest_name(offset, this)
            cut = Cut(partition, offset, lineage, event_time, numbers, names, manifest)
            cut.swaps = swap and self._swaps(partition, offset)
            if self.weights is not None:
                cut.weights = self.weights.upcoming(partition) if cut.swaps else self.weights.current(partition)
            cuts.append(cut)
        return cuts

    def write_blocks(self, cut: Cut) -> Iterator[bool]:
        """Hand the changed blocks to the store, and weights that it does not hold yet; one step per block."""
        for weights in cut.weights if cut.swaps else ():
            self._write(cut, weights_name(weights.sha256), encode_weights(weights))
        for number in cut.numbers:
            block = self.table.take(cut.partition, number)
            blob = encode_block(block, self.table.fields, cut.partition, cut.offset, self.fingerprint, cut.lineage)
            self._write(cut, cut.names[number], blob)
            self.blocks_written += 1
            self.bytes_written += len(blob)
            yield True

    def write_manifest(self, cut: Cut) -> None:
        """Hand over the manifest, which makes the blocks a snapshot; all of them must be acknowledged first."""
        topic, number = cut.partition
        time = cut.event_time
        manifest = Manifest(
            topic,
            number,
            cut.offset,
            time.newest if math.isfinite(time.newest) else None,
            dict(self.fingerprint),
            cut.names,
            cut.lineage.topic_id,
            cut.lineage.leader_epoch,
            [weights_name(weights.sha256) for weights in cut.weights],
            votes=Votes(*time[1:]),
        )
        blob = encode_manifest(manifest)
        self._write(cut, cut.manifest, blob)
        self.bytes_written += len(blob)

    def _write(self, cut: Cut, name: str, blob: bytes) -> None:
        cut.written.add(name)
        self.store.write(cut.partition, name, blob)

    def settle(self, cut: Cut) -> None:
        """Make this the newest snapshot, as its manifest is acknowledged."""
        cut.durable = True
        durable = self._durable[cut.partition]
        names = tuple(weights_name(weights.sha256) for weights in cut.weights)
        this = Generation(cut.offset, cut.manifest, tuple(cut.names), names, cut.lineage.topic_id)
        # After a step back in the log, snapshots that lie ahead are of another history.
        before = [generation for generation in durable.generations if generation.offset < cut.offset]
        kept = [*before, this][-KEPT_GENERATIONS:]
        durable.garbage |= set[str]().union(*(one.names for one in durable.generations))
        durable.garbage = unreferenced(durable.garbage, kept)
        durable.generations = kept
        if cut.swaps and self.weights is not None:
            self.weights.use(cut.partition, cut.weights)

    def proven(self, cuts: Iterable[Cut]) -> dict[Partition, int]:
        """For partitions that swap weights: the offset of the last snapshot, which was committed before."""
        return {cut.partition: self._durable[cut.partition].generations[-1].offset for cut in cuts if cut.swaps}

    def clean(self, committed: Iterable[Partition]) -> Iterator[bool]:
        """Delete what the kept snapshots do not need, a few blobs per step.

        The partitions' offsets were just committed, so they are ours. Should one have another owner by the next step,
        that worker's snapshots do not need these blobs either, since they build on ours.
        """
        for partition in committed:
            durable = self._durable.get(partition)
            if durable is None:
                continue
            names = sorted(durable.garbage)
            for first in range(0, len(names), DELETED_A_STEP):
                some = names[first : first + DELETED_A_STEP]
                self.store.delete(partition, some)
                durable.garbage.difference_update(some)
                yield True

    def _newest(self, blobs: Mapping[str, bytes], partition: Partition) -> Steps[Restored | None]:
        where = partition_name(partition)

        def complain(name: str, exc: StateDamaged) -> None:
            self.damaged += 1
            self.log.error("snapshot damaged, trying the one before", partition=where, name=name, error=str(exc))

        fields, fingerprint = self.table.fields, self.fingerprint
        return resumable(blobs, partition, fields, fingerprint, self.on_foreign, complain, self.log)


def _event_time(manifest: Manifest) -> EventTime:
    if manifest.watermark is None:
        return EventTime()
    return EventTime(manifest.watermark, *msgspec.structs.astuple(manifest.votes))
