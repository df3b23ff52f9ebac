"""Bytes to columns."""

from __future__ import annotations

from typing import Protocol

from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex


class Decoder(Protocol):
    """Turns the bytes of records into columns."""

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        """Samples of all records that can be read, and a `Reject` for each that cannot. No bytes make it raise.

        `series` is the index of the batch's partition; the handles in the result are from it.
        """
        ...
