"""`detector backtest`: which alerts recorded series would have raised, compared with known anomalies."""

from pathlib import Path
from typing import Annotated

import typer

from detector.cli.application import SERIES_HELP, ConfigOption, app, examples

SeriesArgument = Annotated[
    list[Path],
    typer.Argument(help=SERIES_HELP, metavar="SERIES"),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        help='Known anomalies as JSON: {"relative/path.csv": [[start, end], ...]}, or as produce --labels writes them. '
        "Without labels, alerts are listed but not called true or false.",
        metavar="FILE",
    ),
]


@app.command(
    short_help="Replay recorded series and report their alerts, with pictures.",
    epilog=examples(
        "detector backtest series/",
        "detector backtest series/ --labels windows.json --report july",
        "detector backtest cpu.csv --alerts-per-stream-week 0.1 --alerts-per-stream-week 1",
        "detector backtest query_range.json     # a query result from Prometheus",
        "detector backtest records.jsonl        # records of a topic, one per line",
    ),
)
def backtest(
    data: SeriesArgument,
    labels: LabelsOption = None,
    report: Annotated[Path, typer.Option(help="Folder for report.html and report.json.", metavar="DIR")] = Path(
        "backtest-report"
    ),
    alerts_per_stream_week: Annotated[
        list[float] | None,
        typer.Option(
            metavar="NUMBER",
            min=1e-6,
            max=10_000,
            help="Alert budget, instead of the configuration's; may be repeated.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Replay recorded series and report their alerts, compared with known anomalies where labels name them."""
    from detector.backtest.labels import read_labels
    from detector.backtest.run import BacktestOptions, alert_lines, summary, write_report
    from detector.backtest.run import backtest as run_backtest
    from detector.config import load
    from detector.progress import byte_progress
    from detector.replay import RecordFormat, demand_rows, find_files
    from detector.replay.output import make_folder

    def complain(line: str) -> None:
        typer.echo(line, err=True)

    loaded = load(config)
    files = find_files(data, complain, RecordFormat(loaded.decoder, loaded.streams.counters == "raw"))
    budgets = alerts_per_stream_week or [loaded.scoring.alerts_per_stream_week]
    known = read_labels(labels, files, complain) if labels else {}
    make_folder(report)
    options = BacktestOptions(data, labels, files, known, budgets)
    from detector.app import build_pipeline
    from detector.pipeline import Pipeline

    def pipeline(budget: float) -> Pipeline:
        scoring = loaded.scoring.model_copy(update={"alerts_per_stream_week": budget})
        return build_pipeline(loaded.model_copy(update={"scoring": scoring}))

    total_bytes = len(budgets) * sum(file.size_bytes for file in files)
    with byte_progress("backtest", total_bytes) as advance:
        found = run_backtest(options, pipeline, complain, advance)
    demand_rows(files, found.rows - found.malformed_rows)
    write_report(found, report)
    for line in (summary(found), *alert_lines(found)):
        typer.echo(line)
    typer.echo(f"{report / 'report.html'}, {report / 'report.json'}", err=True)
