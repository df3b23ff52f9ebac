"""`detector check-config`: every error of a configuration at once."""

import typer

from detector.cli.application import ConfigOption, app


@app.command("check-config")
def check_config(config: ConfigOption = None) -> None:
    """Check a configuration file and report every error in it, and files that it names but are not on this machine."""
    from detector.config import load
    from detector.config.files import unreadable

    loaded = load(config)
    typer.echo(f"{config or 'the defaults'}: ok")
    for line in unreadable(loaded):
        typer.echo(f"  not on this machine, for this user: {line}", err=True)
