"""A consumer's positions and the ends of its logs, as last reported. Nothing here asks a broker or waits.

The library's own `position` looks at all partitions for each one it is asked about, begins requests where a leader has
changed, and raises what an earlier request found, which only a poll should.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors

from detector.records import Partition


class Positions:
    """Positions in the partitions currently assigned to a consumer."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def assigned(self, partitions: Collection[Partition]) -> list[Any]:
        """Those of `partitions` that are assigned, as the library names them."""
        assigned = self._consumer.assignment()
        return [tp for tp in (TopicPartition(*partition) for partition in partitions) if tp in assigned]

    def at(self, tp: Any) -> int | None:
        """Offset of the next record to hand out, if known."""
        state = self._consumer._subscription.assignment.get(tp)
        if state is None or state.position is None:
            return None  # no longer ours, or not settled yet
        offset: int = state.position.offset
        return offset

    def epoch(self, tp: Any) -> int:
        """Leader epoch of the last record fetched."""
        epoch: int = self._consumer._subscription.assignment[tp].position.leader_epoch
        return epoch

    def lags(self) -> Mapping[Partition, int]:
        """Records between position and end, without partitions not heard of yet."""
        lags: dict[Partition, int] = {}
        for tp in self._consumer.assignment():
            position, end = self.at(tp), self._end(tp)
            if position is not None and end is not None:
                lags[tp.topic, tp.partition] = max(0, end - position)
        return lags

    def ends(self) -> Mapping[Partition, int]:
        """Offset after the last record of each partition, without partitions not heard of yet."""
        ends = {(tp.topic, tp.partition): self._end(tp) for tp in self._consumer.assignment()}
        return {partition: end for partition, end in ends.items() if end is not None}

    def _end(self, tp: Any) -> int | None:
        try:
            end: int | None = self._consumer.highwater(tp)
        except kafka_errors.KafkaError:
            return None
        return end
