"""Records as a topic holds them, one JSON value per line: each of their series, as the configured decoder reads it."""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import numpy as np

from detector.config.decoder import Decoder as Settings
from detector.decoders import make_decoder
from detector.protocols import Decoder
from detector.records import LARGEST_VALUE, Float64, Kind, Outcome, RawBatch
from detector.series import SeriesIndex

LINES_AT_ONCE = 4096
MALFORMED_SHOWN = 5
"""How many lines that cannot be decoded are reported one by one."""
FIRST_LINE_BYTES = 1 << 20
_LINES_OF_JSON = ("json", "telegraf", "collectd", "otlp", "vector", "metricbeat")
"""Decoders of records that can be lines of JSON."""


class NoRecordError(ValueError):
    """No line is a record with a sample."""


@dataclass(slots=True)
class _Samples:
    """Samples of a series, in the order of their lines."""

    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))
    counter: bool = False


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How records are read."""

    settings: Settings = field(default_factory=Settings)
    raw_counters: bool = False
    """Whether counters stay running totals, instead of becoming rates."""

    def decoder(self) -> Decoder:
        """The configured one if its records can be lines of JSON, otherwise that of plain JSON."""
        return make_decoder(self.settings if self.settings.type in _LINES_OF_JSON else Settings())


def is_recorded(handle: io.BufferedReader) -> bool:
    """Whether the first line is a JSON value and not the last line."""
    begin = handle.tell()
    first = handle.readline(FIRST_LINE_BYTES)
    more = bool(handle.peek(1).strip())
    handle.seek(begin)
    try:
        msgspec.json.decode(first.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError):
        return False
    return more


def series(handle: io.BufferedReader, records: RecordFormat, complain: Callable[[str], None]) -> dict[str, bytes]:
    """Rows `timestamp,value` of each series, by its name with labels.

    Lines that cannot be decoded are reported to `complain`. Raises NoRecordError.
    """
    decoder, index, found = records.decoder(), SeriesIndex(), dict[int, _Samples]()
    first, rejected, shown = 1, 0, list[str]()
    while lines := list(islice(handle, LINES_AT_ONCE)):
        numbers = np.arange(first, first + len(lines))
        first += len(lines)
        kept = [at for at, line in enumerate(lines) if line.strip()]
        values: list[bytes | None] = [lines[at].strip() for at in kept]
        batch = RawBatch("records", 0, numbers[kept], np.full(len(kept), np.nan), values, [None] * len(kept))
        samples = decoder.decode(batch, index)
        rejected += len(samples.rejects)
        for reject in samples.rejects[: max(0, MALFORMED_SHOWN - len(shown))]:
            shown.append(f"line {reject.offset}: {reject.reason}: {reject.detail}")
        numbers_N = np.where(samples.outcomes == Outcome.GAP, np.nan, samples.values)
        columns = (samples.series, samples.times, numbers_N, samples.kinds)
        for handle_, time, value, kind in zip(*(column.tolist() for column in columns), strict=True):
            one = found.setdefault(handle_, _Samples())
            one.times.append(time)
            one.values.append(value)
            one.counter = one.counter or (kind == Kind.COUNTER and not records.raw_counters)
    if not found:
        raise NoRecordError(f"no line is a record with a sample{f'; {shown[0]}' if shown else ''}")
    for line in shown:
        complain(f"left out: {line}")
    if rejected > len(shown):
        complain(f"left out: {rejected - len(shown)} more lines")
    return {str(index.key(at)): _rows(one) for at, one in found.items()}


def _rows(samples: _Samples) -> bytes:
    times, values = np.array(samples.times), np.array(samples.values)
    if samples.counter:
        values = _rates(times, values)
    texts = (
        f"{time!r},{'' if value != value else repr(value)}"
        for time, value in zip(times.tolist(), values.tolist(), strict=True)
    )
    return "\n".join(("timestamp,value", *texts, "")).encode()


def _rates(times: Float64, totals: Float64) -> Float64:
    """Increase per second since the total before; NaN where there is none, and where the counter has restarted."""
    found = np.full(len(totals), np.nan)
    at = np.flatnonzero(np.isfinite(totals))
    risen, passed = np.diff(totals[at]), np.diff(times[at])
    rising = (risen >= 0.0) & (passed > 0.0)
    found[at[1:][rising]] = np.minimum(risen[rising] / passed[rising], LARGEST_VALUE)
    return found
