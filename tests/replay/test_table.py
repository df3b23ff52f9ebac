"""CSV files with several series below each other, and files with their columns or rows in another order."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from detector.errors import SourceError
from detector.replay import ReplayFile, find_files
from detector.replay.telling import telling_columns

START = 1_600_000_000


def found(path: Path, told: list[str] | None = None) -> dict[str, list[str]]:
    """Name -> rows of each series, without their header."""
    return {file.name: rows(file) for file in find_files([path], (told if told is not None else []).append)}


def rows(file: ReplayFile) -> list[str]:
    with file.open() as handle:
        return handle.read().decode().splitlines()[1:]


def csv_file(folder: Path, *lines: str) -> Path:
    path = folder / "cpu.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def grid(hosts: str = "ab", steps: int = 4) -> list[tuple[int, int, str]]:
    """(time, value, host) of each row, hosts side by side."""
    return [(START + 60 * step, 10 * step + at, host) for step in range(steps) for at, host in enumerate(hosts)]


def test_rows_of_several_series_are_told_apart_by_their_texts(tmp_path: Path) -> None:
    told: list[str] = []
    path = csv_file(tmp_path, "time,value,host", *(f"{time},{value},{host}" for time, value, host in grid()))
    assert found(path, told) == {
        f'cpu/{{host="{host}"}}': [f"{time},{value}" for time, value, own in grid() if own == host] for host in "ab"
    }
    assert told == [f"{path}: rows of several series, told apart by column 'host'"]


def test_metric_names_each_series_and_columns_may_have_any_order(tmp_path: Path) -> None:
    metrics = ("load", "temp")
    lines = (f"{host},{time},{m},{value}" for m in metrics for time, value, host in grid())
    names = [f'cpu/{metric}{{host="{host}"}}' for metric in metrics for host in "ab"]
    series = found(csv_file(tmp_path, "host,time,metric,value", *lines))
    assert list(series) == names
    assert series[names[1]] == [f"{time},{value}" for time, value, host in grid() if host == "b"]


def test_each_column_of_numbers_of_a_long_table_is_a_metric(tmp_path: Path) -> None:
    lines = (f"{host};{time};{value},5;{value}" for time, value, host in sorted(grid(), key=lambda row: row[2]))
    series = found(csv_file(tmp_path, "host;time;load;temp", *lines))
    assert list(series) == [f'cpu/{metric}{{host="{host}"}}' for metric in ("load", "temp") for host in "ab"]
    assert series['cpu/load{host="b"}'][0] == f"{START};1,5"


def test_column_called_name_is_a_label_where_columns_name_the_metrics(tmp_path: Path) -> None:
    lines = (f"{time},{host},{value},{value + 5}" for time, value, host in grid())
    series = found(csv_file(tmp_path, "time,name,load,temp", *lines))
    assert list(series) == [f'cpu/{metric}{{name="{host}"}}' for metric in ("load", "temp") for host in "ab"]
    assert series['cpu/temp{name="b"}'] == [f"{time},{value + 5}" for time, value, host in grid() if host == "b"]


def test_texts_that_change_within_a_series_do_not_tell_it_apart(tmp_path: Path) -> None:
    told: list[str] = []
    lines = [
        f"{time},{value},{host},{'ok' if value % 3 else 'bad'},x,{number},{host * 2}"
        for number, (time, value, host) in enumerate(grid(steps=9))
    ]
    path = csv_file(tmp_path, "time,value,host,state,region,row,rack", *lines)
    assert list(found(path, told)) == ['cpu/{host="a",rack="aa"}', 'cpu/{host="b",rack="bb"}']
    assert told == [
        f"{path}: rows of several series, told apart by column 'host', 'rack'",
        f"{path}: not read, because it does not tell series apart: column 'state', 'region', 'row'",
    ]


def test_text_beside_a_single_series_is_ignored(tmp_path: Path) -> None:
    lines = [f"{START + 60 * step},{step},{'ok' if step % 3 else 'bad'}" for step in range(9)]
    assert list(found(csv_file(tmp_path, "time,value,state", *lines))) == ["cpu.csv"]
    told: list[str] = []
    path = csv_file(tmp_path, "time,cpu,state", *lines)
    assert list(found(path, told)) == ["cpu.csv"]
    assert told == [f"{path}: not read, because it has no numbers: column 'state'"]


def test_hosts_that_report_at_times_of_their_own_are_told_apart_by_name(tmp_path: Path) -> None:
    lines = [f"{START + 7 * at},{at},{host}" for at, (_, _, host) in enumerate(grid())]
    assert list(found(csv_file(tmp_path, "time,value,host", *lines))) == ['cpu/{host="a"}', 'cpu/{host="b"}']


def test_whole_numbers_may_tell_series_apart_where_another_column_is_the_value(tmp_path: Path) -> None:
    lines = [f"{time},{'ab'.index(host)},{value}" for time, value, host in grid()]
    assert list(found(csv_file(tmp_path, "time,core,value", *lines))) == ['cpu/{core="0"}', 'cpu/{core="1"}']
    assert list(found(csv_file(tmp_path, "time,core_id,cpu", *lines))) == [
        'cpu/cpu{core_id="0"}',
        'cpu/cpu{core_id="1"}',
    ]
    assert list(found(csv_file(tmp_path, "time,core,cpu", *lines))) == ["cpu/core", "cpu/cpu"]


def test_export_of_influxdb_is_read(tmp_path: Path) -> None:
    told: list[str] = []
    header = ",result,table,_start,_stop,_time,_value,_field,host"
    lines = [f",,{at},s,e,{time},{value},usage,{host}" for at, h in enumerate("ab") for time, value, host in grid(h)]
    annotated = ["#group,false", "#datatype,string", header]
    path = csv_file(tmp_path, *annotated, *lines[:4], "", *annotated, *lines[4:])
    series = found(path, told)
    assert list(series) == ['cpu/{host="a"}', 'cpu/{host="b"}']
    assert [len(each) for each in series.values()] == [4, 4]
    assert told == [
        f"{path}: rows of several series, told apart by column 'host'",
        f"{path}: not read, because it does not tell series apart: column '_field'",
    ]


@pytest.mark.parametrize(
    ("lines", "series"),
    [
        (("# from x", "# to y", "time,value", "0,1", "60,2"), {"cpu.csv": ["0,1", "60,2"]}),
        (("value,time", "1,0", "2,60"), {"cpu.csv": ["0,1", "60,2"]}),
        ((",time,value", "0,0,1", "1,60,2"), {"cpu.csv": ["0,1", "60,2"]}),
        (("time,expected,value", "0,1,2"), {"cpu.csv": ["0,2"]}),
        (("date,time,value", "2025-06-15,08:00,1"), {"cpu.csv": ["2025-06-15 08:00,1"]}),
        (("time,date,value", "08:00,2025-06-15,1"), {"cpu.csv": ["2025-06-15 08:00,1"]}),
        (("timestamp,time,value", "0,5,1", "60,6,2"), {"cpu.csv": ["0,1", "60,2"]}),
        (("time,,disk", "0,1,2", "60,1,2"), {"cpu/column 2": ["0,1", "60,1"], "cpu/disk": ["0,2", "60,2"]}),
        (("host,time,cpu,disk", "a,0,1,2"), {"cpu/cpu": ["0,1"], "cpu/disk": ["0,2"]}),
        (("time,host,cpu", "2025-06-15 08:00:00 UTC,a,1"), {"cpu/cpu": ["2025-06-15 08:00:00,1"]}),
        (("time,value", "60,2", "0,1"), {"cpu.csv": ["0,1", "60,2"]}),
        (("60,2", "60,2", "0,1"), {"cpu.csv": ["60,2", "60,2"]}),
        (("time,a,b", "60,2,4", "0,1,3"), {"cpu/a": ["0,1", "60,2"], "cpu/b": ["0,3", "60,4"]}),
    ],
)
def test_columns_and_rows_may_stand_in_another_order(
    tmp_path: Path, lines: tuple[str, ...], series: dict[str, list[str]]
) -> None:
    assert found(csv_file(tmp_path, *lines)) == series


def test_rows_that_are_mostly_unordered_stay_as_they_are(tmp_path: Path) -> None:
    lines = [f"{START + 60 * at},1" for at in (3, 1, 2, 0)]
    assert found(csv_file(tmp_path, "time,value", *lines)) == {"cpu.csv": lines}


def test_files_that_hold_no_values_are_errors(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "host,time,cpu", "a,0,high")
    with pytest.raises(SourceError, match=f"^{path}: no column of its header holds numbers"):
        found(path)
    path.write_bytes("time,cpu,disk\n0,1,2\n".encode("utf-16"))
    with pytest.raises(SourceError, match=f"^{path}: is UTF-16; save it as UTF-8"):
        found(path)
    path.write_bytes(b"time,value\r0,1\r60,2\r")
    with pytest.raises(SourceError, match=f"^{path}: its lines end with a carriage return alone"):
        found(path)


def test_column_of_values_is_not_kept_in_memory_as_texts(tmp_path: Path) -> None:
    from detector.replay import table

    column = table._Column(may_tell=True, whole_may_tell=False)
    for at in range(100):
        column.add(f"{at}.5", ",")
    assert (column.numbers, column.may_tell, len(column.known), len(column.codes)) == (True, False, 0, 0)


def test_rows_told_apart_do_not_depend_on_their_order() -> None:
    """Hosts side by side, one after the other, newest first, or with a few rows late: the same column."""
    hosts, steps = np.repeat([0, 1], 200), np.tile(np.arange(200.0), 2)
    late = np.argsort(steps, kind="stable")
    late[[40, 43]] = late[[43, 40]]
    states = (steps % 7 == 0).astype(np.int64)
    for order in (np.arange(400), np.arange(400)[::-1], np.argsort(steps, kind="stable"), late):
        for columns in itertools.permutations([hosts, states]):
            chosen = telling_columns(steps[order], [column[order] for column in columns], [False, False])
            assert [columns[at] is hosts for at in chosen] == [True]
