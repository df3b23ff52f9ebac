"""Recorded series from files, found as `replay` finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.decoders import CsvDecoder
from detector.errors import SourceError
from detector.models.windows import Float64, Report
from detector.records import Outcome, RawBatch
from detector.replay import ReplayFile, find_files
from detector.replay.compressed import readable
from detector.replay.files import unsaid
from detector.series import SeriesIndex

LEAST_SAMPLES = 100
"""Shorter series are left out."""
LEARNT_SHARE = 0.8
"""Share of each series, from its beginning, that is learned from; the rest is held out."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its samples that the daemon would take, in time order, without duplicate times."""

    name: str
    times: Float64
    values: Float64
    malformed_lines: int
    """Lines without a sample, which are left out."""

    @property
    def cut(self) -> int:
        """Index of the first held-out sample."""
        return int(LEARNT_SHARE * len(self.values))


def read_series(
    paths: Sequence[Path], report: Report | None = None, complain: Callable[[str], None] = unsaid
) -> list[Series]:
    """All series of at least `LEAST_SAMPLES`, sorted by name. What is left out is reported to `complain`.

    Raises SourceError if a file cannot be read or holds only malformed lines, or if no series is long enough.
    """
    found = find_files(list(paths), complain)
    series = []
    for done, file in enumerate(sorted(found, key=lambda file: file.stream), 1):
        series.append(_read(file))
        if report is not None:
            report(done, len(found))
    return usable(series, f"{len(series)} series")


def usable(series: list[Series], where: str) -> list[Series]:
    """The series that are long enough. Raises SourceError if there are none."""
    long = [one for one in series if len(one.values) >= LEAST_SAMPLES]
    if not long:
        most = max((len(one.values) for one in series), default=0)
        raise SourceError(f"no series has {LEAST_SAMPLES} samples to learn from: the longest of {where} has {most}")
    return long


def _read(file: ReplayFile) -> Series:
    with readable(file.path), file.open() as handle:
        lines = handle.read().splitlines()
    count = len(lines)
    offsets = np.arange(1, count + 1)
    batch = RawBatch(file.stream, 0, offsets, np.full(count, np.nan), list(lines), [None] * count)
    samples = CsvDecoder().decode(batch, SeriesIndex())
    if samples.rejects and not len(samples):
        first = samples.rejects[0]
        raise SourceError(f"{file.shown}: no line holds a sample; line {first.offset}: {first.reason}: {first.detail}")
    keep = samples.outcomes == Outcome.SCORED
    times, unique = np.unique(samples.times[keep], return_index=True)
    return Series(file.stream, times, samples.values[keep][unique], len(samples.rejects))
