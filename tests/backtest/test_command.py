"""`detector backtest` with the shipped model."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from detector.cli.commands import app
from detector.errors import LabelError, SourceError

START = 1_600_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    values = np.random.default_rng(1).normal(50.0, 1.0, 400)
    values[300:303] = 90.0
    lines = "".join(f"{START + 300 * row},{value!r}\n" for row, value in enumerate(values.tolist()))
    (tmp_path / "cpu.csv").write_text("timestamp,value\n" + lines)
    return tmp_path


def test_report_covers_each_budget(folder: Path) -> None:
    labels = folder / "windows.json"
    labels.write_text(json.dumps({"cpu.csv": [[START + 300 * 299, START + 300 * 305]]}))
    arguments = ["backtest", str(folder), "--labels", str(labels), "--report", str(folder / "report")]
    ran = CliRunner().invoke(app, [*arguments, "--alerts-per-stream-week", "0.5", "--alerts-per-stream-week", "2"])
    assert ran.exit_code == 0, ran.output
    first, second, alert, *_ = ran.stdout.splitlines()
    assert first.startswith("budget 0.5 per stream and week: 1 of 1 events caught, ")
    assert second.startswith("budget 2 per stream and week: 1 of 1 events caught, ")
    assert alert.startswith("  cpu.csv: 2020-09-14 13:26:40 UTC for ")
    assert alert.endswith(", true")
    written = json.loads((folder / "report" / "report.json").read_text())
    assert written["runs"][0]["in_all"]["median_delay_samples"] == 1.0
    assert written["model"].startswith("lstm")
    assert (folder / "report" / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_labels_are_optional(folder: Path) -> None:
    ran = CliRunner().invoke(app, ["backtest", str(folder), "--report", str(folder / "report")])
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.startswith("budget 0.1 per stream and week: 1 alert in 1 of 1 series (")
    assert [line.partition(" UTC")[0] for line in ran.stdout.splitlines()[1:]] == ["  cpu.csv: 2020-09-14 13:26:40"]
    assert json.loads((folder / "report" / "report.json").read_text())["labels"] is None


def test_wrong_labels_are_an_error_before_the_replay(folder: Path) -> None:
    labels = folder / "windows.json"
    labels.write_text('{"disk.csv": []}')
    ran = CliRunner().invoke(app, ["backtest", str(folder), "--labels", str(labels), "--report", str(folder / "r")])
    assert isinstance(ran.exception, LabelError)
    assert not (folder / "r").exists()


def test_unwritable_report_is_an_error_before_the_replay(folder: Path) -> None:
    (folder / "bad.csv").write_text("timestamp,value\nnever,1\n")
    ran = CliRunner().invoke(app, ["backtest", str(folder), "--report", str(folder / "cpu.csv")])
    assert isinstance(ran.exception, SourceError)
    assert "cpu.csv: cannot be written: there is a file in its place" in str(ran.exception)
    assert "never" not in ran.output


def test_files_and_folders_of_any_kind_are_replayed_together(folder: Path) -> None:
    values = [[START + 300 * row, f"{row % 7}"] for row in range(70)]
    (folder / "load.json").write_text(json.dumps([{"metric": {"__name__": "load"}, "values": values}]))
    report = folder / "report"
    ran = CliRunner().invoke(
        app, ["backtest", *(str(folder / name) for name in ("cpu.csv", "load.json")), "--report", str(report)]
    )
    assert ran.exit_code == 0, ran.output
    written = json.loads((report / "report.json").read_text())
    assert written["data"] == f"{folder / 'cpu.csv'} and 1 more"
    assert [one["file"] for one in written["runs"][0]["unlabelled"]] == ["cpu.csv", "load/load"]
