"""Labelled series on disk: `data/<category>/<name>.csv` beside `windows.json`, and machines as `.npz`.

A series' file has the header `timestamp,value` (naive UTC); a score file, as `detector replay --scores` writes it, has
`timestamp,value,expected,lower,upper,anomaly_score,alert` and the same rows. `windows.json` maps
`<category>/<name>.csv` to `[start, end]` pairs, both inclusive. T rows a series, M metrics a machine.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detector.backtest.series import Series
from detector.records import Float64

DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: `train` and `test` played as one history; labels judge the rows of `test`."""

    name: str
    times: Float64
    """[T] unix seconds, made up: the publishers give none."""
    values: npt.NDArray[np.float32]
    """[T, M]"""
    labels: npt.NDArray[np.bool_]
    """[T - first_test_row]"""
    step_seconds: float

    @property
    def first_test_row(self) -> int:
        return len(self.times) - len(self.labels)


def parse_time(text: str) -> float:
    """Naive UTC text to unix seconds."""
    return float(np.datetime64(text.strip().replace(" ", "T"), "us").astype(np.int64)) / 1e6


def load_series(path: Path, name: str, windows: list[list[str]]) -> Series:
    """Read one series; a window whose bounds lie between rows covers the rows inside it."""
    with path.open(newline="") as lines:
        records = list(csv.DictReader(lines))
    times = np.array([parse_time(record["timestamp"]) for record in records])
    values = np.array([float(record["value"] or "nan") for record in records])
    bounds = [(parse_time(start), parse_time(end)) for start, end in windows]
    rows = [(np.searchsorted(times, a, "left"), np.searchsorted(times, b, "right") - 1) for a, b in bounds]
    return Series(name, times, values, np.array(rows, dtype=np.int64).reshape(-1, 2))


def load_collection(folder: Path) -> list[Series]:
    """Every series of a folder of this layout, in the order of names."""
    windows = json.loads((folder / "windows.json").read_text())
    return [load_series(folder / "data" / name, name, windows[name]) for name in sorted(windows)]


def load_scores(series: Series, folder: Path) -> Float64:
    """[T] `anomaly_score` of a series from a replay's output folder."""
    with (folder / series.name).open(newline="") as lines:
        scores = np.array([float(record["anomaly_score"] or "nan") for record in csv.DictReader(lines)])
    if len(scores) != len(series.times):
        raise ValueError(f"{folder / series.name}: {len(scores)} scores for {len(series.times)} rows")
    return np.nan_to_num(scores, nan=0.0)


def load_machines(folder: Path) -> list[Machine]:
    """Every machine of a folder; `machine-*` sample each minute, `omi-*` every five."""
    return [_machine(path) for path in sorted(folder.glob("*.npz"))]


def _machine(path: Path) -> Machine:
    with np.load(path) as arrays:
        values = np.concatenate([arrays["train"], arrays["test"]])
        labels = arrays["label"].astype(bool)
    step = 300.0 if path.stem.startswith("omi") else 60.0
    times = (1.6e9 + step * np.arange(len(values))).astype(np.float64)
    return Machine(path.stem, times, values, labels, step)
