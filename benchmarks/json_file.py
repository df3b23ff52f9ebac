"""Figures in a JSON file, which is what `--json` writes. JSON has no NaN: a figure without a meaning is null there."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from detector.errors import SourceError


def destination(given: str) -> Path:
    """The type of an argument: a file to write figures to. What cannot be one is told before anything is measured."""
    path = Path(given)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent}: no such folder")
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"{path}: is no file")
    return path


def write(path: Path | None, report: object) -> None:
    """Write a report of dicts, lists and numbers, if anywhere."""
    if path is not None:
        path.write_text(json.dumps(_with_nulls(report), indent=1, allow_nan=False) + "\n")


def read(path: Path | None) -> Any:
    """What `write` left, with NaN for null; None without a file. Raises SourceError if it is no JSON."""
    if path is None or not path.exists():
        return None
    try:
        return _with_nans(json.loads(path.read_text()))
    except ValueError as exc:
        raise SourceError(f"{path}: is no file of figures: {exc}") from exc


def _with_nulls(part: object) -> object:
    if isinstance(part, dict):
        return {name: _with_nulls(one) for name, one in part.items()}
    if isinstance(part, list | tuple):
        return [_with_nulls(one) for one in part]
    return None if isinstance(part, float) and not math.isfinite(part) else part


def _with_nans(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _with_nans(one) for name, one in part.items()}
    if isinstance(part, list):
        return [_with_nans(one) for one in part]
    return math.nan if part is None else part
