"""`detector run`: the worker."""

from detector.cli.application import ConfigOption, MisplacedConfig, WithoutArguments, app, examples


@app.command(
    cls=WithoutArguments,
    short_help="Run a worker until SIGTERM.",
    epilog=examples("detector run -c config.yaml", "kill -HUP PID      # reload the configuration"),
)
def run(misplaced: MisplacedConfig = None, config: ConfigOption = None) -> None:
    """Run a worker until SIGTERM or, if it reads files, until their end. SIGHUP reloads the configuration."""
    from detector.config import load

    found = load(config)
    from detector.app import run as run_workers

    run_workers(found, lambda: load(config))
