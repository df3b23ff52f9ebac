"""Inputs of a replay: CSV with a column per series, Prometheus' JSON, and both compressed."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from detector.backtest.labels import file_span
from detector.errors import SourceError
from detector.replay import Reader, ReplayFile, find_files

START = 1_600_000_000


def found(path: Path, told: list[str] | None = None) -> list[ReplayFile]:
    return find_files([path], (told if told is not None else []).append)


def lines(file: ReplayFile) -> list[str]:
    with file.open() as handle:
        return handle.read().decode().splitlines()


def csv_file(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def answer(path: Path, *series: tuple[dict[str, str], list[Any]]) -> Path:
    result = [{"metric": metric, "values": values} for metric, values in series]
    path.write_text(json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    return path


def test_column_of_numbers_is_a_series(tmp_path: Path) -> None:
    told: list[str] = []
    path = csv_file(
        tmp_path / "cpu.csv",
        '"Time","{host=""a"", dc=""x/y""}","web-2","note",""',
        "2025-06-15 08:00:00,1,2,calm,",
        "",
        "2025-06-15 08:01:00,,4.5,calm,7",
        "2025-06-15 08:02:00,5",
        '2025-06-15 08:03:00,6,"1,234",calm,8',
    )
    second, third, first = found(path, told)
    assert [one.name for one in (first, second, third)] == ['cpu/{host="a", dc="x/y"}', "cpu/column 5", "cpu/web-2"]
    assert first.relative == Path("cpu", '{host="a", dc="x_y"}.csv')
    assert lines(first) == [
        "timestamp,value",
        "2025-06-15 08:00:00,1",
        "",
        "2025-06-15 08:01:00,",
        "2025-06-15 08:02:00,5",
        "2025-06-15 08:03:00,6",
    ]
    assert lines(third)[4:] == ["2025-06-15 08:02:00", '2025-06-15 08:03:00,"1,234"']
    assert told == [f"{path}: not read, because it has no numbers: column 'note'"]


def test_semicolons_separate_columns_of_decimal_commas(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "cpu.csv", "sep=;", "Zeit;a;b", "2025-06-15 08:00:00;1,5;2,5")
    assert [(one.name, lines(one)[1]) for one in found(path)] == [
        ("cpu/a", "2025-06-15 08:00:00;1,5"),
        ("cpu/b", "2025-06-15 08:00:00;2,5"),
    ]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (("timestamp,value,host,core", "0,1,a,2"), None),
        (("timestamp,value", "0,1"), None),
        (("0,1",), None),
        (("time,cpu,host", "0,1,a"), "not read, because it has no numbers: column 'host'"),
        (("0,1,2", "60,1,2"), "columns after the second are not read: no header names them"),
        (("time,cpu,disk", "0,x,y"), None),
    ],
)
def test_other_csv_files_are_one_series_in_the_first_two_columns(
    tmp_path: Path, rows: tuple[str, ...], complaint: str | None
) -> None:
    told: list[str] = []
    path = csv_file(tmp_path / "cpu.csv", *rows)
    assert [(one.name, one.rows) for one in found(path, told)] == [("cpu.csv", None)]
    assert told == ([f"{path}: {complaint}"] if complaint else [])


def test_prometheus_answer_has_several_series(tmp_path: Path) -> None:
    values = [[START, "1.5"], [START + 60.25, "NaN"], [START + 120, "+Inf"]]
    path = answer(
        tmp_path / "load.json",
        ({"__name__": "load", "instance": "web-1:9100"}, values),
        ({"__name__": "load", "instance": 'we"b'}, values[:1]),
    )
    second, first = found(path)
    assert (first.name, second.name) == ('load/load{instance="web-1:9100"}', 'load/load{instance="we\\"b"}')
    assert first.relative.as_posix() == 'load/load{instance="web-1:9100"}.csv'
    assert lines(first) == ["timestamp,value", f"{START},1.5", f"{START + 60.25},NaN", f"{START + 120},+Inf"]
    listed = tmp_path / "promtool.json"
    listed.write_text(json.dumps(json.loads(path.read_text())["data"]["result"]))
    assert [lines(one) for one in found(listed)] == [lines(one) for one in found(path)]


def test_error_names_what_an_answer_lacks(tmp_path: Path) -> None:
    told: list[str] = []
    path = answer(tmp_path / "a.json", ({"__name__": "requests_total"}, [[START, "1"]]))
    data = json.loads(path.read_text())
    data["data"]["result"].append({"metric": {"__name__": "latency"}, "histograms": []})
    path.write_text(json.dumps(data))
    assert [one.name for one in found(path, told)] == ["a/requests_total"]
    assert told == [
        f"{path}: latency: left out: it has no plain values; query a quantile of a native histogram instead",
        f"{path}: requests_total is read as it is; if it is a counter, query rate(requests_total[5m]) instead",
    ]
    empty, told = answer(tmp_path / "b.json"), []
    with pytest.raises(SourceError, match=f"^{empty}: no series found"):
        found(empty, told)
    assert told == [f"{empty}: the query found no series"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "is not JSON: "),
        ('{"a": []}', "is not the result of a Prometheus range query"),
        ('{"status": "error", "errorType": "bad_data", "error": "parse error"}', "refused the query: parse error"),
        (
            '{"data": {"resultType": "vector", "result": []}}',
            "holds one moment .resultType vector.: query /api/v1/query_r",
        ),
        ('[{"metric": {"a": 1}, "values": []}]', "series 1: its metric is not a set of labels"),
        ('[{"metric": {}, "values": [[1, 2]]}]', r'{}: \[1, 2\] is not \[time, "value"\]'),
        ('[{"metric": {}, "values": [[1, "2,3"]]}]', "is not .time"),
        ('[{"metric": {}, "values": 7}]', "its values are not a list"),
    ],
)
def test_json_other_than_a_range_result_is_an_error(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(SourceError, match=f"^{path}: .*{error}"):
        found(path)


def test_other_json_in_a_folder_is_ignored(tmp_path: Path) -> None:
    csv_file(tmp_path / "cpu.csv", "0,1")
    (tmp_path / "windows.json").write_text('{"cpu.csv": []}')
    answer(tmp_path / "load.json", ({"__name__": "load"}, [[START, "1"]]))
    assert [one.name for one in found(tmp_path)] == ["cpu.csv", "load/load"]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    rows = "timestamp,value\n" + "".join(f"{START + 60 * row},{row}\n" for row in range(20_000))
    path = tmp_path / "cpu.csv.gz"
    path.write_bytes(gzip.compress(rows.encode()))
    (file,) = found(tmp_path)
    assert (file.name, file.relative, file.size_bytes) == ("cpu.csv.gz", Path("cpu.csv"), len(rows))
    assert "\n".join(lines(file)) + "\n" == rows
    assert file_span(file) == (START, START + 60 * 19_999)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-8] + b"00000000", whole[:3]):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match=f"^{path}: is a damaged or truncated gzip file"):
            read_through(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 and more", b"PAR1", b"BZh91AY", b"\xfd7zXZ", b"(\xb5/\xfd"])
def test_files_that_hold_no_lines_are_errors_that_say_what_they_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cpu.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"^{path}: is (a|compressed with) .*: (unpack it|export CSV)"):
        found(path)


def read_through(path: Path) -> None:
    (file,) = found(path)
    with Reader.open(file) as reader:
        while reader.next_lines():
            pass


def test_file_name_that_is_not_utf_8_is_written_as_text(tmp_path: Path) -> None:
    for byte in (b"\xff", b"\xe4"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf" + byte + b".csv")).write_text("0,1\n")
    assert [(one.name, one.stream) for one in found(tmp_path)] == [
        ("caf\\xe4.csv", "caf\\xe4"),
        ("caf\\xff.csv", "caf\\xff"),
    ]
    assert os.fsencode(found(tmp_path)[0].relative) == b"caf\xe4.csv"


def test_long_series_names_get_distinct_files(tmp_path: Path) -> None:
    labels = [{"__name__": "x", "id": "ä" * 400 + end} for end in "ab"]
    files = found(answer(tmp_path / "a.json", *((one, [[START, "1"]]) for one in labels)))
    assert len({one.relative for one in files}) == 2
    for file in files:
        (tmp_path / file.relative).parent.mkdir(exist_ok=True)
        (tmp_path / file.relative).touch()


def test_files_that_differ_in_their_suffix_are_not_mixed(tmp_path: Path) -> None:
    paths = [csv_file(tmp_path / name, "0,1") for name in ("cpu.2024", "cpu.2025")]
    with pytest.raises(SourceError, match=f"^{paths[0]} and {paths[1]} would both be called cpu; rename one"):
        find_files(paths)
    assert [one.stream for one in find_files([paths[0], paths[0]])] == ["cpu"]


def test_series_names_that_differ_in_a_slash_get_distinct_files(tmp_path: Path) -> None:
    path = answer(tmp_path / "a.json", *(({"path": one}, [[START, "1"]]) for one in ("/a/b", "/a_b", "/a\\b")))
    files = found(path)
    assert len({one.relative for one in files}) == len({one.stream for one in files}) == 3
    assert {one.name for one in files} == {'a/{path="/a/b"}', 'a/{path="/a_b"}', 'a/{path="/a\\\\b"}'}
    assert Path("a", '{path="_a_b"}.csv') in {one.relative for one in files}
    assert find_files([path, path]) == files


def test_duplicate_series_in_an_answer_is_an_error(tmp_path: Path) -> None:
    path = answer(tmp_path / "a.json", *(({"job": "api"}, [[START + at, "1"]]) for at in (0, 60)))
    with pytest.raises(SourceError, match=f"^{path}: {{job=.api.}} appears twice; save the answers"):
        found(path)


def test_header_may_have_any_length(tmp_path: Path) -> None:
    names = [f"cpu{{instance='web-{at:060}'}}" for at in range(1_000)]
    path = csv_file(tmp_path / "cpu.csv", ",".join(["Time", *names]), "0" + ",1" * 1_000, "60" + ",2" * 1_000)
    files = found(path)
    assert [one.series for one in files] == names
    assert lines(files[-1]) == ["timestamp,value", "0,1", "60,2"]


def test_files_named_json_in_a_folder_are_no_error(tmp_path: Path) -> None:
    csv_file(tmp_path / "cpu.csv", "0,1")
    (tmp_path / "empty.json").touch()
    (tmp_path / "text.json.gz").write_bytes(gzip.compress(b'"text, but no object"'))
    (tmp_path / "events.json").write_text('{"a": 1}\n{"a": 2}\n')
    told: list[str] = []
    assert [one.name for one in found(tmp_path, told)] == ["cpu.csv"]
    left_out = f"{tmp_path / 'events.json'}: left out: no line is a record with a sample; line 1: "
    assert [line[: len(left_out)] for line in told] == [left_out]


def test_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv_file(tmp_path / "cpu.csv", "0,1")
    (tmp_path / "secret").mkdir()
    listed = os.scandir

    def denied(path: str) -> Any:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", denied)
    told: list[str] = []
    assert [one.name for one in found(tmp_path, told)] == ["cpu.csv"]
    assert told == [f"{tmp_path / 'secret'}: left out: cannot be read: Permission denied"]
