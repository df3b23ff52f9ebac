"""Histograms that take whole columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeHistogramMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class _Buckets(Collector, ABC):
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

    @abstractmethod
    def _family(self, buckets: list[tuple[str, int]] | None = None, total: float | None = None) -> Metric:
        """This metric, with its samples if there are any."""

    def describe(self) -> Iterator[Metric]:
        """Name and kind, so that two metrics of one name are refused."""
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        """One consistent reading."""
        with self._lock:
            cumulative = np.cumsum(self._counts).tolist()
            total = self._sum
        names = [*map(repr, self._bounds.tolist()), "+Inf"]
        yield self._family(list(zip(names, cumulative, strict=True)), total)

    def _count(self, values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], float]:
        """Counts and sum of every finite value; NaN stands for "none", and an infinity would spoil the sum for ever."""
        known = values[np.isfinite(values)]
        # A bucket includes its upper bound, so a value that equals one belongs to that bucket.
        buckets = np.searchsorted(self._bounds, known, side="left")
        return np.bincount(buckets, minlength=len(self._counts)), float(known.sum())


class ColumnHistogram(_Buckets):
    """A histogram: what was ever observed."""

    def observe(self, values: npt.NDArray[np.float64]) -> None:
        """Count every finite value."""
        counts, total = self._count(values)
        with self._lock:
            self._counts += counts
            self._sum += total

    def _family(self, buckets: list[tuple[str, int]] | None = None, total: float | None = None) -> Metric:
        return HistogramMetricFamily(self.name, self.documentation, buckets=buckets, sum_value=total)


class ColumnDistribution(_Buckets):
    """A gauge histogram: how what is there now is spread over the buckets.

    Its counts fall as well as rise. Buckets of several workers add up, which quantiles would not.
    """

    def set(self, values: npt.NDArray[np.float64]) -> None:
        """Every finite value, in the place of all that was there before."""
        counts, total = self._count(values)
        with self._lock:
            self._counts, self._sum = counts, total

    def _family(self, buckets: list[tuple[str, int]] | None = None, total: float | None = None) -> Metric:
        return GaugeHistogramMetricFamily(self.name, self.documentation, buckets=buckets, gsum_value=total)
