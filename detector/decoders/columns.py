"""The columns of a batch while its records are being read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from detector.decoders.general import Sample
from detector.decoders.identity import unpack
from detector.decoders.outcomes import outcomes_of
from detector.decoders.timestamps import Unit, seconds
from detector.errors import DecodeError
from detector.records import RawBatch, Reject, SampleBatch

MAX_RECORD_BYTES = 1 << 20
LABELS_PER_BYTE, LEAST_LABELS = 4, 4_096
"""Bounds the labels of a record: samples may share labels, so a few bytes could mean any number of them."""
MOST_SAMPLES = 1 << 16
"""In a record: it is processed between two polls, and each sample of one stream may take a millisecond or two."""
NO_NUMBERS = "no_numbers"
"""Reason for a record that is valid but holds no number, only texts for example."""

_DETAIL_CHARACTERS = 200


class Columns:
    """Lists that grow by one entry per sample; `finish` turns them into arrays."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.tags: list[int] = []
        self.times: list[float] = []
        self.values: list[float] = []
        self.gaps: list[int] = []
        """Positions in `values` where there is no value."""
        self.rejects: list[Reject] = []
        self._begun = self._labels = self._most_labels = 0

    def begin_record(self, size: int) -> None:
        """Start the next record, which has `size` bytes."""
        self._begun = len(self.values)
        self._labels, self._most_labels = 0, LEAST_LABELS + LABELS_PER_BYTE * size

    def end_record(self) -> None:
        """Raises DecodeError if the record has too many samples."""
        self._check_samples(0)

    def share(self, labels: int, samples: int) -> None:
        """Count `labels` shared by so many `samples`, which come next. Raises DecodeError if there are too many."""
        self._check_samples(samples)
        self._labels += labels * samples
        if self._labels > self._most_labels:
            raise DecodeError("labels", f"its samples have more than {self._most_labels} labels in total")

    def _check_samples(self, more: int) -> None:
        if len(self.values) - self._begun + more > MOST_SAMPLES:
            raise DecodeError("oversize", f"more than {MOST_SAMPLES} samples")

    def cut(self, size: int) -> None:
        """Remove all samples after the first `size`."""
        for column in (self.rows, self.tags, self.times, self.values):
            del column[size:]
        while self.gaps and self.gaps[-1] >= size:
            self.gaps.pop()

    def extend(self, row: int, samples: list[Sample]) -> None:
        """Add the samples of the record at `row`."""
        for tag, time, value in samples:
            if value is None:
                self.gaps.append(len(self.values))
                value = np.nan
            self.rows.append(row)
            self.tags.append(tag)
            self.times.append(time)
            self.values.append(value)

    def reject(self, batch: RawBatch, row: int, error: DecodeError) -> None:
        """Add the record at `row` to the dead letters."""
        self.rejects.append(
            Reject(
                topic=batch.topic,
                partition=batch.partition,
                offset=int(batch.offsets[row]),
                reason=error.reason,
                detail=error.detail[:_DETAIL_CHARACTERS],
                value=batch.values[row],
                key=batch.keys[row],
            )
        )

    def finish(self, batch: RawBatch, unit: Unit) -> SampleBatch:
        """The samples; those without a time get their record's."""
        rows = np.array(self.rows, dtype=np.int64)
        record_times = batch.record_times[rows]
        numbers = np.array(self.times, dtype=np.float64)
        times = seconds(numbers, unit)
        missing = np.isnan(numbers)
        if missing.any():
            times = np.where(missing, record_times, times)
        values = np.array(self.values, dtype=np.float64)
        series, kinds = unpack(self.tags)
        return SampleBatch(
            topic=batch.topic,
            partition=batch.partition,
            series=series,
            times=times,
            values=values,
            kinds=kinds,
            outcomes=outcomes_of(times, values, self.gaps),
            offsets=batch.offsets[rows],
            record_times=record_times,
            rejects=tuple(self.rejects),
        )


def checked(payload: bytes | None) -> bytes:
    """The record's bytes. Raises DecodeError if there are none, or too many."""
    if payload is None:
        raise DecodeError("tombstone", "a record without a value")
    if len(payload) > MAX_RECORD_BYTES:
        raise DecodeError("oversize", f"{len(payload)} bytes, more than {MAX_RECORD_BYTES}")
    return payload


def decode_records(batch: RawBatch, unit: Unit, read: Callable[[Columns, int, bytes], None]) -> SampleBatch:
    """Samples of all records. `read` adds those of one record; if it raises DecodeError, none of these counts."""
    columns = Columns()
    for row, payload in enumerate(batch.values):
        size = len(columns.values)
        try:
            found = checked(payload)
            columns.begin_record(len(found))
            read(columns, row, found)
            columns.end_record()
            if len(columns.values) == size:
                raise DecodeError(NO_NUMBERS, "contains no number")
        except DecodeError as exc:
            columns.cut(size)
            columns.reject(batch, row, exc)
    return columns.finish(batch, unit)
