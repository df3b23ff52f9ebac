"""Files of records, one JSON value per line."""

import json
from pathlib import Path

import pytest

from detector.config.decoder import Decoder as Settings
from detector.errors import SourceError
from detector.replay import RecordFormat, find_files

START = 1_600_000_000


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(record if isinstance(record, str) else json.dumps(record) + "\n" for record in records))
    return path


def record(step: int, value: object, name: str = "load", **labels: str) -> dict[str, object]:
    return {"name": name, "labels": labels, "timestamp": START + 60 * step, "value": value}


def found(path: Path, told: list[str] | None = None, **records: object) -> dict[str, list[str]]:
    """Name -> rows of each series, without their header."""
    files = find_files([path], (told if told is not None else []).append, RecordFormat(**records))  # type: ignore[arg-type]
    series = {}
    for file in files:
        with file.open() as handle:
            series[file.name] = handle.read().decode().splitlines()[1:]
    return series


def test_each_series_of_records_is_replayed(tmp_path: Path) -> None:
    records = [record(step, step + at, host=host) for step in range(3) for at, host in enumerate("ab")]
    (tmp_path / "day").mkdir()
    jsonl(tmp_path / "day" / "1.jsonl", *records)
    series = found(tmp_path)
    assert list(series) == ['day/1/load{host="a"}', 'day/1/load{host="b"}']
    assert series['day/1/load{host="b"}'] == [f"{START + 60 * step}.0,{step + 1}.0" for step in range(3)]


def test_counters_become_rates(tmp_path: Path) -> None:
    totals = [5.0, 65.0, None, 125.0, 0.0, 6.0]
    path = jsonl(tmp_path / "a.jsonl", *(record(step, total, "x_total") for step, total in enumerate(totals)))
    (rows,) = found(path).values()
    assert [row.partition(",")[2] for row in rows] == ["", "1.0", "", "0.5", "", "0.1"]
    (rows,) = found(path, raw_counters=True).values()
    assert [row.partition(",")[2] for row in rows] == ["5.0", "65.0", "", "125.0", "0.0", "6.0"]


def test_configured_decoder_reads_the_records(tmp_path: Path) -> None:
    lines = [{"name": "cpu", "tags": {"host": "a"}, "fields": {"idle": at}, "timestamp": START + at} for at in (1, 2)]
    path = jsonl(tmp_path / "a.json", *lines)
    assert list(found(path, settings=Settings(type="telegraf"))) == ['a/cpu_idle{host="a"}']
    with pytest.raises(SourceError, match=f"^{path}: no line is a record with a sample; line 1: "):
        found(path)


def test_lines_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    told: list[str] = []
    path = jsonl(tmp_path / "a.jsonl", record(0, 1), "\n", *(["what\n"] * 7), record(1, 2))
    assert [len(rows) for rows in found(path, told).values()] == [2]
    assert len(told) == 6
    assert told[0].startswith(f"{path}: left out: line 3: syntax: ")
    assert told[-1] == f"{path}: left out: 2 more lines"


def test_answer_of_prometheus_may_end_with_blank_lines(tmp_path: Path) -> None:
    result = {"data": {"resultType": "matrix", "result": [{"metric": {"__name__": "up"}, "values": [[START, "1"]]}]}}
    assert list(found(jsonl(tmp_path / "a.json", result, "\n \n"))) == ["a/up"]
