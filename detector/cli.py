"""The command line. Commands import what they need when they run, so that `--help` and `check-config` are quick."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from detector import __version__
from detector.errors import ConfigError, DetectorError

app = typer.Typer(
    help="Streaming anomaly detection on metrics: Kafka in, an LSTM forecast per stream, alerts and metrics out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file; every default where none is given.", metavar="FILE"),
]


def main() -> None:
    """Console script: errors of ours and of the system are a message and an exit code, not a traceback."""
    try:
        app()
    except ConfigError as exc:
        sys.exit(_complain(exc, code=2))
    except BrokenPipeError:
        sys.exit(1)
    except (DetectorError, OSError) as exc:
        sys.exit(_complain(exc, code=1))


def _complain(exc: Exception, code: int) -> int:
    typer.echo(f"detector: {exc}", err=True)
    return code


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"detector {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Options that come before a command."""


@app.command()
def run(config: ConfigOption = None) -> None:
    """Run the worker until SIGTERM, or until its files are read to their end."""
    from detector.config import load

    loaded = load(config)
    from detector import app as wiring

    wiring.run(loaded)


@app.command("check-config")
def check_config(config: ConfigOption = None) -> None:
    """Check a configuration file and report every error in it."""
    from detector.config import load

    load(config)
    typer.echo(f"{config or 'the defaults'}: ok")


@app.command()
def replay(
    inputs: Annotated[list[Path], typer.Argument(help="CSV files `timestamp,value`, or folders of them.")],
    scores: Annotated[Path, typer.Option(help="Folder for one scored file an input.", metavar="DIR")],
    alerts: Annotated[Path | None, typer.Option(help="File for alerts as JSON lines.", metavar="FILE")] = None,
    config: ConfigOption = None,
) -> None:
    """Score recorded series with the very pipeline that `run` uses."""
    from detector.config import load
    from detector.progress import byte_progress
    from detector.replay import find_files
    from detector.replay import replay as replay_files

    loaded = load(config)
    files = find_files(inputs)
    from detector.app import build_pipeline

    with byte_progress("replay", sum(file.path.stat().st_size for file in files)) as advance:
        done = replay_files(
            files, scores, alerts, lambda: build_pipeline(loaded), lambda line: typer.echo(line, err=True), advance
        )
    typer.echo(
        f"{done.files} files, {done.rows} rows, {done.scored} scored, {done.malformed_rows} malformed, "
        f"{done.alerts} alerts; scores in {scores}",
        err=True,
    )


