"""The snapshot of one block of 256 streams: all columns of its rows as safetensors, and the series of each row."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as save_tensors

from detector.columns import BLOCK_ROWS, BlockState, Field
from detector.errors import StateDamaged, StateForeign
from detector.records import UNKNOWN_LINEAGE, Lineage, Partition
from detector.series import SeriesKey
from detector.state.format import seal, unseal

Fingerprint = Mapping[str, str]
"""What the bits of the state depend on besides the records: weights, builds, instruction set, threads."""
_MAX_TENSORS_HEADER_BYTES = 1 << 20
_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bool": "BOOL",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
}  # fmt: skip


class Layout(msgspec.Struct, frozen=True, array_like=True):
    """How a column is stored."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class _Tensor(msgspec.Struct, frozen=True):
    """An entry of a safetensors header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class BlockHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header in front of the columns."""

    topic: str
    partition: int
    number: int
    offset: int
    """The next record to read: the state includes everything before it."""
    leader_epoch: int
    """-1 if unknown."""
    topic_id: str
    """Empty if unknown."""
    fingerprint: dict[str, str]
    fields: list[Layout]
    keys: list[tuple[int, tuple[tuple[str, str], ...]]]
    """(row, labels)."""


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block as it was stored, whatever columns this version has."""

    offset: int
    """Offset of the snapshot that wrote it."""
    fields: tuple[Field, ...]
    block: BlockState


def layout(fields: Iterable[Field]) -> list[Layout]:
    """How these fields are stored."""
    return [Layout(spec.name, str(np.dtype(spec.dtype)), tuple(spec.shape)) for spec in fields]


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all blocks with the same fields have in common."""

    layout: list[Layout]
    head: bytes
    """The safetensors header: everything before the columns."""
    order: tuple[str, ...]
    """Names of the columns, in the order of their bytes."""
    kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]]
    """Name -> dtype and shape of the column."""


@lru_cache(maxsize=8)
def _frame(fields: tuple[Field, ...]) -> _Frame:
    """How the library lays out a block of these fields. Cached: it takes six times as long as joining the columns."""
    columns = {spec.name: np.zeros((BLOCK_ROWS, *spec.shape), spec.dtype) for spec in fields}
    body = save_tensors(columns)
    places = sorted((start, spec.name) for spec, start in _places(memoryview(body), fields))
    order = tuple(name for _, name in places)
    return _Frame(layout(fields), body[: places[0][0]], order, _kinds(columns))


