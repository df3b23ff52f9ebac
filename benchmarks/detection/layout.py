"""Labelled series on disk: `data/<any>/<name>.csv` beside `windows.json`.

Series and labels are read as `detector backtest` reads them, so what it takes is taken here: `timestamp,value`, and
`{"<any>/<name>.csv": [[start, end], ...]}`, both inclusive. In place of `windows.json` there may be
`labels/combined_windows.json`, as in NAB's own repository. A score file, as `detector replay --scores` writes it, has
`timestamp,value,expected,lower,upper,anomaly_score,alert` and the same rows. T rows a series.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from detector.backtest.labels import Window, read_labels
from detector.backtest.series import Series
from detector.columns import Bool
from detector.decoders import CsvDecoder
from detector.decoders.csv import is_header
from detector.errors import SourceError
from detector.records import Float64, Outcome, RawBatch
from detector.replay import Reader, ReplayFile, find_files
from detector.series import SeriesIndex

DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LABEL_FILES = ("windows.json", "labels/combined_windows.json")
CONTENT = {"nab": ("data", *LABEL_FILES), "cloud": ("data", *LABEL_FILES), "server-metrics": ("*.npz", "test")}
"""What the folder of a collection holds."""
NAMES_SHOWN = 5
Warn = Callable[[str], None]


def warn(line: str) -> None:
    """What was left out and why, for whoever runs a benchmark."""
    print(line, file=sys.stderr, flush=True)


def folder_of(data: Path, name: str) -> Path:
    """`data/name`, or `data` itself where that is such a folder. Raises SourceError."""
    if (data / name).is_dir():
        return data / name
    if any(path for content in CONTENT[name] for path in data.glob(content)):
        return data
    raise SourceError(f"{data}: has neither a folder {name}/ nor its content ({', '.join(CONTENT[name])})")


def load_collection(folder: Path, warn: Warn = warn) -> list[Series]:
    """Every labelled series of a folder of this layout, in the order of names; `warn` reports what is left out.

    Raises SourceError, LabelError.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    files = find_files([folder / "data"], warn)
    labels_file = next((folder / name for name in LABEL_FILES if (folder / name).is_file()), folder / LABEL_FILES[0])
    windows = read_labels(labels_file, files, warn)
    by_name = {file.name: file for file in files}
    unlabelled = [name for name in by_name if name not in windows]
    if unlabelled:
        warn(f"{folder}: {len(unlabelled)} of {len(files)} series without labels, left out: {_some(unlabelled)}")
    return [load_series(by_name[name], windows[name], warn) for name in sorted(windows)]


def _some(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def load_series(file: ReplayFile, windows: list[Window], warn: Warn = warn) -> Series:
    """A row for every line but the header, in event time.

    As in a replay, a row that is not newer than one before it and one that cannot be read have no value; `warn` is told
    how many. A window whose bounds lie between rows covers the rows inside it, one that holds no row is left out.
    """
    given, values, unreadable = _read(file)
    usable = np.isfinite(values)
    newest = np.maximum.accumulate(np.where(usable, given, -np.inf))
    late = usable & (given <= np.append(-np.inf, newest[:-1]))
    values[late] = np.nan
    for count, what in ((unreadable, "cannot be read"), (int(late.sum()), "are not newer than an earlier row")):
        if count:
            warn(f"{file.shown}: {count} of {len(values)} rows {what} and have no score")
    times = _in_order(given, np.isfinite(values))
    bounds = [(np.searchsorted(times, a, "left"), np.searchsorted(times, b, "right") - 1) for a, b in windows]
    rows = np.array([(first, last) for first, last in bounds if first <= last], dtype=np.int64).reshape(-1, 2)
    if len(rows) < len(windows):
        warn(f"{file.shown}: {len(windows) - len(rows)} of {len(windows)} windows contain no row and are left out")
    return Series(file.relative.as_posix(), times, values, rows)


def _in_order(times: Float64, counts: Bool) -> Float64:
    """Times that never fall: those of rows that count are kept, each other one is the nearest that fits in between."""
    before = np.maximum.accumulate(np.where(counts, times, -np.inf))
    behind = np.minimum.accumulate(np.where(counts, times, np.inf)[::-1])[::-1]
    fitting = np.clip(np.where(np.isnan(times), before, times), before, behind)
    known = np.isfinite(fitting)
    first = fitting[np.argmax(known)] if known.any() else 0.0
    return np.asarray(np.maximum.accumulate(np.where(known, fitting, first)))


def _read(file: ReplayFile) -> tuple[Float64, Float64, int]:
    """([T] times, NaN where there is none; [T] values, NaN where none counts; how many rows are no sample)."""
    lines: list[bytes] = []
    with Reader.open(file) as reader:
        while part := reader.next_lines():
            lines += part
    count, header = len(lines), bool(lines) and is_header(lines[0])
    batch = RawBatch(file.stream, 0, np.arange(1, count + 1), np.full(count, np.nan), list(lines), [None] * count)
    samples = CsvDecoder().decode(batch, SeriesIndex())
    times, values = np.full((2, count), np.nan)
    at = samples.offsets - 1
    times[at] = samples.times
    values[at] = np.where(samples.outcomes == Outcome.SCORED, samples.values, np.nan)
    return times[header:], values[header:], len(samples.rejects)


def load_scores(series: Series, folder: Path) -> Float64:
    """[T] `anomaly_score` of a series from a replay's output folder. Raises SourceError."""
    path = folder / series.name
    try:
        with path.open(newline="") as lines:
            scores = np.array([float(record["anomaly_score"] or "nan") for record in csv.DictReader(lines)])
    except OSError as exc:
        raise SourceError(f"{path}: cannot be read: {exc.strerror}; did the replay have the same series?") from exc
    except KeyError as exc:
        raise SourceError(f"{path}: no column anomaly_score; was it written by `detector replay --scores`?") from exc
    if len(scores) != len(series.times):
        raise SourceError(f"{path}: {len(scores)} scores for {len(series.times)} rows")
    return np.nan_to_num(scores, nan=0.0)
