"""A series and its known anomalies. T rows, W windows."""

from __future__ import annotations

from dataclasses import dataclass

from detector.records import Float64, Int64


@dataclass(frozen=True, slots=True)
class Series:
    """One labelled series."""

    name: str
    """Path below the folder of series, with `/` and `.csv`."""
    times: Float64
    """[T] unix seconds."""
    values: Float64
    """[T]; NaN is a gap."""
    windows: Int64
    """[W, 2] first and last row of each labelled window."""
