"""Series and machines on disk in other people's layouts: what is read, and what is skipped and named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.detection.layout import folder_of, load_collection
from benchmarks.detection.machine_files import kind_of, load_machines, of_kind
from detector.backtest.series import Series
from detector.errors import LabelError, SourceError

START = 1_600_000_000


def collection(folder: Path, files: dict[str, str], windows: Any, told: list[str] | None = None) -> dict[str, Series]:
    for name, text in files.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "windows.json").write_text(json.dumps(windows))
    return {one.name: one for one in load_collection(folder, (told if told is not None else []).append)}


def lines(*rows: tuple[object, object]) -> str:
    return "timestamp,value\n" + "".join(f"{time},{value}\n" for time, value in rows)


def test_times_in_any_format_and_empty_cells(tmp_path: Path) -> None:
    rows = lines(
        ("2020-09-13 12:26:40", 1),
        ("2020-09-13T14:27:40.5+02:00", 2),
        (START + 120, ""),
        ((START + 180) * 1000, "NaN"),
        (START + 240, "null"),
        (START + 300, "3e2"),
    )
    told: list[str] = []
    one = collection(tmp_path, {"deep/er/a.csv": rows}, {"deep/er/a.csv": []}, told)["deep/er/a.csv"]
    assert (one.times - START).tolist() == [0.0, 60.5, 120.0, 180.0, 240.0, 300.0]
    np.testing.assert_array_equal(one.values, [1, 2, np.nan, np.nan, np.nan, 300])
    assert told == []


def test_row_that_is_not_newer_has_no_value_as_in_a_replay(tmp_path: Path) -> None:
    at = [0, 60, 60, 180, 120, "yesterday", 240, 999_999, 300]
    values = [0, 1, 2, 3, 4, 5, 6, "", 8]
    times = [START + one if isinstance(one, int) else one for one in at]
    told: list[str] = []
    windows = {"a.csv": [[START + 170, START + 240], [START + 61, START + 100], [START + 300, START + 400]]}
    one = collection(tmp_path, {"a.csv": lines(*zip(times, values, strict=True))}, windows, told)["a.csv"]
    assert (one.times - START).tolist() == [0, 60, 60, 180, 180, 180, 240, 300, 300]
    np.testing.assert_array_equal(one.values, [0, 1, np.nan, 3, np.nan, np.nan, 6, np.nan, 8])
    assert one.windows.tolist() == [[3, 6], [7, 8]]
    path = tmp_path / "data" / "a.csv"
    assert told == [
        f"{path}: 1 of 9 rows cannot be read and have no score",
        f"{path}: 2 of 9 rows are not newer than an earlier row and have no score",
        f"{path}: 1 of 3 windows contain no row and are left out",
    ]


def test_series_without_labels_and_labels_without_series_are_skipped(tmp_path: Path) -> None:
    rows = lines((START, 1))
    told: list[str] = []
    found = collection(tmp_path, {"b.csv": rows, "a.csv": rows, "c.csv": rows}, {"b.csv": [], "gone.csv": []}, told)
    assert list(found) == ["b.csv"]
    assert told == [
        f"{tmp_path / 'windows.json'}: left out: gone.csv: no such file among the series; did you mean c.csv?",
        f"{tmp_path}: 2 of 3 series without labels, left out: a.csv, c.csv",
    ]


def test_series_without_any_value_has_rows_and_times(tmp_path: Path) -> None:
    one = collection(tmp_path, {"a.csv": lines((START, ""), ("?", 1), (START + 60, ""))}, {"a.csv": []})["a.csv"]
    assert one.times.tolist() == [START, START, START + 60]
    assert np.isnan(one.values).all()


def test_layout_of_the_publishers_repository(tmp_path: Path) -> None:
    collection(tmp_path, {"a.csv": lines((START, 1))}, {"a.csv": []})
    (tmp_path / "labels").mkdir()
    (tmp_path / "windows.json").rename(tmp_path / "labels" / "combined_windows.json")
    assert len(load_collection(tmp_path)) == 1


def test_folders_without_series_or_labels_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        load_collection(tmp_path / "nothing")
    (tmp_path / "data").mkdir()
    with pytest.raises(SourceError, match=r"no \.csv file"):
        load_collection(tmp_path)
    (tmp_path / "data" / "a.csv").write_text(lines((START, 1)))
    with pytest.raises(LabelError, match=r"windows\.json: 1 error\n  cannot be read"):
        load_collection(tmp_path)
    with pytest.raises(SourceError, match="no machine"):
        load_machines(tmp_path)


def test_folder_of_collections_or_one_collection(tmp_path: Path) -> None:
    collection(tmp_path / "nab", {"a.csv": lines((START, 1))}, {"a.csv": []})
    assert folder_of(tmp_path, "nab") == folder_of(tmp_path / "nab", "nab") == tmp_path / "nab"
    with pytest.raises(SourceError, match=r"has neither a folder server-metrics/ nor its content \(\*\.npz, test\)"):
        folder_of(tmp_path / "nab", "server-metrics")


def write_machine(path: Path, **arrays: np.ndarray) -> None:
    np.savez(path, allow_pickle=False, **arrays)


def test_machines_of_all_shapes_and_which_are_skipped(tmp_path: Path) -> None:
    few, many, label = np.zeros((3, 2), np.float32), np.ones((5, 2), np.float64), np.array([0, 1, 1, 0, 0])
    write_machine(tmp_path / "machine-1-1.npz", train=few, test=many, label=label)
    write_machine(tmp_path / "omi-9.npz", train=few[:0], test=many, label=label.astype(float))
    write_machine(tmp_path / "single.npz", train=few[:, 0], test=many[:, 0], label=label)
    write_machine(tmp_path / "x-labels.npz", train=few, test=many, label=label[1:])
    write_machine(tmp_path / "x-metrics.npz", train=few[:, :1], test=many, label=label)
    write_machine(tmp_path / "x-missing.npz", test=many, labels=label)
    (tmp_path / "x-broken.npz").write_bytes(b"PK")
    told: list[str] = []
    found = load_machines(tmp_path, told.append)
    assert [(one.name, kind_of(one), one.values.shape, one.step_seconds, one.first_test_row) for one in found] == [
        ("machine-1-1", "smd", (8, 2), 60.0, 3),
        ("omi-9", "asd", (5, 2), 300.0, 0),
        ("single", "other", (8, 1), 60.0, 3),
    ]
    assert of_kind(found, "asd") == found[1:2]
    with pytest.raises(SourceError, match="no machine of asd: none of the names begins with 'omi'"):
        of_kind(found[:1], "asd")
    assert all(one.labels.tolist() == [False, True, True, False, False] for one in found)
    assert [line.removeprefix(f"{tmp_path}/x-")[:50] for line in told[1:]] == [
        "labels.npz: left out: 4 labels for 5 rows of test",
        "metrics.npz: left out: train has 1 metrics, test 2",
        "missing.npz: left out: no array train, label (it h",
    ]
    assert told[0].startswith(f"{tmp_path}/x-broken.npz: left out: ")


def test_machines_as_they_are_published(tmp_path: Path) -> None:
    for part, text in (("train", "0.5,1\n"), ("test", "1,2\n3,4\n"), ("test_label", "0\n1\n")):
        (tmp_path / part).mkdir()
        (tmp_path / part / "machine-3-1.txt").write_text(text)
        (tmp_path / part / "machine-3-3.txt").touch()
    (tmp_path / "test" / "machine-3-2.txt").write_text("1,2\n")
    told: list[str] = []
    (one,) = load_machines(tmp_path, told.append)
    assert one.values.tolist() == [[0.5, 1.0], [1.0, 2.0], [3.0, 4.0]]
    assert one.labels.tolist() == [False, True]
    assert len(told) == 2
    assert "machine-3-2.txt: left out: " in told[0]
    assert "machine-3-3.txt: left out: test is empty" in told[1]