@app.command()
def backtest(
    data: Annotated[Path, typer.Argument(help="Folder of CSV series `timestamp,value`, or one of them.")],
    labels: Annotated[
        Path, typer.Option(help='JSON: {"relative/path.csv": [[start, end], ...]}, known anomalies.', metavar="FILE")
    ],
    report: Annotated[Path, typer.Option(help="Folder for report.html and report.json.", metavar="DIR")] = Path(
        "backtest-report"
    ),
    alerts_per_stream_week: Annotated[
        list[float] | None,
        typer.Option(min=1e-6, max=10_000, help="Alarm budget in place of the configuration's; may be repeated."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Replay recorded series and hold the alerts against what is known to have been wrong."""
    from detector.backtest.labels import read_labels
    from detector.backtest.run import BacktestOptions, summary, write_report
    from detector.backtest.run import backtest as run_backtest
    from detector.config import load
    from detector.progress import byte_progress
    from detector.replay import find_files

    loaded = load(config)
    files = find_files([data])
    budgets = alerts_per_stream_week or [loaded.scoring.alerts_per_stream_week]
    options = BacktestOptions(data, labels, files, read_labels(labels, files), budgets)
    from detector.app import build_pipeline
    from detector.pipeline import Pipeline

    def pipeline(budget: float) -> Pipeline:
        scoring = loaded.scoring.model_copy(update={"alerts_per_stream_week": budget})
        return build_pipeline(loaded.model_copy(update={"scoring": scoring}))

    total_bytes = len(budgets) * sum(file.path.stat().st_size for file in files)
    with byte_progress("backtest", total_bytes) as advance:
        found = run_backtest(options, pipeline, lambda line: typer.echo(line, err=True), advance)
    write_report(found, report)
    typer.echo(summary(found))
    typer.echo(f"{report / 'report.html'}, {report / 'report.json'}", err=True)


@app.command()
def train(
    output: Annotated[Path, typer.Option(help="Weights file to write; its card goes beside it.", metavar="FILE")],
    data: Annotated[
        list[Path] | None, typer.Argument(help="CSV files `timestamp,value`, or folders of them.", show_default=False)
    ] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Learn from generated streams.")] = False,
    cell: Annotated[str, typer.Option(help="Recurrent cell: rnn, lstm, lstm_peephole, cifg or gru.")] = "lstm",
    hidden_size: Annotated[int, typer.Option(min=1, max=1024)] = 32,
    num_layers: Annotated[int, typer.Option(min=1, max=8)] = 1,
    updates: Annotated[int, typer.Option(min=1, help="Steps of the optimiser, at most.")] = 1200,
    streams: Annotated[int, typer.Option(min=2, help="Streams drawn at a time.")] = 1024,
    steps: Annotated[int, typer.Option(min=100, help="Samples of each, at most.")] = 3072,
    patience: Annotated[
        int | None,
        typer.Option(min=0, help="Looks at held-out data without improvement before it ends; 0: never. 8 for files."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Another number changes the last bits of the weights.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    compare: Annotated[
        str, typer.Option(help="Train several, CELLxSIZExLAYERS,..., into the folder --output; prints a table.")
    ] = "",
    judge: Annotated[
        list[Path] | None, typer.Option(help="With --compare: judge on these files or folders too; may be repeated.")
    ] = None,
) -> None:
    """Train a backbone. The same options give the same weights on the same machine."""
    if bool(data) == synthetic:
        raise typer.BadParameter("say what to learn from: either --synthetic, or files or folders", param_hint="DATA")
    from detector.models.cells import CELLS
    from detector.train import FILE_PATIENCE, TrainOptions

    if cell not in CELLS:
        raise typer.BadParameter(f"{cell!r} is none of {', '.join(CELLS)}", param_hint="--cell")
    options = TrainOptions(
        output,
        tuple(data or ()),
        seed=seed,
        cell=cell,
        hidden_size=hidden_size,
        num_layers=num_layers,
        updates=updates,
        streams=streams,
        steps=steps,
        patience=(FILE_PATIENCE if data else 0) if patience is None else patience,
        threads=threads,
        device=device,
        resume=resume,
    )
    from detector.train import console

    if compare:
        console.compare(compare.split(","), judge or [], options)
    else:
        console.train(options)


@app.command()
def produce(
    topic: Annotated[str | None, typer.Option(help="Kafka topic to write to.")] = None,
    output: Annotated[str | None, typer.Option(help="File for JSON lines instead; - is standard output.")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="host:port; otherwise the configuration's.")] = None,
    config: ConfigOption = None,
    labels: Annotated[Path | None, typer.Option(help="File for the truth about the faults.", metavar="FILE")] = None,
    streams: Annotated[int, typer.Option(help="Streams.")] = 100,
    steps: Annotated[int, typer.Option(help="Samples a stream.")] = 1000,
    step_seconds: Annotated[float, typer.Option(help="Event time between two samples of a stream.")] = 60.0,
    start: Annotated[
        float | None,
        typer.Option(help="Unix time of the first sample; without it the last one is of now."),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Samples a second; as fast as possible without.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same streams and faults.")] = 1,
    faults: Annotated[int, typer.Option(help="Labelled faults, each in a stream of its own.")] = 0,
    kinds: Annotated[str, typer.Option(help="Kinds of fault, separated by commas; all usual ones without.")] = "",
    fault_after: Annotated[int | None, typer.Option(help="First step of a fault; half of them without.")] = None,
    gaps: Annotated[float, typer.Option(help="Share of streams that miss samples.")] = 0.0,
) -> None:
    """Generate load: realistic streams with labelled faults, to Kafka or a file."""
    from detector.config import load
    from detector.produce import ProduceOptions
    from detector.produce import produce as send
    from detector.progress import count_progress
    from detector.synthetic.fleet import USUAL_KINDS

    kafka = load(config).kafka
    options = ProduceOptions(
        topic=topic,
        output=output,
        kafka=type(kafka).model_validate({**kafka.model_dump(), "bootstrap_servers": [bootstrap]})
        if bootstrap
        else kafka,
        labels=labels,
        streams=streams,
        steps=steps,
        step_seconds=step_seconds,
        start=start,
        rate=rate,
        seed=seed,
        faults=faults,
        kinds=tuple(kind.strip() for kind in kinds.split(",")) if kinds else USUAL_KINDS,
        fault_after=fault_after,
        gaps=gaps,
    )
    with count_progress("produce", streams * steps) as advance:
        done = send(options, advance)
    typer.echo(
        f"{done.samples} samples of {done.streams} streams with {done.faults} faults, "
        f"{done.samples_per_second:.0f} a second",
        err=True,
    )


@app.command()
def demo(
    duration: Annotated[float, typer.Option(help="Seconds until it ends.")] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Only the summary, as one JSON object.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Another fleet, other faults.")] = 1,
    listen: Annotated[str | None, typer.Option(help="host:port of /metrics.", metavar="ADDRESS")] = None,
) -> None:
    """Watch faults being found: this machine and a simulated fleet through the real worker. Needs no service."""
    import json
    from dataclasses import asdict

    from detector.app import StoppingOnSignals, build_worker
    from detector.demo import DemoOptions
    from detector.demo import demo as show

    options = DemoOptions(duration_seconds=duration, seed=seed, quiet=as_json, listen=listen)
    summary = show(options, build_worker, StoppingOnSignals)
    if as_json:
        typer.echo(json.dumps(asdict(summary)))
