"""Machines with many metrics on disk.

- `<name>.npz` with `train` [N, M], `test` [T, M] and `label` [T]; or
- as SMD is published: `train/<name>.txt`, `test/<name>.txt` and `test_label/<name>.txt`, rows of numbers and commas.

`omi-*` (ASD) sample every five minutes, all others each minute. M metrics a machine.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.detection.layout import Warn, warn
from detector.errors import SourceError
from detector.records import Float64

PARTS = {"train": "train", "test": "test", "label": "test_label"}
"""Arrays of a machine, and the folders of the published layout."""


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


KINDS = {"machine": "smd", "omi": "asd"}
"""What the names of a collection's machines begin with."""


def kind_of(machine: Machine) -> str:
    """The collection that a machine is of, by its name."""
    return next((kind for prefix, kind in KINDS.items() if machine.name.startswith(prefix)), "other")


def of_kind(machines: Sequence[Machine], kind: str) -> list[Machine]:
    """The machines of a collection. Raises SourceError where there is none."""
    chosen = [machine for machine in machines if kind_of(machine) == kind]
    if not chosen:
        prefix = next(prefix for prefix, known in KINDS.items() if known == kind)
        raise SourceError(f"no machine of {kind}: none of the names begins with {prefix!r}")
    return chosen


def load_machines(folder: Path, warn: Warn = warn) -> list[Machine]:
    """Every machine of a folder, in the order of names; `warn` reports which are left out, and why.

    Raises SourceError where there is none.
    """
    found = []
    files = {path.stem: path for path in (*folder.glob("test/*.txt"), *folder.glob("*.npz"))}
    for name, path in sorted(files.items()):
        try:
            found.append(_machine(name, _arrays(path)))
        except (OSError, ValueError, zipfile.BadZipFile) as exc:
            warn(f"{path}: left out: {exc}")
    if not found:
        raise SourceError(f"{folder}: no machine (<name>.npz, or train/, test/ and test_label/ with <name>.txt)")
    return found


def _arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return dict(arrays)
    folder = path.parent.parent
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of an empty file, which is told of later
        return {part: np.loadtxt(folder / place / path.name, delimiter=",", ndmin=2) for part, place in PARTS.items()}


def _machine(name: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Machine:
    """Raises ValueError where the arrays are no machine's."""
    missing = [part for part in PARTS if part not in arrays]
    if missing:
        raise ValueError(f"no array {', '.join(missing)} (it has {', '.join(arrays) or 'none'})")
    train, test = (_rows(arrays[part]) for part in ("train", "test"))
    labels = np.asarray(arrays["label"]).ravel() != 0
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"train has {train.shape[1]} metrics, test {test.shape[1]}")
    if len(labels) != len(test):
        raise ValueError(f"{len(labels)} labels for {len(test)} rows of test")
    if not test.size:
        raise ValueError("test is empty")
    values = np.concatenate([train, test])
    step = 300.0 if name.startswith("omi") else 60.0
    times = (1.6e9 + step * np.arange(len(values))).astype(np.float64)
    return Machine(name, times, values, labels, step)


def _rows(array: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """[T, M]; one metric may have no second axis."""
    return np.asarray(array[:, None] if array.ndim == 1 else array, dtype=np.float32)
