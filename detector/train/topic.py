"""Series from a range of a Kafka topic, decoded as by the daemon, in bounded memory.

The streams with the smallest hashes are kept, so that the choice depends on the range but not on the order of reading.
Of each stream, the newest samples are kept.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field

import numpy as np

from detector.config import load
from detector.decoders import make_decoder
from detector.errors import SourceError
from detector.models.windows import Float64, Report
from detector.protocols import Decoder
from detector.records import LARGEST_VALUE, Int64, Kind, Outcome, Partition, RawBatch, SampleBatch
from detector.series import SeriesIndex
from detector.streams.ordering import screen
from detector.train.files import Series, usable
from detector.train.options import TopicRange

_UNKNOWN, _REFUSED = -1, -2
_SPARE_HANDLES = 256
Identity = tuple[int, str, Partition]
"""(hash, name, partition), sorted by hash."""


@dataclass(slots=True)
class _Stream:
    """The kept samples of one stream."""

    times: list[Float64] = field(default_factory=list)
    values: list[Float64] = field(default_factory=list)
    count: int = 0
    counter: bool = False


@dataclass(slots=True)
class _Handles:
    """The series of one partition, and the slot where each is kept."""

    series: SeriesIndex = field(default_factory=SeriesIndex)
    slot_of: Int64 = field(default_factory=lambda: np.empty(0, np.int64))


class Collection:
    """Holds at most `max_streams` streams with at most twice `max_samples` samples each."""

    def __init__(self, max_streams: int, max_samples: int, max_future_seconds: float, *, raw_counters: bool) -> None:
        self.rejects = 0
        self.samples = 0
        self._max_streams = max_streams
        self._max_samples = max_samples
        self._max_future_seconds = max_future_seconds
        self._raw_counters = raw_counters
        self._partitions: dict[Partition, _Handles] = {}
        self._streams: dict[int, _Stream] = {}
        self._place: dict[int, tuple[Partition, int]] = {}
        """Slot -> (partition, handle)."""
        self._largest: list[tuple[int, int]] = []
        """Heap of (-hash, slot) of the kept streams."""
        self._names: dict[int, Identity] = {}
        self._next = 0

    def add(self, batch: RawBatch, decoder: Decoder) -> None:
        """Decode a batch and keep what belongs to the collection."""
        partition = (batch.topic, batch.partition)
        handles = self._partitions.setdefault(partition, _Handles())
        samples = decoder.decode(batch, handles.series)
        self.rejects += len(samples.rejects)
        self.samples += len(samples)
        good = np.flatnonzero(screen(samples, self._max_future_seconds) == Outcome.SCORED)
        self._keep(samples, good, self._slots(partition, handles, samples.series[good]))
        self._trim(handles)

    def series(self) -> list[Series]:
        """The kept series, sorted by name, with counters as rates."""
        found = []
        for slot, stream in self._streams.items():
            _, name, (topic, number) = self._names[slot]
            times, values = _newest(stream, self._max_samples)
            if stream.counter and not self._raw_counters:
                times, values = _rates(times, values)
            found.append(Series(f"{name} {topic}/{number}", times, values, 0))
        return sorted(found, key=lambda one: one.name)

    def _slots(self, partition: Partition, handles: _Handles, series_N: Int64) -> Int64:
        """[N] slot of each sample's stream; negative if the stream is not kept."""
        missing = handles.series.capacity - len(handles.slot_of)
        if missing > 0:
            handles.slot_of = np.concatenate((handles.slot_of, np.full(missing, _UNKNOWN)))
        for handle in np.unique(series_N[handles.slot_of[series_N] == _UNKNOWN]).tolist():
            handles.slot_of[handle] = self._admit(partition, handles, handle)
        return handles.slot_of[series_N]

    def _admit(self, partition: Partition, handles: _Handles, handle: int) -> int:
        name = str(handles.series.key(handle))
        digest = hashlib.blake2b(f"{partition}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8)
        rank = int.from_bytes(digest.digest())
        if len(self._streams) >= self._max_streams:
            if -self._largest[0][0] <= rank:
                return _REFUSED
            self._drop(heapq.heappop(self._largest)[1])
        slot, self._next = self._next, self._next + 1
        heapq.heappush(self._largest, (-rank, slot))
        self._streams[slot], self._names[slot] = _Stream(), (rank, name, partition)
        self._place[slot] = (partition, handle)
        return slot

    def _drop(self, slot: int) -> None:
        partition, handle = self._place.pop(slot)
        self._partitions[partition].slot_of[handle] = _REFUSED
        del self._streams[slot], self._names[slot]

    def _keep(self, samples: SampleBatch, good_N: Int64, slot_N: Int64) -> None:
        order = np.argsort(slot_N, kind="stable")
        order = order[slot_N[order] >= 0]
        edges = np.flatnonzero(np.diff(slot_N[order])) + 1
        for part in np.split(order, edges) if len(order) else ():
            stream = self._streams[int(slot_N[part[0]])]
            rows = good_N[part]
            stream.times.append(samples.times[rows])
            stream.values.append(samples.values[rows])
            stream.count += len(rows)
            stream.counter |= bool((samples.kinds[rows] == Kind.COUNTER).any())
            if stream.count > 2 * self._max_samples:
                times, values = _newest(stream, self._max_samples)
                stream.times, stream.values, stream.count = [times], [values], len(times)

    def _trim(self, handles: _Handles) -> None:
        """Forget the names of streams that are not kept, once there are many."""
        if len(handles.series) > 2 * self._max_streams + _SPARE_HANDLES:
            kept = np.flatnonzero(handles.slot_of >= 0)
            handles.series.retain(kept.tolist())
            handles.slot_of[handles.slot_of < 0] = _UNKNOWN


def _newest(stream: _Stream, count: int) -> tuple[Float64, Float64]:
    """The newest samples in time order; of several with the same time, the first that arrived."""
    times, first = np.unique(np.concatenate(stream.times), return_index=True)
    return times[-count:].copy(), np.concatenate(stream.values)[first][-count:]


def _rates(times: Float64, totals: Float64) -> tuple[Float64, Float64]:
    """Increase per second, without the samples at which a counter starts or restarts."""
    rises = np.diff(totals) >= 0
    rate = np.minimum(np.diff(totals) / np.diff(times), LARGEST_VALUE)
    return times[1:][rises], rate[rises]


def read_topic(wanted: TopicRange, report: Report | None = None) -> tuple[list[Series], dict[str, object]]:
    """(series, facts about them for the card). Raises ConfigError and SourceError."""
    from detector.sources.kafka.range import KafkaRange

    config = load(wanted.config)
    found = KafkaRange(config.kafka, wanted.topic, wanted.first, wanted.last)
    try:
        collection = Collection(
            wanted.max_streams,
            wanted.max_samples,
            config.streams.max_future_seconds,
            raw_counters=config.streams.counters == "raw",
        )
        decoder = make_decoder(config.decoder)
        for batch in found.batches(report):
            collection.add(batch, decoder)
    finally:
        found.close()
    if not collection.samples:
        raise SourceError(
            f"--topic: no record of {wanted.topic} in that range holds a sample: {collection.rejects} cannot be "
            f"decoded with decoder.type {config.decoder.type}"
        )
    series = usable(collection.series(), f"topic {wanted.topic}")
    facts = {**wanted.facts(), "samples_read": collection.samples, "undecodable_records": collection.rejects}
    return series, {**facts, "unreadable_ranges": len(found.quarantine.ranges)}
