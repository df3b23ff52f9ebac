"""Training on the console: a progress bar on standard error while it runs, then the result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from detector.models.group import first_process
from detector.progress import phase_progress
from detector.train import compare as comparison
from detector.train import loop
from detector.train.options import TrainOptions


def train(options: TrainOptions) -> None:
    """Train and report; of several processes, only the first one reports. Raises ModelError, SourceError."""
    with phase_progress() as advance:
        card = loop.train(options, advance, _say)
    if not first_process():
        return
    if malformed := card["data"].get("malformed_lines"):
        _say(f"{malformed} malformed lines were left out")
    _say(f"{options.output}: {card['command']}; held-out loss {card['held_out']['loss']:.4f}")


def compare(names: Sequence[str], folders: Sequence[Path], options: TrainOptions) -> None:
    """Train several networks and print the table to standard output. Raises ModelError, SourceError."""
    with phase_progress() as advance:
        rows = comparison.compare(names, folders, options, advance, _say)
    sys.stdout.write(comparison.table(rows) + "\n")
    _say(f"weights, comparison.json and comparison.md in {options.output}")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
