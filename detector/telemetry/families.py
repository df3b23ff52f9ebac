"""Makes the daemon's metrics: one prefix, one registry, labels with a bounded number of values."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from detector.records import Partition
from detector.telemetry.histogram import ColumnDistribution, ColumnHistogram

PREFIX = "detector_"
PARTITION = ("topic", "partition")
MAX_WORDS = 32
"""Values that an open-ended label takes before any further ones become `other`."""


class Families:
    """Makes metrics in one registry. Names come without the prefix; counters also without `_total`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """A number that only rises."""
        return Counter(PREFIX + name, documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        """A number that is set."""
        return Gauge(PREFIX + name, documentation, labels, registry=self.registry)

    def histogram(self, name: str, documentation: str, bounds: Sequence[float]) -> Histogram:
        """A distribution of rare events."""
        return Histogram(PREFIX + name, documentation, buckets=bounds, registry=self.registry)

    def column_histogram(self, name: str, documentation: str, bounds: Sequence[float]) -> ColumnHistogram:
        """A distribution of values that come in columns."""
        return ColumnHistogram(PREFIX + name, documentation, bounds, self.registry)

    def column_distribution(self, name: str, documentation: str, bounds: Sequence[float]) -> ColumnDistribution:
        """A distribution of the current values, set as a column."""
        return ColumnDistribution(PREFIX + name, documentation, bounds, self.registry)


class BoundedWords:
    """Lets the first `MAX_WORDS` words through, to keep a label bounded whoever invents the words.

    >>> words = BoundedWords()
    >>> len({words(f"reason {n}") for n in range(1000)})
    33
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, word: str) -> str:
        if word not in self._seen:
            if len(self._seen) >= MAX_WORDS:
                return "other"
            self._seen.add(word)
        return word


def partition_labels(partition: Partition) -> dict[str, str]:
    """(topic, partition) as labels."""
    return dict(zip(PARTITION, map(str, partition), strict=True))
