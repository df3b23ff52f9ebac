"""`detector replay`: scores recorded series."""

from pathlib import Path
from typing import Annotated

import typer

from detector.cli.application import SERIES_HELP, ConfigOption, app, examples


@app.command(
    epilog=examples(
        "detector replay cpu.csv --scores scored/",
        "detector replay series/ --scores scored/ --alerts alerts.jsonl -c config.yaml",
    ),
)
def replay(
    inputs: Annotated[
        list[Path],
        typer.Argument(help=SERIES_HELP, metavar="INPUT"),
    ],
    scores: Annotated[Path, typer.Option(help="Folder for scored files, one per series.", metavar="DIR")],
    alerts: Annotated[
        Path | None, typer.Option(help="Write alerts to this file, as JSON lines.", metavar="FILE")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Score recorded series with the same pipeline as `run`."""
    from detector.config import load
    from detector.progress import byte_progress
    from detector.replay import RecordFormat, demand_rows, find_files
    from detector.replay import replay as replay_files

    def complain(line: str) -> None:
        typer.echo(line, err=True)

    loaded = load(config)
    files = find_files(inputs, complain, RecordFormat(loaded.decoder, loaded.streams.counters == "raw"))
    from detector.app import build_pipeline

    with byte_progress("replay", sum(file.size_bytes for file in files)) as advance:
        done = replay_files(files, scores, alerts, lambda: build_pipeline(loaded), complain, advance)
    typer.echo(f"{done.line()}; scores in {scores}", err=True)
    demand_rows(files, done.rows - done.malformed_rows)
