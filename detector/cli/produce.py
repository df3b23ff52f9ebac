"""`detector produce`: generates test load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detector.cli.application import ConfigOption, app, examples, instant

if TYPE_CHECKING:
    from detector.config.schema import Kafka


@app.command(
    epilog=examples(
        "detector produce -c config.yaml --topic metrics --faults 10 --labels truth.jsonl",
        "detector produce --bootstrap localhost:9092 --topic metrics --streams 1000 --rate 500",
        "detector produce --output - --streams 5 --steps 100",
    ),
)
def produce(
    topic: Annotated[str | None, typer.Option(help="Kafka topic to write to.", metavar="TOPIC")] = None,
    output: Annotated[
        str | None, typer.Option(help="Write JSON lines to this file instead; - is standard output.", metavar="FILE")
    ] = None,
    bootstrap: Annotated[
        str | None,
        typer.Option(help="Comma-separated brokers; default: the configuration's.", metavar="HOST:PORT"),
    ] = None,
    config: ConfigOption = None,
    labels: Annotated[Path | None, typer.Option(help="File for the labels of the faults.", metavar="FILE")] = None,
    streams: Annotated[int, typer.Option(help="Number of streams.", metavar="N")] = 100,
    steps: Annotated[int, typer.Option(help="Samples per stream.", metavar="N")] = 1000,
    step_seconds: Annotated[
        float, typer.Option(help="Event time between samples of a stream.", metavar="SECONDS")
    ] = 60.0,
    start: Annotated[
        str | None,
        typer.Option(help="Time of the first sample, 2026-11-01T00:00Z; default: series end now.", metavar="TIME"),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Samples per second; default: no limit.", metavar="NUMBER")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed gives the same streams and faults.")] = 1,
    faults: Annotated[int, typer.Option(help="Number of labelled faults, at most one per stream.", metavar="N")] = 0,
    kinds: Annotated[
        str, typer.Option(help="Comma-separated kinds of fault; default: the usual ones.", metavar="KINDS")
    ] = "",
    fault_after: Annotated[
        int | None, typer.Option(help="First step at which a fault may begin; default: halfway.", metavar="STEP")
    ] = None,
    gaps: Annotated[float, typer.Option(help="Share of streams with missing samples, 0 to 1.", metavar="SHARE")] = 0.0,
) -> None:
    """Generate load with labelled faults, to Kafka or a file."""
    from detector.produce import ProduceOptions
    from detector.produce import produce as send
    from detector.progress import count_progress
    from detector.synthetic.fleet import USUAL_KINDS

    options = ProduceOptions(
        topic=topic,
        output=output,
        kafka=_brokers(config, bootstrap),
        labels=labels,
        streams=streams,
        steps=steps,
        step_seconds=step_seconds,
        start=None if start is None else instant(start, "--start"),
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
        f"{done.samples_per_second:.0f} per second",
        err=True,
    )


def _brokers(config: Path | None, bootstrap: str | None) -> Kafka:
    from detector.config import checked, load

    kafka = load(config).kafka
    if bootstrap is None:
        return kafka
    return checked(type(kafka), {**kafka.model_dump(), "bootstrap_servers": bootstrap.split(",")}, "--bootstrap")
