"""Per-stream state as named columns.

A component that keeps state per stream declares its `Field`s once; the stream table allocates them for all streams,
in blocks of 256 rows. A component receives the columns and the rows it may touch, reads with `column[rows]`, and writes
with `column[rows] = ...`; it owns no state itself. Rows are distinct within one call.

Shape legend used by components: B rows of one call, K entries of a field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from detector.series import SeriesKey

Entry = TypeVar("Entry", bound=np.generic)

BLOCK_ROWS = 256
"""Streams in a block: the unit of compute padding, snapshots and hand-over."""

Columns = Mapping[str, npt.NDArray[Any]]
"""Field name -> array [rows, *shape]."""
Rows = npt.NDArray[np.int64]
"""[B] distinct row numbers."""
Bool = npt.NDArray[np.bool_]
"""[B] yes or no."""


@dataclass(frozen=True, slots=True)
class Field:
    """One state column: its shape per stream, dtype, and initial value for a new stream."""

    name: str
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    initial: float = 0.0
    finite: bool = False
    """Never NaN or infinite; state that violates this is damaged."""

    @property
    def nbytes(self) -> int:
        """Bytes per stream."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class BlockState:
    """A copy of one block of a partition: everything known about its streams."""

    number: int
    """Index among the partition's blocks, from 0."""
    columns: dict[str, npt.NDArray[Any]]
    """Field name -> array [BLOCK_ROWS, *shape]; rows without a stream hold initial values."""
    keys: list[SeriesKey | None]
    """[BLOCK_ROWS] the stream of each row; None for a free row."""


def allocate(fields: Iterable[Field], rows: int) -> dict[str, npt.NDArray[Any]]:
    """Columns for `rows` new streams. Raises ValueError if two fields have the same name."""
    columns: dict[str, npt.NDArray[Any]] = {}
    for spec in fields:
        if spec.name in columns:
            raise ValueError(f"two state fields are named {spec.name!r}")
        columns[spec.name] = np.full((rows, *spec.shape), spec.initial, dtype=spec.dtype)
    return columns


def take(column: npt.NDArray[Entry], rows: Rows) -> npt.NDArray[Entry]:
    """`column[rows]`, for a column [rows, K] or the first entries of one; see `put`."""
    if column.flags.c_contiguous:
        return column.take(rows, axis=0)
    wide: npt.NDArray[Entry] = column.view(_wide(column))[:, 0][rows].view(column.dtype)
    return wide.reshape(len(rows), column.shape[1])


def put(column: npt.NDArray[Any], rows: Rows, values: npt.NDArray[Any]) -> None:
    """`column[rows] = values`, for a column [rows, K], or the first entries of one, and values of its dtype.

    Copies each row as one value, which takes a third to two thirds of the time numpy needs for K numbers.
    """
    if values.strides[1] != values.itemsize:
        values = np.ascontiguousarray(values)
    column.view(_wide(column))[:, 0][rows] = values.view(_wide(column))[:, 0]


def _wide(column: npt.NDArray[Any]) -> np.dtype[np.void]:
    return np.dtype((np.void, column.dtype.itemsize * column.shape[1]))


def reset(fields: Iterable[Field], columns: Columns, rows: Rows) -> None:
    """Reset `rows` to the initial values of a new stream."""
    for spec in fields:
        columns[spec.name][rows] = spec.initial
