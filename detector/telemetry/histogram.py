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
    """Bucket counts of whole arrays, one call per batch; `prometheus_client.Histogram` takes one value per call."""

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
        """This metric, with its samples if given."""

    def describe(self) -> Iterator[Metric]:
        """Name and kind, so that the registry rejects duplicate names."""
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        """One consistent reading."""
        with self._lock:
            cumulative = np.cumsum(self._counts).tolist()
            total = self._sum
        names = [*map(repr, self._bounds.tolist()), "+Inf"]
        yield self._family(list(zip(names, cumulative, strict=True)), total)

    def _count(self, values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], float]:
        """Counts and sum of the finite values: NaN means "none", and an infinity would spoil the sum for good."""
        known = values[np.isfinite(values)]
        # A bucket includes its upper bound.
        buckets = np.searchsorted(self._bounds, known, side="left")
        return np.bincount(buckets, minlength=len(self._counts)), float(known.sum())


class ColumnHistogram(_Buckets):
    """A histogram of everything observed so far."""

    def observe(self, values: npt.NDArray[np.float64]) -> None:
        """Count every finite value."""
        counts, total = self._count(values)
        with self._lock:
            self._counts += counts
            self._sum += total

    def _family(self, buckets: list[tuple[str, int]] | None = None, total: float | None = None) -> Metric:
        return HistogramMetricFamily(self.name, self.documentation, buckets=buckets, sum_value=total)


class ColumnDistribution(_Buckets):
    """A gauge histogram: the distribution of the current values.

    Its counts may fall as well as rise. Buckets of several workers can be added up; quantiles could not.
    """

    def set(self, values: npt.NDArray[np.float64]) -> None:
        """Count every finite value, in place of all earlier ones."""
        counts, total = self._count(values)
        with self._lock:
            self._counts, self._sum = counts, total

    def _family(self, buckets: list[tuple[str, int]] | None = None, total: float | None = None) -> Metric:
        return GaugeHistogramMetricFamily(self.name, self.documentation, buckets=buckets, gsum_value=total)
