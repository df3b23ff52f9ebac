"""`--json` writes valid JSON, and an unwritable path is an error before hours of measuring."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import json_file
from detector.errors import SourceError


def test_undefined_figure_is_null_and_round_trips(tmp_path: Path) -> None:
    path = json_file.destination(str(tmp_path / "out.json"))
    assert json_file.read(path) is None
    json_file.write(path, {"nab": {"standard": np.float64("nan"), "best": math.inf, "events": 3.0}, "lags": (1, "a")})
    assert json.loads(path.read_text()) == {"nab": {"standard": None, "best": None, "events": 3.0}, "lags": [1, "a"]}
    again = json_file.read(path)
    assert math.isnan(again["nab"]["standard"])
    assert (again["nab"]["events"], again["lags"]) == (3.0, [1, "a"])


def test_unwritable_path_is_an_error_at_once(tmp_path: Path) -> None:
    for wrong in (tmp_path / "nothing" / "out.json", tmp_path):
        with pytest.raises(argparse.ArgumentTypeError, match=r"no such folder|is no file"):
            json_file.destination(str(wrong))


def test_another_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("timestamp,value\n")
    with pytest.raises(SourceError, match=r"out\.json: is no file of figures"):
        json_file.read(path)


def test_nothing_is_written_nowhere() -> None:
    json_file.write(None, {"standard": 1.0})
    assert json_file.read(None) is None
