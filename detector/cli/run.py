"""`detector run`: the worker."""

from detector.cli.application import ConfigOption, app, examples


@app.command(
    short_help="The worker: runs until SIGTERM.",
    epilog=examples("detector run -c config.yaml", "kill -HUP PID      # the worker reads its configuration again"),
)
def run(config: ConfigOption = None) -> None:
    """Run the worker until SIGTERM, or until its files are read to their end. SIGHUP reads the configuration again."""
    from detector.config import load

    found = load(config)
    from detector import app as wiring

    wiring.run(found, lambda: load(config))
