"""`detector run`: the worker."""

from detector.cli.application import ConfigOption, MisplacedConfig, WithoutArguments, app, examples


@app.command(
    cls=WithoutArguments,
    short_help="The worker: runs until SIGTERM.",
    epilog=examples("detector run -c config.yaml", "kill -HUP PID      # the worker reads its configuration again"),
)
def run(misplaced: MisplacedConfig = None, config: ConfigOption = None) -> None:
    """Run the worker until SIGTERM, or until its files are read to their end. SIGHUP reads the configuration again."""
    from detector.config import load

    found = load(config)
    from detector.app import run as run_workers

    run_workers(found, lambda: load(config))
