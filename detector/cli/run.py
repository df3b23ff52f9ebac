"""`detector run`: the worker."""

from detector.cli.application import ConfigOption, app


@app.command()
def run(config: ConfigOption = None) -> None:
    """Run the worker until SIGTERM, or until its files are read to their end."""
    from detector.config import load

    loaded = load(config)
    from detector import app as wiring

    wiring.run(loaded)
