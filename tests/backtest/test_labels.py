"""Labels: accepted formats, and every error at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from detector.backtest.labels import file_span, read_labels
from detector.errors import LabelError
from detector.replay import find_files

START = 1_600_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("cpu/a.csv", 10), ("cpu/b.csv", 20_000), ("empty.csv", 0)):
        path = tmp_path / "series" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("timestamp,value\n" + "".join(f"{START + 60 * row},{row}\n" for row in range(rows)))
    return tmp_path / "series"


def labels(folder: Path, content: Any, told: list[str] | None = None) -> dict[str, list[tuple[float, float]]]:
    path = folder.parent / "windows.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_labels(path, find_files([folder]), (told if told is not None else []).append)


def findings(folder: Path, content: Any) -> list[str]:
    with pytest.raises(LabelError) as caught:
        labels(folder, content)
    return caught.value.findings


def test_times_in_usual_formats_are_read_and_sorted(folder: Path) -> None:
    found = labels(
        folder,
        {
            "cpu/a.csv": [
                ["2020-09-13 12:30:00.000000", "2020-09-13T14:31:00+02:00"],
                [START, START + 60.5],
            ],
            "cpu/b.csv": [],
        },
    )
    assert found == {"cpu/a.csv": [(START, START + 60.5), (START + 200, START + 260)], "cpu/b.csv": []}


def test_anomalies_in_lines_name_series_by_their_labels(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    records = [
        {"name": "load", "labels": {"host": host}, "timestamp": START + 60 * row, "value": row}
        for row in range(10)
        for host in "abc"
    ]
    (tmp_path / "series" / "records.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    (tmp_path / "series" / "other.csv").write_text(f"{START},1\n")
    spans = [("a", 120, 180), ("a", 0, 60), ("b", 60, 60), ("d", 60, 60)]
    anomalies = [
        {"labels": {"__name__": "load", "host": host}, "kind": "dip", "start": START + start, "end": START + end}
        for host, start, end in spans
    ]
    told: list[str] = []
    found = labels(tmp_path / "series", "".join(f"{json.dumps(one)}\n" for one in anomalies), told)
    assert found == {
        'records/load{host="a"}': [(START, START + 60), (START + 120, START + 180)],
        'records/load{host="b"}': [(START + 60, START + 60)],
        'records/load{host="c"}': [],
    }
    assert [line.partition(": left out: ")[2].partition("; did")[0] for line in told] == [
        'load{host="d"}: no such file among the series'
    ]


def test_every_error_is_reported_at_once(folder: Path) -> None:
    found = findings(
        folder,
        {
            "cpu/c.csv": [],
            "a.csv": [],
            "cpu/b.csv": "never",
            "cpu/a.csv": [
                ["yesterday", START],
                [START],
                [True, START],
                [START + 60, START],
                [START - 100, START - 1],
                ["2021-01-01 00:00:00", "2021-01-02 00:00:00"],
            ],
            "empty.csv": [],
        },
    )
    assert len(found) == 10
    for finding, expected in zip(
        found,
        [
            "cpu/b.csv: not a list of [start, end]",
            "cpu/a.csv: window 1: 'yesterday' is not an RFC 3339 time such as 2025-06-15T08:00:00Z",
            "cpu/a.csv: window 2: [1600000000] is not [start, end]",
            "cpu/a.csv: window 3: true is neither an RFC 3339 time nor unix seconds",
            "cpu/a.csv: window 4: ends (1600000000) before it starts (1600000060)",
            "cpu/c.csv: no such file among the series; did you mean cpu/",
            "a.csv: no such file, but cpu/a.csv exists: did you mean to replay cpu/?",
            "cpu/a.csv: window 5: 1599999900 to 1599999999 is outside the series",
            "cpu/a.csv: window 6: 2021-01-01 00:00:00 to 2021-01-02 00:00:00 is outside the series, which spans",
            "empty.csv: labelled, but it holds no sample",
        ],
        strict=True,
    ):
        assert finding.startswith(expected)
    assert found[-2].endswith("which spans 2020-09-13 12:26:40 to 2020-09-13 12:35:40")


def test_labels_without_a_series_are_skipped_and_named(folder: Path) -> None:
    told: list[str] = []
    given = {
        "cpu/a.csv": [[START, START + 60], [START - 100, START - 1]],
        "cpu/b.csv": [[START - 100, START - 1]],
        "gone.csv": [[START, START]],
        "empty.csv": [],
    }
    assert labels(folder, given, told) == {"cpu/a.csv": [(START, START + 60)], "cpu/b.csv": []}
    where = f"{folder.parent / 'windows.json'}: left out: "
    assert [line.removeprefix(where)[:30] for line in told] == [
        "cpu/a.csv: window 2: 159999990",
        "cpu/b.csv: window 1: 159999990",
        "gone.csv: no such file among t",
        "empty.csv: labelled, but it ho",
    ]


@pytest.mark.parametrize("given", [{"gone.csv": []}, {"cpu/a.csv": [[0, 1]]}, {"empty.csv": [[START, START]]}])
def test_labels_without_any_match_are_an_error(folder: Path, given: dict[str, Any]) -> None:
    assert len(findings(folder, given)) == 1


def test_byte_order_mark_is_ignored(folder: Path) -> None:
    assert labels(folder, '\ufeff{"cpu/a.csv": []}') == {"cpu/a.csv": []}


def test_number_of_reported_errors_is_bounded(folder: Path) -> None:
    found = findings(folder, {f"x/{number}.csv": [] for number in range(100)})
    assert (len(found), found[-1]) == (21, "and 80 more")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "expected an object of"),
        ("{}", "no series is labelled"),
        ('{"cpu/a.csv": [], "cpu/a.csv": []}', "'cpu/a.csv' appears twice"),
    ],
)
def test_file_without_labels_is_an_error(folder: Path, content: str, expected: str) -> None:
    assert expected in findings(folder, content)[0]


def test_missing_file_of_labels_is_an_error(folder: Path) -> None:
    with pytest.raises(LabelError, match="cannot be read"):
        read_labels(folder / "nothing.json", [], print)


def test_span_of_a_long_file_is_read_from_its_ends(folder: Path) -> None:
    by_name = {file.relative.as_posix(): file for file in find_files([folder])}
    assert by_name["cpu/b.csv"].path.stat().st_size > 3 * 65_536
    assert file_span(by_name["cpu/b.csv"]) == (START, START + 60 * 19_999)
    assert file_span(by_name["empty.csv"]) is None
