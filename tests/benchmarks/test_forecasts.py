"""Which series the forecast benchmark takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.forecast.__main__ import collections


def test_series_with_too_few_values_are_skipped_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nab" / "data").mkdir(parents=True)
    for name, values in (("long", "123"), ("short", "1")):
        rows = "".join(f"{1_600_000_000 + 60 * row},{value}\n" for row, value in enumerate(values))
        (tmp_path / "nab" / "data" / f"{name}.csv").write_text("timestamp,value\n" + rows)
    (tmp_path / "nab" / "windows.json").write_text(json.dumps({"long.csv": [], "short.csv": []}))
    (tmp_path / "server-metrics").mkdir()
    flat, moving = np.ones((4, 2)), np.arange(12.0).reshape(4, 3)
    moving[:, 1] = 7.0
    moving[:3, 2] = np.nan
    for machine, metrics in (("flat", flat), ("moving", moving)):
        np.savez(tmp_path / "server-metrics" / f"{machine}.npz", train=metrics, test=metrics, label=np.zeros(4))
    found = collections(tmp_path)
    assert [name for name, _, _ in found["nab"]] == ["long.csv"]
    assert {name for name, _, _ in found["server"]} == {"moving/0"}
    assert "nab: fewer than 2 values, left out: short.csv" in capsys.readouterr().err
