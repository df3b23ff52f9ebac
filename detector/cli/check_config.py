"""`detector check-config`: every error of a configuration at once."""

import typer

from detector.cli.application import ConfigOption, app


@app.command("check-config")
def check_config(config: ConfigOption = None) -> None:
    """Check a configuration file and report every error in it."""
    from detector.config import load

    load(config)
    typer.echo(f"{config or 'the defaults'}: ok")
