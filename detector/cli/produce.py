"""`detector produce`: load to test with."""

from pathlib import Path
from typing import Annotated

import typer

from detector.cli.application import ConfigOption, app


@app.command()
def produce(
    topic: Annotated[str | None, typer.Option(help="Kafka topic to write to.")] = None,
    output: Annotated[str | None, typer.Option(help="File for JSON lines instead; - is standard output.")] = None,
    bootstrap: Annotated[
        str | None,
        typer.Option(help="Brokers, separated by commas; otherwise the configuration's.", metavar="HOST:PORT"),
    ] = None,
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
    from detector.config import checked, load
    from detector.produce import ProduceOptions
    from detector.produce import produce as send
    from detector.progress import count_progress
    from detector.synthetic.fleet import USUAL_KINDS

    kafka = load(config).kafka
    options = ProduceOptions(
        topic=topic,
        output=output,
        kafka=kafka
        if bootstrap is None
        else checked(type(kafka), {**kafka.model_dump(), "bootstrap_servers": bootstrap.split(",")}, "--bootstrap"),
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
