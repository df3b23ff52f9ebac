"""Labels: which stretches of which series are known to be anomalous.

A JSON object `{"relative/path.csv": [[start, end], ...]}`, both times inclusive: RFC 3339 (a space instead of the `T`
and a missing offset are fine) or unix seconds. An empty list states that nothing is wrong in a series.

Or, as `detector produce --labels` writes them, lines `{"labels": {"__name__": ..., ...}, "start": ..., "end": ...}`,
one per anomaly. They are all anomalies of the files in which they name a series.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from detector.decoders import CsvDecoder
from detector.decoders.csv import stamp_of
from detector.decoders.timestamps import END_OF_TIME, parse_time
from detector.errors import DecodeError, LabelError
from detector.records import RawBatch
from detector.replay import ReplayFile
from detector.replay.compressed import readable
from detector.series import NAME_LABEL, SeriesIndex, SeriesKey

Window = tuple[float, float]
"""First and last moment of a labelled stretch, unix seconds."""

_EDGE_BYTES = 65_536
_SHAPE = 'an object of {"relative/path.csv": [[start, end], ...]}'


def read_labels(path: Path, files: list[ReplayFile], complain: Callable[[str], None]) -> dict[str, list[Window]]:
    """Read the windows of each labelled file of `files`, in order of time.

    Leaves out labels of missing series and windows outside their series, and reports each to `complain`. Raises
    LabelError with everything that is wrong, also if all labels or all windows would be left out.
    """
    raw = _load(path, files)
    by_name = {file.name: file for file in files}
    wrong: list[str] = []
    apart: list[str] = []
    labels: dict[str, list[Window]] = {}
    for name, pairs in raw.items():
        file = by_name.get(name)
        if not isinstance(pairs, list):
            wrong.append(f"{name}: not a list of [start, end]")
        elif file is None:
            apart.append(_unknown(name, by_name))
        elif (span := file_span(file)) is None:
            apart.append(f"{name}: labelled, but it holds no sample")
        else:
            labels[name] = sorted(_windows(name, pairs, span, wrong, apart))
    if not raw:
        wrong.append("no series is labelled")
    if wrong or not labels or (not any(labels.values()) and any(raw[name] for name in labels)):
        raise LabelError(str(path), _at_most([*wrong, *apart]))
    for line in _at_most(apart):
        complain(f"{path}: left out: {line}")
    return labels


def _at_most(findings: list[str], most: int = 20) -> list[str]:
    """Keep the list short: one wrong folder makes every name wrong."""
    return findings if len(findings) <= most else [*findings[:most], f"and {len(findings) - most} more"]


def _load(path: Path, files: list[ReplayFile]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        anomalies = _lines(text)
        if anomalies is not None:
            return _by_name(anomalies, files)
        raw = json.loads(text, object_pairs_hook=_without_repeats)
    except OSError as exc:
        raise LabelError(str(path), [f"cannot be read: {exc.strerror or exc}"]) from exc
    except (ValueError, RecursionError) as exc:
        raise LabelError(str(path), [f"is not JSON: {exc}"]) from exc
    if not isinstance(raw, dict):
        raise LabelError(str(path), [f"contains no labels: expected {_SHAPE}"])
    return raw


def _lines(text: str) -> list[dict[str, Any]] | None:
    """The anomalies of a file of lines; None if it is of the other form."""
    try:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None
    fit = all(
        isinstance(one, dict) and isinstance(one.get("labels"), dict) and {"start", "end"} <= one.keys()
        for one in found
    )
    return found if found and fit else None


def _by_name(anomalies: list[dict[str, Any]], files: list[ReplayFile]) -> dict[str, Any]:
    """The windows of each series of the files that `anomalies` name; an unknown series has its own name."""
    known = {file.series: file for file in files if file.series}
    raw: dict[str, Any] = {}
    for one in anomalies:
        labels = {str(name): str(value) for name, value in one["labels"].items()}
        series = str(SeriesKey.of(labels.pop(NAME_LABEL, ""), labels))
        name = known[series].name if series in known else series
        raw.setdefault(name, []).append([one["start"], one["end"]])
    paths = {file.path for file in files if file.name in raw}
    return raw | {file.name: [] for file in files if file.path in paths and file.name not in raw}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} appears twice")
    return dict(pairs)


def _unknown(name: str, by_name: dict[str, ReplayFile]) -> str:
    """The message for a label without its file, with the folder or the name that may be meant."""
    deeper = next((known for known in by_name if known.endswith(f"/{name}")), None)
    if deeper is not None:
        return f"{name}: no such file, but {deeper} exists: did you mean to replay {deeper[: -len(name) - 1]}/?"
    near = get_close_matches(name, by_name, n=1)
    return f"{name}: no such file among the series" + (f"; did you mean {near[0]}?" if near else "")


def _windows(name: str, pairs: list[Any], span: Window, wrong: list[str], apart: list[str]) -> list[Window]:
    windows = []
    first, last = span
    for number, pair in enumerate(pairs, 1):
        where = f"{name}: window {number}"
        if not isinstance(pair, list) or len(pair) != 2:
            wrong.append(f"{where}: {json.dumps(pair)[:60]} is not [start, end]")
            continue
        try:
            start, end = map(_moment, pair)
        except DecodeError as exc:
            wrong.append(f"{where}: {exc.detail}")
            continue
        if start > end:
            wrong.append(f"{where}: ends ({pair[1]}) before it starts ({pair[0]})")
        elif start > last or end < first:
            apart.append(
                f"{where}: {pair[0]} to {pair[1]} is outside the series, which spans {iso(first)} to {iso(last)}"
            )
        else:
            windows.append((start, end))
    return windows


def _moment(given: object) -> float:
    if isinstance(given, str):
        return parse_time(stamp_of(given))
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < END_OF_TIME:
        return float(given)
    raise DecodeError("timestamp", f"{json.dumps(given)[:60]} is neither an RFC 3339 time nor unix seconds")


def file_span(file: ReplayFile) -> Window | None:
    """Earliest and latest time near a file's two ends, without reading the rest; None if there is no sample.

    Raises SourceError.
    """
    with readable(file.path), file.open() as handle:
        head = handle.read(_EDGE_BYTES)
        size = handle.seek(0, 2)
        tail_at = max(size - _EDGE_BYTES, 0)
        handle.seek(tail_at)
        tail = handle.read()
    lines = head.splitlines()
    if size > _EDGE_BYTES:  # a line cut in two could be read as another time
        lines = lines[:-1] + tail.splitlines()[1:]
    count = len(lines)
    batch = RawBatch(file.stream, 0, np.arange(1, count + 1), np.full(count, np.nan), list(lines), [None] * count)
    times = CsvDecoder().decode(batch, SeriesIndex()).times
    times = times[np.isfinite(times)]
    return (float(times.min()), float(times.max())) if len(times) else None


def iso(time: float) -> str:
    """A time as people read it, in UTC.

    >>> iso(1.7e9)
    '2023-11-14 22:13:20'
    """
    return str(np.datetime64(int(time), "s")).replace("T", " ")
