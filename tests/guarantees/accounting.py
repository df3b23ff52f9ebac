"""Metrics that check the accounting: consumed is the sum of the outcomes at every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter

from detector.records import Partition
from detector.telemetry import Metrics


class AuditedMetrics(Metrics):
    """Fails at the first checkpoint at which a sample is missing or counted twice."""

    def observe_checkpoint(self, seconds: float, now: float, offsets: Mapping[Partition, int]) -> None:
        super().observe_checkpoint(seconds, now, offsets)
        consumed, outcomes = total(self.samples.consumed), total(self.samples.outcomes)
        assert consumed == outcomes, f"{consumed:.0f} consumed, {outcomes:.0f} accounted for"


def total(counter: Counter) -> float:
    """The sum over all labels."""
    return sum(sample.value for family in counter.collect() for sample in family.samples)
