"""`detector demo`: shows the product at work without any other service."""

from typing import Annotated

import typer

from detector.cli.application import app, examples


@app.command(
    short_help="Watch detector find injected faults; needs no broker.",
    epilog=examples("detector demo", "detector demo --duration 60 --json"),
)
def demo(
    duration: Annotated[float, typer.Option(help="How long to run, 20 to 21600 seconds.", metavar="SECONDS")] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the summary, as one JSON object.")] = False,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Each seed gives a different fleet and different faults.")
    ] = 1,
    listen: Annotated[str | None, typer.Option(help="Serve /metrics on this host:port.", metavar="ADDRESS")] = None,
) -> None:
    """Watch the real worker find faults in a simulated fleet, next to this machine's own metrics. Needs no broker."""
    import json
    from dataclasses import asdict

    from detector.app import build_worker
    from detector.demo import DemoOptions
    from detector.demo import demo as show
    from detector.process.stopping import StoppingOnSignals

    options = DemoOptions(duration_seconds=duration, seed=seed, quiet=as_json, listen=listen)
    summary = show(options, build_worker, StoppingOnSignals)
    if as_json:
        typer.echo(json.dumps(asdict(summary)))