def _kinds(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    return {name: (column.dtype, column.shape) for name, column in columns.items()}


def encode_block(
    block: BlockState,
    fields: Iterable[Field],
    partition: Partition,
    offset: int,
    fingerprint: Fingerprint,
    lineage: Lineage = UNKNOWN_LINEAGE,
) -> bytes:
    """The block as it is after the last record before `offset`. Raises ValueError if its columns are not `fields`."""
    frame = _frame(tuple(fields))
    header = BlockHeader(
        topic=partition[0],
        partition=partition[1],
        number=block.number,
        offset=offset,
        leader_epoch=lineage.leader_epoch,
        topic_id=lineage.topic_id,
        fingerprint=dict(fingerprint),
        fields=frame.layout,
        keys=[(row, key.labels) for row, key in enumerate(block.keys) if key is not None],
    )
    if _kinds(block.columns) != frame.kinds:
        raise ValueError("the columns of the block differ from the fields")
    return seal(header, frame.head, *(np.ascontiguousarray(block.columns[name]).data for name in frame.order))


def decode_block(
    blob: bytes,
    fields: tuple[Field, ...],
    partition: Partition,
    number: int,
    required: Fingerprint,
    offset: int | None = None,
) -> BlockState:
    """The block of that number, if it is intact, has the columns `fields`, and its fingerprint is as `required`.

    `offset`: see `_opened`. Raises StateDamaged, StateForeign, StateNewer.
    """
    header, body = _opened(blob, partition, number, offset)
    if header.fields != layout(fields):
        raise StateForeign(f"made with other state columns: {_differences(header.fields, layout(fields))}")
    theirs = {key: value for key, value in header.fingerprint.items() if key in required}
    if theirs != dict(required):
        raise StateForeign(difference(theirs, required))
    columns = _columns(body, fields)
    return BlockState(number, columns, _keys(header))


def read_block(blob: bytes, partition: Partition, number: int, offset: int | None = None) -> StoredBlock:
    """The block of that number with the columns that it declares; `offset`: see `_opened`.

    Raises StateDamaged, StateNewer.
    """
    header, body = _opened(blob, partition, number, offset)
    if not all(entry.dtype in _DTYPES and all(size > 0 for size in entry.shape) for entry in header.fields):
        raise StateDamaged("its columns have an unknown type")
    fields = tuple(Field(entry.name, entry.shape, entry.dtype) for entry in header.fields)
    return StoredBlock(header.offset, fields, BlockState(number, _columns(body, fields), _keys(header)))


def _opened(blob: bytes, partition: Partition, number: int, offset: int | None) -> tuple[BlockHeader, memoryview]:
    """Header and columns of a block that was written at `offset`, if that is known. Raises StateDamaged, StateNewer."""
    header, body = unseal(blob, BlockHeader)
    if (header.topic, header.partition, header.number) != (*partition, number):
        raise StateDamaged(f"holds block {header.number} of {header.topic}/{header.partition}")
    if offset is not None and header.offset != offset:
        raise StateDamaged(f"holds the block as of offset {header.offset}, not {offset}")
    return header, body


def _keys(header: BlockHeader) -> list[SeriesKey | None]:
    keys: list[SeriesKey | None] = [None] * BLOCK_ROWS
    for row, labels in header.keys:
        if not 0 <= row < BLOCK_ROWS or keys[row] is not None:
            raise StateDamaged(f"names row {row} of {BLOCK_ROWS}, or names it twice")
        keys[row] = SeriesKey(labels)
    if len({key for key in keys if key is not None}) != len(header.keys):
        raise StateDamaged("contains a stream twice")
    return keys


def difference(theirs: Fingerprint, ours: Fingerprint) -> str:
    """The differences between two fingerprints, for people."""
    names = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
    return ", ".join(
        f"{name}: state has {theirs.get(name, 'none')}, this process has {ours.get(name, 'none')}" for name in names
    )


def _differences(theirs: list[Layout], ours: list[Layout]) -> str:
    odd = sorted({entry.name for entry in theirs} ^ {entry.name for entry in ours})
    changed = sorted({a.name for a in theirs for b in ours if a.name == b.name and a != b})
    return ", ".join(odd + changed) or "the order of columns"


def _columns(body: memoryview, fields: tuple[Field, ...]) -> dict[str, npt.NDArray[Any]]:
    """Views into the body, after its names, dtypes, shapes and places were checked against the fields."""
    columns = {}
    for spec, start in _places(body, fields):
        count = BLOCK_ROWS * int(np.prod(spec.shape, dtype=np.int64))
        column = np.frombuffer(body, spec.dtype, count, start).reshape((BLOCK_ROWS, *spec.shape))
        if spec.finite and not np.isfinite(column).all():
            raise StateDamaged(f"column {spec.name} holds NaN or infinity")
        columns[spec.name] = column
    return columns


def _places(body: memoryview, fields: tuple[Field, ...]) -> Iterator[tuple[Field, int]]:
    """Where in the body each field's column begins, according to the safetensors header."""
    if len(body) < 8:
        raise StateDamaged("has no columns")
    (header_bytes,) = struct.unpack_from("<Q", body)
    if header_bytes > min(len(body) - 8, _MAX_TENSORS_HEADER_BYTES):
        raise StateDamaged("the header of its columns is longer than the block")
    first = 8 + header_bytes
    try:
        described = msgspec.json.decode(bytes(body[8:first]), type=dict[str, _Tensor])
    except (ValueError, RecursionError) as exc:
        raise StateDamaged(f"the header of its columns is not valid ({exc})") from exc
    if described.keys() != {spec.name for spec in fields}:
        raise StateDamaged("its columns are not those of its header")
    for spec in fields:
        tensor = described[spec.name]
        start, end = tensor.data_offsets
        if tensor.dtype != _DTYPES[str(np.dtype(spec.dtype))] or tensor.shape != [BLOCK_ROWS, *spec.shape]:
            raise StateDamaged(f"column {spec.name} is {tensor.dtype} {tensor.shape}")
        if end - start != spec.nbytes * BLOCK_ROWS or not 0 <= start <= end <= len(body) - first:
            raise StateDamaged(f"column {spec.name} is outside the block")
        yield spec, first + start
