"""Gauges of streams chosen by name: the newest value, what was expected, and the score.

No other metric has a label that names a stream. The number of streams shown is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from threading import Lock
from typing import NamedTuple

import numpy as np
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from detector.columns import Rows
from detector.config.telemetry import ShownStreams as Settings
from detector.records import Float64, Partition
from detector.series import SeriesKey
from detector.telemetry.families import PARTITION, PREFIX, Families

QUANTITIES = {
    "stream_value": "Newest value of a stream that telemetry.streams names; the rate of a counter.",
    "stream_expected": "The value that was expected instead.",
    "stream_lower": "Lower bound of the expected band.",
    "stream_upper": "Upper bound of the expected band.",
    "stream_anomaly_score": "anomaly_score of that value; above 1 is anomalous.",
    "stream_sample_timestamp_seconds": "Timestamp of that value.",
}
LABELS = ("stream", "fingerprint", *PARTITION)
"""With the fingerprint, because two names may read the same: `cpu{host="a"}` may also be a name without labels."""
LEAST_SECONDS = 10.0
"""Pause between two choices, at least."""
LARGEST_SHARE = 0.01
"""Share of the time that choosing may take; it lengthens the pause when there are very many streams."""

Named = tuple[Partition, int, SeriesKey]
"""A stream, with the row that holds its state."""


class _Shown(NamedTuple):
    key: SeriesKey
    labels: tuple[str, ...]
    """In the order of `LABELS`."""


class ShownStreams(Collector):
    """Chooses streams from time to time; in between, the worker's thread reports samples while other threads read."""

    def __init__(self, make: Families) -> None:
        """Nothing is shown until `follow`."""
        self._settings = Settings()
        self._lock = Lock()
        self._by_row: dict[int, _Shown] = {}
        self._is_shown = np.zeros(0, dtype=np.bool_)
        self._newest: dict[_Shown, tuple[float, ...]] = {}
        self._choose_at = -np.inf
        self._chosen_of: object = None
        make.registry.register(self)

    def follow(self, settings: Settings) -> bool:
        """Show the streams that these patterns match; returns whether there are patterns at all."""
        self._settings = settings
        return bool(settings.match)

    def choose(self, streams: Callable[[], Iterable[Named]], version: object, now: Callable[[], float]) -> None:
        """Choose the streams again if the `version` of the set has changed and the last choice was long enough ago."""
        began = now()
        if not self._settings.match or version == self._chosen_of or began < self._choose_at:
            return
        wanted = ((partition, row, key) for partition, row, key in streams() if self._is_wanted(str(key)))
        found = sorted(wanted, key=lambda stream: (str(stream[2]), stream[0], stream[2].labels))[: self._settings.most]
        by_row = {row: _shown(partition, key) for partition, row, key in found}
        is_shown = np.zeros(max(by_row, default=-1) + 1, dtype=np.bool_)
        is_shown[list(by_row)] = True
        with self._lock:
            self._by_row, self._is_shown = by_row, is_shown
            self._newest = {shown: self._newest[shown] for shown in by_row.values() if shown in self._newest}
        self._chosen_of = version
        self._choose_at = now() + max(LEAST_SECONDS, (now() - began) / LARGEST_SHARE)

    def see(self, rows: Rows, quantities: tuple[Float64, ...], key_of: Callable[[int], SeriesKey]) -> None:
        """Note a sample of each of these rows' streams; `quantities` are [B], in the order of `QUANTITIES`."""
        picked = np.flatnonzero(rows < len(self._is_shown))
        picked = picked[self._is_shown[rows[picked]]]
        if not len(picked):
            return
        found = zip(rows[picked].tolist(), *(quantity[picked].tolist() for quantity in quantities), strict=True)
        with self._lock:
            for row, *numbers in found:
                shown = self._by_row[row]
                if shown.key == key_of(row):  # the row may belong to another stream by now
                    self._newest[shown] = tuple(numbers)

    def describe(self) -> Iterator[Metric]:
        """Names, so that the registry rejects duplicates."""
        return iter(self._families())

    def collect(self) -> Iterator[Metric]:
        """One consistent reading."""
        families = self._families()
        with self._lock:
            newest = list(self._newest.items())
        for shown, numbers in sorted(newest, key=lambda one: one[0].labels):
            for family, number in zip(families, numbers, strict=True):
                family.add_metric(shown.labels, number)
        return iter(families)

    def _families(self) -> list[GaugeMetricFamily]:
        return [GaugeMetricFamily(PREFIX + name, text, labels=LABELS) for name, text in QUANTITIES.items()]

    def _is_wanted(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._settings.match)


def _shown(partition: Partition, key: SeriesKey) -> _Shown:
    return _Shown(key, (str(key), key.fingerprint, partition[0], str(partition[1])))
