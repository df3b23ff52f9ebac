"""Assigns each series to a partition of the internal topic (its lane) and packs samples into records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from detector.decoders.routed import pack, pack_series
from detector.protocols import Message
from detector.records import Int64, Outcome, SampleBatch
from detector.series import SeriesIndex, SeriesKey
from detector.streams.membership import group_key

RECORD_BYTES = 1 << 19
"""A record is not much larger than this; by default, brokers accept 1 MiB."""
_SAMPLE_BYTES = 32
SERIES_CHARACTERS = 512
"""Average length of the labels of a series; if they are longer, fewer series are known at a time."""
_UNKNOWN = -1


def lane_of(key: SeriesKey, lanes: int, group_by: Sequence[str] = ()) -> int:
    """Partition of a series, determined by its labels, the labels that streams are grouped by, and `lanes`.

    Members of a group are judged together, so they share a partition.

    >>> [lane_of(SeriesKey.of(name, {"host": "a"}), 8, group_by=["host"]) for name in ("cpu", "memory", "load")]
    [5, 5, 5]
    """
    placed = group_key(key, group_by) or key
    return int(placed.fingerprint[:16], 16) % lanes


class Lanes:
    """Remembers lane and packed labels of each series, and turns samples into records."""

    def __init__(self, lanes: int, max_series: int, group_by: Sequence[str] = ()) -> None:
        self.lanes = lanes
        self.group_by = tuple(group_by)
        self.max_series = max_series
        self.series = SeriesIndex()
        """Series of all input partitions."""
        self._lane: Int64 = np.empty(0, dtype=np.int64)
        self._packed: list[bytes] = []

    def records(self, samples: SampleBatch) -> Iterator[Message]:
        """The samples as records; samples of one lane keep their order."""
        lanes_N = self._of(samples.series)
        for lane in np.unique(lanes_N).tolist():
            picks = np.flatnonzero(lanes_N == lane)
            sizes = np.array([len(self._packed[handle]) for handle in samples.series[picks].tolist()]) + _SAMPLE_BYTES
            chunk_of = np.cumsum(sizes) // RECORD_BYTES
            for chunk in np.split(picks, np.flatnonzero(np.diff(chunk_of)) + 1):
                yield Message(None, self._record(samples, chunk), partition=lane)

    def trim(self, in_flight: Callable[[], Int64]) -> None:
        """Forget series, except those in flight, if there are too many or their labels are too long.

        Only then is `in_flight` called, which looks at every sample that waits.
        """
        if len(self.series) > self.max_series or self.series.characters > self.max_series * SERIES_CHARACTERS:
            self.series.retain(in_flight().tolist())
            self._lane[:] = _UNKNOWN
            self._packed = [b""] * len(self._lane)

    def _of(self, handles_N: Int64) -> Int64:
        missing = self.series.capacity - len(self._lane)
        if missing > 0:
            self._lane = np.concatenate((self._lane, np.full(max(missing, len(self._lane)), _UNKNOWN, dtype=np.int64)))
            self._packed += [b""] * (len(self._lane) - len(self._packed))
        lanes_N = self._lane[handles_N]
        new_N = lanes_N == _UNKNOWN
        if new_N.any():
            for handle in np.unique(handles_N[new_N]).tolist():
                key = self.series.key(handle)
                self._lane[handle], self._packed[handle] = lane_of(key, self.lanes, self.group_by), pack_series(key)
            lanes_N = self._lane[handles_N]
        return lanes_N

    def _record(self, samples: SampleBatch, picks: Int64) -> bytes:
        handles, which = np.unique(samples.series[picks], return_inverse=True)
        return pack(
            [self._packed[handle] for handle in handles.tolist()],
            which,
            samples.times[picks],
            samples.values[picks],
            samples.kinds[picks],
            np.flatnonzero(samples.outcomes[picks] == Outcome.GAP),
            samples.record_times[picks],
        )
