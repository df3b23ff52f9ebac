"""Replay: one output row for every input row."""

import csv
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from detector.alerts import Lifecycle
from detector.errors import SourceError
from detector.pipeline import Pipeline
from detector.replay import ROWS_PER_SLICE, Summary, find_files, replay
from detector.replay.run import SPARE_FILES
from detector.replay.verdicts import HEADER
from detector.scoring import Scorer
from detector.testing import LastValueForecaster


def pipeline() -> Pipeline:
    return Pipeline(
        LastValueForecaster(),
        Scorer(),
        Lifecycle(anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0),
        max_streams=1000,
        idle_expiry_seconds=604_800.0,
        max_future_seconds=3600.0,
        critical_score=2.0,
        model="last-value",
    )


def write(path: Path, rows: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("timestamp,value\n" + "".join(row + "\n" for row in rows))
    return path


def series(seed: int, count: int, start: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"{start + 300 * i},{v!r}" for i, v in enumerate(rng.normal(10, 1, count).tolist())]


def run(inputs: list[Path], scores: Path, alerts: Path | None = None) -> tuple[Summary, list[str]]:
    complaints: list[str] = []
    done = replay(find_files(inputs), scores, alerts, pipeline, complaints.append, lambda read: None)
    return done, complaints


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        reader = csv.DictReader(lines)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == HEADER
    return rows


def test_every_row_has_a_verdict_in_order(tmp_path: Path) -> None:
    lines = series(1, 600, 1_600_000_000)
    lines[500] = lines[500].split(",")[0] + ",900"
    write(tmp_path / "in" / "a" / "x.csv", lines)
    done, complaints = run([tmp_path / "in"], tmp_path / "out", tmp_path / "alerts.jsonl")
    rows = rows_of(tmp_path / "out" / "a" / "x.csv")
    assert [f"{row['timestamp']},{row['value']}" for row in rows] == lines
    assert all(float(row["anomaly_score"]) == 0 for row in rows[:60])
    assert float(rows[500]["anomaly_score"]) > 1
    assert rows[500]["alert"] == "firing"
    assert float(rows[500]["upper"]) < 900
    assert complaints == []
    assert (done.files, done.rows, done.scored) == (1, 600, 540)
    assert (tmp_path / "alerts.jsonl").read_text().count('"status":"firing"') == done.alerts >= 1


def test_malformed_rows_are_reported_with_file_and_line_and_the_rest_is_scored(tmp_path: Path) -> None:
    lines = series(2, 100, 1_600_000_000)
    lines[70], lines[80], lines[90] = "yesterday,1", lines[80].split(",")[0] + ",", "no comma"
    path = write(tmp_path / "x.csv", lines)
    done, complaints = run([path], tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "x.csv")
    assert len(rows) == 100
    assert [line.split(": ")[0] for line in complaints] == [f"{path}:72", f"{path}:92"]
    assert rows[70]["timestamp"] == "yesterday"
    for at in (70, 80, 90):
        assert (rows[at]["anomaly_score"], rows[at]["expected"], rows[at]["alert"]) in (("0", "", ""), ("0.0", "", ""))
    assert rows[99]["expected"] != ""
    assert done.malformed_rows == 2


def test_files_of_any_length_and_age_do_not_influence_each_other(tmp_path: Path) -> None:
    long, short = series(3, ROWS_PER_SLICE * 2 + 7, 1_300_000_000), series(4, 90, 1_700_000_000)
    write(tmp_path / "both" / "long.csv", long)
    write(tmp_path / "both" / "short.csv", short)
    run([tmp_path / "both"], tmp_path / "together")
    run([tmp_path / "both" / "long.csv"], tmp_path / "alone")
    run([tmp_path / "both" / "short.csv"], tmp_path / "alone")
    for name in ("long.csv", "short.csv"):
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_rows_separated_by_semicolons_keep_their_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("Zeit;Wert\n1600000000;1,5\n1600000300;1,6\n")
    done, complaints = run([tmp_path / "x.csv"], tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "x.csv")
    assert [(row["timestamp"], row["value"]) for row in rows] == [("1600000000", "1,5"), ("1600000300", "1,6")]
    assert (done.malformed_rows, len(complaints)) == (0, 1)


def test_repeated_and_late_rows_get_no_score(tmp_path: Path) -> None:
    lines = series(5, 100, 1_600_000_000)
    lines.insert(81, lines[80])
    lines.insert(82, lines[10])
    run([write(tmp_path / "x.csv", lines)], tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "x.csv")
    assert len(rows) == 102
    assert float(rows[81]["anomaly_score"]) == float(rows[82]["anomaly_score"]) == 0
    assert float(rows[83]["anomaly_score"]) > 0


def test_input_is_never_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "x.csv", series(6, 10, 1_600_000_000))
    before = path.read_bytes()
    for scores, alerts in ((tmp_path / "in", None), (tmp_path / "out", path)):
        with pytest.raises(SourceError, match=r"x\.csv is an input and would be overwritten"):
            run([tmp_path / "in"], scores, alerts)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(SourceError, match="is an input"):
        run([tmp_path / "in"], tmp_path / "link")
    assert path.read_bytes() == before


def test_first_malformed_rows_are_reported_and_the_rest_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", ["yesterday,1"] * (ROWS_PER_SLICE + 100))
    done, complaints = run([path], tmp_path / "out")
    assert len(complaints) == 6
    assert complaints[-1] == f"{path}: {ROWS_PER_SLICE + 95} more rows that cannot be read"
    assert done.malformed_rows == ROWS_PER_SLICE + 100


