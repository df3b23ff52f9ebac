"""Training material, one draw at a time, and the part of it that is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from detector.models.windows import Float64, Report, Windows, record
from detector.synthetic import draw_streams
from detector.train.files import Series
from detector.train.options import TrainOptions

HELD_OUT = 1_000_003
"""Seed of held-out streams, distinct from every training seed."""
HELD_OUT_STREAMS = 512


class Material(Protocol):
    """Streams to learn from; the same draw number gives the same streams."""

    skip: float
    """Share of the held-out steps, at their beginning, that is not judged because the stream is new there."""

    def draw(self, number: int, report: Report | None = None) -> Windows:
        """Streams of draw `number`."""

    def held_out(self, report: Report | None = None) -> Windows:
        """Streams, or parts of streams, that no draw contains."""

    def facts(self) -> dict[str, Any]:
        """Description for the card."""


class Synthetic:
    """The synthetic curriculum: new streams for every draw."""

    skip = 0.15

    def __init__(self, options: TrainOptions) -> None:
        self._options = options

    def draw(self, number: int, report: Report | None = None) -> Windows:
        return curriculum([self._options.seed, number], self._options.streams, self._options.steps, report)

    def held_out(self, report: Report | None = None) -> Windows:
        count = min(self._options.streams, HELD_OUT_STREAMS)
        return curriculum([HELD_OUT, self._options.seed], count, self._options.steps, report)

    def facts(self) -> dict[str, Any]:
        return {"kind": "synthetic"}


def curriculum(seed: list[int], count: int, steps: int, report: Report | None = None) -> Windows:
    """Synthetic streams with mixed steps and starts, as the network sees them."""
    return record(*draw_streams(seed, count, steps), report)


class Recorded:
    """Recorded series: a draw holds a stretch of each, before its held-out end, of at most `options.streams` series."""

    skip = 0.0

    def __init__(self, series: list[Series], options: TrainOptions, origin: Mapping[str, Any] | None = None) -> None:
        """`origin` is added to the card to say where the series come from."""
        self._series = series
        self._options = options
        self._origin = dict(origin or {})

    def draw(self, number: int, report: Report | None = None) -> Windows:
        rng = np.random.default_rng([self._options.seed, number])
        chosen = rng.permutation(len(self._series))[: self._options.streams]
        parts = []
        for one in chosen:
            series = self._series[one]
            length = min(self._options.steps, series.cut)
            first = int(rng.integers(0, series.cut - length + 1))
            parts.append((series.times[first : first + length], series.values[first : first + length]))
        return record(*side_by_side(parts), report)

    def held_out(self, report: Report | None = None) -> Windows:
        """The last stretch of each series; only the held-out end is judged, the part before it is for warming up."""
        rng = np.random.default_rng([HELD_OUT, self._options.seed])
        chosen = sorted(rng.permutation(len(self._series))[:HELD_OUT_STREAMS].tolist())
        series = [self._series[one] for one in chosen]
        parts = [(one.times[-self._options.steps :], one.values[-self._options.steps :]) for one in series]
        windows = record(*side_by_side(parts), report)
        for column, one in enumerate(series):
            before = len(one.values) - len(parts[column][1])
            windows.mask_TS[: max(one.cut - 1 - before, 0), column] = 0
        return windows

    def facts(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for one in self._series:
            digest.update(f"{one.name}\0".encode() + one.times.tobytes() + one.values.tobytes())
        samples = sum(len(one.values) for one in self._series)
        return {
            "kind": "recorded",
            "series": len(self._series),
            "samples": samples,
            "malformed_lines": sum(one.malformed_lines for one in self._series),
            "sha256": digest.hexdigest(),
            **self._origin,
        }


def side_by_side(parts: list[tuple[Float64, Float64]]) -> tuple[Float64, Float64]:
    """([S, T] times, [S, T] values) of series of mixed lengths, padded at the end with the last time and NaN."""
    longest = max(len(times) for times, _ in parts)
    times_ST, values_ST = np.empty((len(parts), longest)), np.full((len(parts), longest), np.nan)
    for row, (times, values) in enumerate(parts):
        times_ST[row, : len(times)], times_ST[row, len(times) :] = times, times[-1]
        values_ST[row, : len(values)] = values
    return times_ST, values_ST
