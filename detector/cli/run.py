"""`detector run`: the worker."""

from detector.cli.application import ConfigOption, app


@app.command()
def run(config: ConfigOption = None) -> None:
    """Run the worker until SIGTERM, or until its files are read to their end. SIGHUP reads the configuration again."""
    from detector.config import load

    found = load(config)
    from detector import app as wiring

    wiring.run(found, lambda: load(config))