def test_summary_explains_rows_without_a_score(tmp_path: Path) -> None:
    lines = series(7, 70, 1_600_000_000)
    done, _ = run([write(tmp_path / "x.csv", [*lines, lines[3], lines[69], "no comma"])], tmp_path / "out")
    assert done.line() == "1 file, 73 rows (10 scored, 60 warmup, 1 late, 1 duplicate, 1 malformed), 0 alerts"


def test_files_out_of_order_or_too_short_are_named(tmp_path: Path) -> None:
    good = series(8, 70, 1_600_000_000)
    back = write(tmp_path / "in" / "back.csv", [*good[35:], *good[:35]])
    twice = write(tmp_path / "in" / "twice.csv", [*good, good[3], good[69]])
    short = write(tmp_path / "in" / "short.csv", good[:60])
    again = write(tmp_path / "in" / "again.csv", [line for line in good for _ in range(2)])
    write(tmp_path / "in" / "good.csv", good)
    write(tmp_path / "in" / "gaps.csv", [line.split(",")[0] + "," for line in good])
    _, complaints = run([tmp_path / "in"], tmp_path / "out")
    old = "rows are not newer than an earlier row and have no score; sort the file"
    assert complaints == [
        f"{again}: 70 of 140 rows have the same time as the row before and no score",
        f"{back}: 35 of 70 {old}",
        f"{short}: none of 60 rows has a score: the first scoring.warmup_samples are only learned from",
        f"{twice}: 2 of 72 {old}",
    ]


def test_times_that_are_no_unix_times_are_named(tmp_path: Path) -> None:
    days = write(tmp_path / "in" / "days.csv", series(8, 70, 45_000))
    write(tmp_path / "in" / "seconds.csv", series(8, 70, 1_600_000_000))
    _, complaints = run([tmp_path / "in"], tmp_path / "out")
    told = "all its times lie in 1970; they are read as unix time, not as row numbers or days"
    assert complaints == [f"{days}: {told}"]


def test_series_with_discarded_rows_are_named(tmp_path: Path) -> None:
    good = series(9, 70, 1_600_000_000)
    early = write(tmp_path / "in" / "early.csv", ["-60,1", "-120,1", *good[:68]])
    huge = write(tmp_path / "in" / "huge.csv", [*good[:68], *(line.split(",")[0] + ",1e31" for line in good[68:])])
    never = write(tmp_path / "in" / "never.csv", [line.split(",")[0] + ",NaN" for line in good])
    write(tmp_path / "in" / "rarely.csv", [*good[:69], good[69].split(",")[0] + ",NaN"])
    _, complaints = run([tmp_path / "in"], tmp_path / "out")
    assert complaints == [
        f"{early}: 2 of 70 rows are discarded: 2 bad_timestamp",
        f"{huge}: 2 of 70 rows are discarded: 2 out_of_range",
        f"{never}: 70 of 70 rows are discarded: 70 not_finite",
    ]


def test_invalid_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere: no such file"):
        find_files([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no \.csv file"):
        find_files([tmp_path / "empty"])
    for stream in (Path("-"), Path("/dev/null")):
        with pytest.raises(SourceError, match=f"{stream}: is neither a file nor a folder; save its content to a file"):
            find_files([stream])
    a, b = write(tmp_path / "a" / "x.csv", []), write(tmp_path / "b" / "x.csv", [])
    with pytest.raises(SourceError, match=r"would both be called x; rename one of them"):
        find_files([a, b])


def test_uppercase_suffix_counts_but_not_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "old.csv" / "A.CSV", [])
    assert [file.stream for file in find_files([tmp_path])] == ["old.csv/A"]


def test_empty_file_gives_an_empty_output(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("")
    done, _ = run([tmp_path / "x.csv"], tmp_path / "out")
    assert rows_of(tmp_path / "out" / "x.csv") == []
    assert done.rows == 0


def test_number_of_open_files_is_bounded(tmp_path: Path) -> None:
    for number in range(60):
        write(tmp_path / "in" / f"{number}.csv", series(number, 3, 1_600_000_000))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + SPARE_FILES, before[1]))
    try:
        done, _ = run([tmp_path / "in"], tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (done.files, len(list((tmp_path / "out").iterdir()))) == (60, 60)


@pytest.mark.parametrize("output", ["scores", "alerts"])
def test_full_disk_leaves_no_partial_file(tmp_path: Path, output: str) -> None:
    lines = series(1, 600, 1_600_000_000)
    lines[500] = lines[500].split(",")[0] + ",900"
    path = write(tmp_path / "x.csv", lines)
    target = tmp_path / "out" / "x.csv" if output == "scores" else tmp_path / "alerts.jsonl"
    target.parent.mkdir(exist_ok=True)
    target.write_text("of before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    scores, alerts = (tmp_path / "out", None) if output == "scores" else (None, target)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(SourceError, match=f"{target.name}.*: cannot be written: File too large"):
            replay(find_files([path]), scores, alerts, pipeline, lambda line: None, lambda read: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert target.read_text() == "of before"
    assert not list(tmp_path.rglob("*.part"))


def test_alerts_may_be_written_to_a_pipe(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", series(1, 70, 1_600_000_000))
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    run([path], tmp_path / "out", tmp_path / "pipe")
    os.close(reading)
    assert (tmp_path / "pipe").is_fifo()
