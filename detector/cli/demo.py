"""`detector demo`: a look at the product without any service."""

from typing import Annotated

import typer

from detector.cli.application import app, examples


@app.command(
    short_help="Watch faults being found; needs no service.",
    epilog=examples("detector demo", "detector demo --duration 60 --json"),
)
def demo(
    duration: Annotated[float, typer.Option(help="Seconds until it ends, 20 to 21600.", metavar="SECONDS")] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Only the summary, as one JSON object.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Another fleet, other faults.")] = 1,
    listen: Annotated[str | None, typer.Option(help="host:port of /metrics.", metavar="ADDRESS")] = None,
) -> None:
    """Watch faults being found: this machine and a simulated fleet through the real worker. Needs no service."""
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
