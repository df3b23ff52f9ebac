"""A histogram that takes whole columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector


class ColumnHistogram(Collector):
    """Counts per bucket of arrays, one call a batch; `prometheus_client.Histogram` takes one value a call."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self.name = name
        self.documentation = documentation
        self._bounds = np.asarray(bounds, dtype=np.float64)
        if not (np.diff(self._bounds) > 0).all() or not np.isfinite(self._bounds).all():
            raise ValueError(f"{name}: bounds must be finite and rise")
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._lock = Lock()
        registry.register(self)

    def observe(self, values: npt.NDArray[np.float64]) -> None:
        """Count every finite value; NaN stands for "none", and an infinity would spoil the sum for ever."""
        known = values[np.isfinite(values)]
        # A bucket includes its upper bound, so a value that equals one belongs to that bucket.
        buckets = np.searchsorted(self._bounds, known, side="left")
        counts = np.bincount(buckets, minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._sum += float(known.sum())

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Name and kind, so that two metrics of one name are refused."""
        yield HistogramMetricFamily(self.name, self.documentation)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """One consistent reading."""
        with self._lock:
            cumulative = np.cumsum(self._counts).tolist()
            total = self._sum
        names = [*map(repr, self._bounds.tolist()), "+Inf"]
        yield HistogramMetricFamily(
            self.name, self.documentation, buckets=list(zip(names, cumulative, strict=True)), sum_value=total
        )
