"""What survives when state is forgotten: open alerts that subscribers know of, so that they hear of the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from detector.columns import BLOCK_ROWS, BlockState, Field, allocate
from detector.errors import StateDamaged
from detector.records import ALERT_SENT, AlertStatus, Partition
from detector.state.block import StoredBlock, read_block
from detector.state.history import Complain, Restored
from detector.state.manifest import block_offset, decode_manifest, manifest_offset
from detector.state.steps import Steps

_KEPT = ("alert.", "stream.", "rate.")
"""Prefixes of the columns that an open alert and its end depend on; these are the same for every model."""
_STATUS, _HELD = "alert.status", "alert.held"


def emptied(
    blobs: Mapping[str, bytes], partition: Partition, fields: tuple[Field, ...], complain: Complain
) -> Steps[Restored | None]:
    """The newest readable snapshot with streams started over, and only those with an open alert that was sent.

    Its offset and event time stay. One step per block; `complain` is called for what is damaged. Raises StateNewer.
    """
    for name in sorted((name for name in blobs if manifest_offset(name) is not None), reverse=True):
        try:
            manifest = decode_manifest(blobs[name], partition)
        except StateDamaged as exc:
            complain(name, exc)
            continue
        blocks = []
        for place in enumerate(manifest.blocks):
            yield
            blocks.append(_read(blobs, partition, place, fields, complain))
        any_alert = any(key is not None for block in blocks for key in block.keys)
        return Restored(manifest, blocks if any_alert else [], (), [])
    return None


def _read(
    blobs: Mapping[str, bytes],
    partition: Partition,
    place: tuple[int, str],
    fields: tuple[Field, ...],
    complain: Complain,
) -> BlockState:
    number, name = place
    try:
        if name not in blobs:
            raise StateDamaged(f"{name} is missing")
        return renewed(read_block(blobs[name], partition, number, block_offset(name)), fields)
    except StateDamaged as exc:
        complain(name, exc)
        return _new(number, fields)


def renewed(stored: StoredBlock, fields: tuple[Field, ...]) -> BlockState:
    """The block with rows only for streams and groups with an open alert that subscribers know of."""
    fresh = _new(stored.block.number, fields)
    kept = [spec for spec in fields if spec.name.startswith(_KEPT)]
    if not _has_all(stored, kept):
        return fresh
    theirs = stored.block.columns
    sent = (theirs[_STATUS] == AlertStatus.FIRING) & np.isin(theirs[_HELD], ALERT_SENT)
    sent &= np.array([key is not None for key in stored.block.keys])
    for spec in kept:
        fresh.columns[spec.name][sent] = theirs[spec.name][sent]
    return replace(fresh, keys=[key if known else None for key, known in zip(stored.block.keys, sent, strict=True)])


def _new(number: int, fields: tuple[Field, ...]) -> BlockState:
    return BlockState(number, allocate(fields, BLOCK_ROWS), [None] * BLOCK_ROWS)


def _has_all(stored: StoredBlock, kept: list[Field]) -> bool:
    """Whether these columns are stored in their current form."""
    theirs = {spec.name: (spec.shape, spec.dtype) for spec in stored.fields}
    return all(theirs.get(spec.name) == (tuple(spec.shape), str(np.dtype(spec.dtype))) for spec in kept)
