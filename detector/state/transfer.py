"""Puts snapshots into a store, or takes newer ones out, from outside a worker.

If interrupted at any moment, the partition has either its old or its new state in full, and a second run completes it.
"""

from __future__ import annotations

from collections.abc import Mapping

from detector.errors import StateMissing, StateOccupied
from detector.protocols import StateStore, Stored
from detector.state.manifest import manifest_offset
from detector.state.steps import complete
from detector.state.survey import Snapshot, Survey, at_offset, intact_names, survey


def put(stored: Stored, store: StateStore, *, at: int | None, force: bool, timeout_seconds: float) -> Snapshot:
    """Write the intact snapshots of a partition up to offset `at` (None: all) to `store`; return the one in effect.

    Other blobs of the partition in the store are deleted afterwards, if `force` allows it. Raises StateOccupied if it
    does not, StateMissing, StateDamaged, StateUnavailable.
    """
    found = survey(stored)
    chosen = at_offset(found, at)
    wanted = {name: stored.blobs[name] for name in intact_names(stored, found, up_to=chosen.offset)}
    there = complete(store.opening(stored.partition))
    if there and not force:
        offsets = sorted({offset for offset in map(manifest_offset, there) if offset is not None}, reverse=True)
        raise StateOccupied(
            f"{found.topic}/{found.partition}: there is state in the store, at offsets "
            f"{', '.join(map(str, offsets)) or 'unknown'}; --force replaces it"
        )
    partition = stored.partition
    for last in (False, True):  # manifests last: they make the state count, once all else is durable
        for name, blob in wanted.items():
            if (manifest_offset(name) is not None) == last and not _holds(there, name, blob):
                store.write(partition, name, blob)
        store.flush(timeout_seconds)
    _delete(store, stored, set(there) - set(wanted), timeout_seconds)
    return chosen


def revert_to(stored: Stored, store: StateStore, *, at: int | None, timeout_seconds: float) -> Snapshot:
    """Delete what is newer than the snapshot at offset `at` (None: the second newest intact one); return that one.

    Raises StateMissing, StateDamaged, StateUnavailable.
    """
    found = survey(stored)
    chosen = earlier(found, at)
    complete(store.opening(stored.partition))
    wanted = intact_names(stored, found, up_to=chosen.offset)
    _delete(store, stored, set(stored.blobs) - wanted, timeout_seconds)
    return chosen


def earlier(found: Survey, at: int | None) -> Snapshot:
    """The snapshot at offset `at`, or the second newest intact one. Raises StateMissing, StateDamaged."""
    if at is not None:
        return at_offset(found, at)
    intact = [snapshot for snapshot in found.snapshots if snapshot.damaged is None]
    if len(intact) < 2:
        raise StateMissing(f"{found.topic}/{found.partition}: there is no earlier intact snapshot")
    return intact[1]


def _delete(store: StateStore, stored: Stored, names: set[str], timeout_seconds: float) -> None:
    """Delete manifests first: from then on, nothing refers to the rest."""
    manifests = {name for name in names if manifest_offset(name) is not None}
    for some in (manifests, names - manifests):
        if some:
            store.delete(stored.partition, sorted(some))
            store.flush(timeout_seconds)


def _holds(there: Mapping[str, bytes], name: str, blob: bytes) -> bool:
    return name in there and there[name] == blob
