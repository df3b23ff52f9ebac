"""The command: replays at each alert budget, compares with the labels, writes the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.backtest.alerts import alert_page, count, rate
from detector.backtest.count import judge
from detector.backtest.history import Recorder
from detector.backtest.labels import Window, iso
from detector.backtest.page import page
from detector.backtest.report import Report, Run
from detector.backtest.ticks import duration
from detector.pipeline import Pipeline
from detector.replay import ReplayFile, plural, replay
from detector.replay.output import whole, writing


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What to replay, and what to compare it with."""

    data: Sequence[Path]
    labels_file: Path | None
    """None without labels: alerts are then shown but not judged."""
    files: list[ReplayFile]
    labels: dict[str, list[Window]]
    """By relative path, as `read_labels` gives them."""
    budgets: Sequence[float]
    """Alerts per stream and week; at least one."""


def backtest(
    options: BacktestOptions,
    pipeline: Callable[[float], Pipeline],
    complain: Callable[[str], None],
    progress: Callable[[int], None],
) -> Report:
    """Replay once for each budget, in a pipeline with that budget.

    `complain` receives what is wrong with rows, only once; `progress` the number of bytes read. Raises SourceError.
    """
    runs: list[Run] = []
    rows = malformed = 0
    model = ""

    def fresh(budget: float) -> Pipeline:
        nonlocal model
        made = pipeline(budget)
        model = made.model
        return made

    for budget in options.budgets:
        recorder = Recorder()
        done = replay(
            options.files,
            None,
            None,
            lambda budget=budget: fresh(budget),  # type: ignore[misc]
            complain if not runs else lambda _line: None,
            progress,
            recorder,
        )
        rows, malformed = done.rows, done.malformed_rows
        everything = [judge(recorder.history(file), _windows(options, file)) for file in options.files]
        judged = [one for one in everything if one.history.name in options.labels]
        runs.append(Run.of(budget, judged, [one for one in everything if one.history.name not in options.labels]))
    labels = None if options.labels_file is None else str(options.labels_file)
    data = str(options.data[0]) + (f" and {len(options.data) - 1} more" if len(options.data) > 1 else "")
    return Report(data, labels, model, rows, malformed, tuple(runs))


def _windows(options: BacktestOptions, file: ReplayFile) -> list[Window] | None:
    return options.labels.get(file.name)


def alert_lines(report: Report, most: int = 20) -> list[str]:
    """Alerts at the first budget for a terminal, one line each: the `most` with the highest scores, highest first."""
    run = report.runs[0]
    found = [
        (episode, false, one.history)
        for one in (*run.judged, *run.unlabelled)
        for episode, false in zip(one.history.episodes, one.false, strict=True)
    ]
    found.sort(key=lambda alert: -alert[0].anomaly_score)
    lines = []
    for episode, false, history in found[:most]:
        lasted = duration(episode.until(float(history.times[-1])) - episode.fired_at)
        verdict = {True: ", false", False: ", true", None: ""}[false]
        lines.append(
            f"  {history.name}: {iso(episode.fired_at)} UTC for {lasted}, {episode.direction}, {episode.severity}, "
            f"anomaly_score {episode.anomaly_score:.1f}{verdict}"
        )
    return lines if len(found) <= most else [*lines, f"  and {len(found) - most} more"]


def summary(report: Report) -> str:
    """One line per alert budget, for a terminal."""
    lines = []
    for run in report.runs:
        if report.labels is None:
            lines.append(_unjudged(run))
            continue
        found = run.in_all
        rate = found.false_alerts_per_stream_week
        lines.append(
            f"budget {run.alerts_per_stream_week:g} per stream and week: {found.caught} of {found.events} events "
            f"caught, {plural(found.alerts, 'alert')}, {found.false_alerts} false"
            + (f" ({rate:.2f} per stream and week)" if rate is not None else "")
            + (f", F1 {found.f1:.2f}" if found.f1 is not None else "")
        )
    return "\n".join(lines)


def _unjudged(run: Run) -> str:
    weekly = rate(run.unlabelled)
    return (
        f"budget {run.alerts_per_stream_week:g} per stream and week: {plural(count(run.unlabelled), 'alert')} in "
        f"{sum(bool(one.history.episodes) for one in run.unlabelled)} of {len(run.unlabelled)} series"
        + (f" ({weekly:.2f} per stream and week)" if weekly is not None else "")
    )


def write_report(report: Report, folder: Path) -> None:
    """Write `report.json` and `report.html` to `folder`. If it raises SourceError, an earlier report stays."""
    text = json.dumps(report.as_json(), indent=1, allow_nan=False) + "\n"
    made = alert_page(report) if report.labels is None else page(report)
    with whole(folder / "report.json") as data, whole(folder / "report.html") as shown:
        with writing(folder / "report.json"):
            data.write(text.encode())
        with writing(folder / "report.html"):
            # A file's name need not be UTF-8; a page must.
            shown.write(made.encode(errors="replace"))
