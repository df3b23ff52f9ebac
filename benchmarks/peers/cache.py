"""Scores that an earlier run left, one file for each detector and series: what takes hours can be broken off."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detector.records import Float64


class Scored(NamedTuple):
    """[T] scores, and what they took."""

    scores: Float64
    seconds: float


class ScoreCache:
    """A folder of scores; with None nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def scored(self, names: tuple[str, ...], compute: Callable[[], Float64]) -> Scored:
        """What lies under these names, or is computed and laid there."""
        path = None if self.folder is None else self.folder.joinpath(*map(_plain, names)).with_suffix(".npz")
        if path is not None and path.exists():
            with np.load(path) as arrays:
                return Scored(arrays["scores"].astype(np.float64), float(arrays["seconds"]))
        began = time.perf_counter()
        scored = Scored(compute(), time.perf_counter() - began)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part.npz")
            np.savez_compressed(unfinished, scores=scored.scores, seconds=scored.seconds)
            os.replace(unfinished, path)
        return scored


def _plain(name: str) -> str:
    """A name without what file systems object to."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", name)
