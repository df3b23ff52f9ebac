"""The report, from files to the page: figures, schema, pictures, and names that need escaping."""

import dataclasses
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.backtest.alerts import alert_page
from detector.backtest.count import judge
from detector.backtest.history import Recorder
from detector.backtest.labels import read_labels
from detector.backtest.page import page
from detector.backtest.picture import picture
from detector.backtest.report import Report, Run
from detector.backtest.run import BacktestOptions, alert_lines, backtest, summary, write_report
from detector.errors import SourceError
from detector.pipeline import Pipeline
from detector.replay import find_files, replay
from detector.scoring import Scorer, ScorerSettings
from tests.backtest.histories import history, judged
from tests.replay.test_replay import pipeline
from tests.schemas import validator

START, STEP = 1_600_000_000, 300
NAMES = ("plain.csv", "a/<b>&'quoted\" name.csv", "a/no anomaly.csv", "gaps.csv")


def write(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{START + STEP * row},{'' if np.isnan(value) else repr(float(value))}" for row, value in enumerate(values)]
    path.write_text("timestamp,value\n" + "\n".join(rows) + "\n")


def pipeline_of(budget: float) -> Pipeline:
    made = pipeline()
    made.scorer = Scorer(ScorerSettings(alerts_per_stream_week=budget))
    return made


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> BacktestOptions:
    tmp_path = tmp_path_factory.mktemp("backtest")
    rng = np.random.default_rng(3)
    for name in (*NAMES, "unlabelled.csv"):
        values = rng.normal(10.0, 1.0, 1200)
        values[800:806] += 60.0 * (name != "a/no anomaly.csv")
        if name == "gaps.csv":
            values[300:500] = np.nan
        write(tmp_path / "series" / name, values)
    with (tmp_path / "series" / "plain.csv").open("a") as lines:
        lines.write("yesterday,1\n")
    window = [START + STEP * 798, START + STEP * 810]
    labels = {name: [] if "no anomaly" in name else [window, [START, START + STEP]] for name in NAMES}
    (tmp_path / "windows.json").write_text(json.dumps(labels))
    files = find_files([tmp_path / "series"])
    found = read_labels(tmp_path / "windows.json", files, print)
    return BacktestOptions([tmp_path / "series"], tmp_path / "windows.json", files, found, (0.1, 5.0))


@pytest.fixture(scope="module")
def report(options: BacktestOptions) -> Report:
    return backtest(options, pipeline_of, lambda line: None, lambda step: None)


def test_spikes_are_caught_and_the_json_has_its_schema(report: Report) -> None:
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    validator("backtest").validate(found)
    assert [run["alerts_per_stream_week"] for run in found["runs"]] == [0.1, 5.0]
    in_all = found["runs"][0]["in_all"]
    assert (in_all["series"], in_all["events"], in_all["caught"], in_all["not_judged"]) == (4, 3, 3, 3)
    assert (in_all["recall"], in_all["median_delay_samples"], in_all["median_delay_seconds"]) == (1.0, 2.0, 600.0)
    assert found["runs"][1]["in_all"]["alerts"] >= in_all["alerts"]
    assert [one["file"] for one in found["runs"][0]["series"]] == sorted(NAMES)
    assert [one["file"] for one in found["runs"][0]["unlabelled"]] == ["unlabelled.csv"]
    assert (found["rows"], found["malformed_rows"]) == (6001, 1)
    event = found["runs"][0]["series"][-1]["events"][1]
    assert (event["verdict"], event["start"]) == ("caught", "2020-09-16T06:56:40Z")


def test_malformed_rows_are_reported_once_and_progress_counts_every_byte(options: BacktestOptions) -> None:
    complaints: list[str] = []
    steps: list[int] = []
    backtest(options, pipeline_of, complaints.append, steps.append)
    assert len(complaints) == 1
    assert complaints[0].startswith(f"{options.files[-2].path}:1202: ")
    assert sum(steps) == 2 * sum(file.path.stat().st_size for file in options.files)


def test_verdicts_equal_those_of_replay(options: BacktestOptions, tmp_path: Path) -> None:
    recorder = Recorder()
    replay(options.files, tmp_path / "scores", None, pipeline, lambda line: None, lambda step: None, recorder)
    for file in options.files:
        one = recorder.history(file)
        rows = [line.split(",") for line in (tmp_path / "scores" / file.relative).read_text().splitlines()[1:1201]]
        assert one.scores.tolist() == [float(row[5]) for row in rows]
        assert np.isnan(one.values).tolist() == [row[1] == "" for row in rows]
        firing = [row[6] for row in rows]
        began = [row for row in range(1200) if firing[row] == "firing" != firing[row - 1]]
        assert [episode.fired_at for episode in one.episodes] == one.times[began].tolist()


def test_late_and_repeated_rows_are_skipped(tmp_path: Path) -> None:
    lines = ["timestamp,value", *(f"{START + 60 * row},{row}" for row in (0, 1, 1, 2, 0, 4)), f"{START + 180},"]
    (tmp_path / "x.csv").write_text("\n".join(lines) + f"\n{START + 300},\n{START + 360},6\n")
    recorder = Recorder()
    files = find_files([tmp_path / "x.csv"])
    replay(files, None, None, pipeline, lambda line: None, lambda step: None, recorder)
    found = recorder.history(files[0])
    assert ((found.times - START) / 60).tolist() == [0, 1, 2, 4, 5, 6]
    assert np.isnan(found.values).tolist() == [False, False, False, False, True, False]


class _Page(HTMLParser):
    """Elements, their open ends, and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page_has_one_picture_per_labelled_series_and_fetches_nothing(report: Report) -> None:
    text = page(report)
    read = _Page(text)
    assert read.open == []
    pictures = [attributes["aria-label"] for tag, attributes in read.tags if attributes.get("class") == "series"]
    assert sorted(map(str, pictures)) == sorted(NAMES)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in read.tags}
    assert not [attributes for _, attributes in read.tags if {"src", "onclick"} & attributes.keys()]
    assert "http" not in text
    assert "url(" not in text
    targets = {str(attributes["href"]) for tag, attributes in read.tags if tag == "a"}
    assert targets == {f"#{attributes['id']}" for tag, attributes in read.tags if tag == "figure"}


def test_every_colour_of_the_page_has_a_dark_variant(report: Report) -> None:
    text = page(report)
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    colours = [dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]+);", scheme)) for scheme in (light, dark)]
    assert colours[0].keys() == colours[1].keys()
    assert set(re.findall(r"var\((--[a-z-]+)\)", text)) == colours[0].keys()
    assert not re.findall(r"[:\s](#[0-9a-f]{3,6})[;\s\"]", text.replace(light, "").replace(dark, ""))


@pytest.fixture(scope="module")
def unjudged(options: BacktestOptions) -> Report:
    return backtest(
        dataclasses.replace(options, labels_file=None, labels={}), pipeline_of, lambda line: None, lambda step: None
    )


def test_without_labels_alerts_are_shown_but_not_judged(report: Report, unjudged: Report, tmp_path: Path) -> None:
    write_report(unjudged, tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())
    validator("backtest").validate(found)
    assert found["labels"] is None
    alerts = {one["file"]: one["alerts"] for one in found["runs"][0]["unlabelled"]}
    assert sorted(alerts) == sorted((*NAMES, "unlabelled.csv"))
    for one in report.as_json()["runs"][0]["series"]:
        assert [alert["id"] for alert in alerts[one["file"]]] == [alert["id"] for alert in one["alerts"]]
    text = (tmp_path / "report.html").read_text()
    read = _Page(text)
    assert read.open == []
    pictures = [attributes["aria-label"] for _, attributes in read.tags if attributes.get("class") == "series"]
    assert pictures == sorted(pictures, key=lambda name: -len(alerts[str(name)])), "most alerts first"
    assert len(pictures) == 5
    assert "alert false" not in text
    assert text.count('class="alert true"') == sum(map(len, alerts.values())) >= 4
    assert not {"labels", "false"} & set(read.words)
    total = sum(map(len, alerts.values()))
    assert (
        summary(unjudged).splitlines()[0].startswith(f"budget 0.1 per stream and week: {total} alerts in 4 of 5 series")
    )


def test_series_without_labels_are_named_if_they_have_alerts(report: Report) -> None:
    assert "Series with the most: \nunlabelled.csv (" in page(report)
    run = report.runs[0]
    calm = [dataclasses.replace(one, history=dataclasses.replace(one.history, episodes=())) for one in run.unlabelled]
    quiet = dataclasses.replace(report, runs=(dataclasses.replace(run, unlabelled=tuple(calm)),))
    assert "1 more series without labels, with 0 alerts in all, 0.00 per stream and week.\n</p>" in page(quiet)


def test_names_are_escaped(report: Report) -> None:
    text = page(report)
    assert "<b>&" not in text
    assert "a/<b>&'quoted\" name.csv" in "".join(_Page(text).words)


def test_every_picture_is_well_formed_and_finite(report: Report) -> None:
    for run in report.runs:
        for one in run.judged:
            drawn = picture(one)
            tree = ET.fromstring(drawn)
            assert "nan" not in drawn.replace("no anomaly", "")
            assert "inf" not in drawn
            shown = [element.get("class") for element in tree.iter()]
            assert shown.count("window") == len(one.events)
            assert sum(name in ("alert true", "alert false") for name in shown) == len(one.history.episodes)


@pytest.mark.parametrize("rows", [0, 1, 2, 11])
def test_short_series_have_a_picture(rows: int) -> None:
    run = Run.of(0.1, [judged(rows, [], [(0, 1)])], [])
    report = Report("series", "windows.json", "last-value", rows, 0, (run,))
    validator("backtest").validate(report.as_json())
    text = page(report)
    assert _Page(text).open == []
    assert text.count('<svg class="series"') == 1
    assert (", one every " in text) == (rows > 1)


def test_figures_on_the_page_have_an_explanation() -> None:
    run = Run.of(
        0.1, [judged(100, [(52, 60)], [(50, 55), (0, 3)])], [judge(history(100, [(40, 45)], name="x.csv"), None)]
    )
    words = "".join(_Page(page(Report("series", "windows.json", "last-value", 200, 0, (run,)))).words)
    assert "1 of 1 events caught · 1 not judged · median delay 2 min, 2 samples · 1 alert, 0 false" in words
    assert "1 more series without labels, with 1 alert in all" in words
    assert "event not judged" in words
    drawn = picture(run.judged[0])
    assert re.findall(r"<text[^>]*>(2|2\.1)</text>", drawn) == ["2"], "the highest score, not the end of its axis"


@pytest.mark.parametrize("labelled", [True, False])
def test_page_of_many_series_has_pictures_of_the_first(labelled: bool) -> None:
    quiet = [judge(history(30, [], name=f"{place}.csv"), [] if labelled else None) for place in range(101)]
    quiet[50] = judge(history(30, [(15, 20)], name="worst.csv"), [] if labelled else None)
    run = Run.of(0.1, quiet, []) if labelled else Run.of(0.1, [], quiet)
    text = (page if labelled else alert_page)(Report("s", "l" if labelled else None, "m", 3030, 0, (run,)))
    read = _Page(text)
    pictures = [attributes["aria-label"] for _, attributes in read.tags if attributes.get("class") == "series"]
    assert len(pictures) == 100
    assert pictures[0] == "worst.csv"
    targets = {str(attributes["href"]) for tag, attributes in read.tags if tag == "a"}
    assert targets == {f"#{attributes['id']}" for tag, attributes in read.tags if tag == "figure"}
    assert "Without a picture: 1 more series." in text


def test_summary_has_the_main_figures(report: Report) -> None:
    lines = summary(report).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("budget 0.1 per stream and week: 3 of 3 events caught, ")


def test_alerts_are_listed_highest_score_first_up_to_so_many(report: Report, unjudged: Report) -> None:
    lines, in_all = alert_lines(report), report.runs[0].in_all
    told = [float(line.partition("anomaly_score ")[2].partition(",")[0]) for line in lines]
    assert told == sorted(told, reverse=True)
    assert sum(line.endswith(", false") for line in lines) == in_all.false_alerts
    assert sum(line.endswith(", true") for line in lines) == in_all.alerts - in_all.false_alerts > 0
    assert not any(line.endswith((", true", ", false")) for line in alert_lines(unjudged))
    assert alert_lines(report, most=1) == [lines[0], f"  and {len(lines) - 1} more"]


def test_files_are_written_and_a_folder_that_cannot_be_is_said_by_name(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path / "new" / "report")
    written: dict[str, Any] = json.loads((tmp_path / "new" / "report" / "report.json").read_text())
    assert written == report.as_json()
    assert (tmp_path / "new" / "report" / "report.html").read_text() == page(report)
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=r"file: cannot be written: there is a file in its place"):
        write_report(report, tmp_path / "file")
