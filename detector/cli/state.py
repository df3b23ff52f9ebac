"""`detector state`: moves stored state, returns to an earlier snapshot, or starts from history."""

from pathlib import Path
from typing import Annotated

import typer

from detector.cli.application import ConfigOption, PartitionOption, app, examples, partition_of

state = typer.Typer(
    help="Export, import, revert or warm stored state. Stop the workers first, except for export.",
    no_args_is_help=True,
)
app.add_typer(state, name="state")
WhileRunning = Annotated[
    bool, typer.Option("--while-running", help="Skip the check that no worker of the group is running.")
]


@state.command("export", epilog=examples("detector state export before.tar -c config.yaml"))
def export_(
    archive: Annotated[Path, typer.Argument(help="Tar archive to write.", metavar="ARCHIVE")],
    config: ConfigOption = None,
    partition: PartitionOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write every intact snapshot in the configured store to a file. Workers may keep running."""
    from detector.config import load
    from detector.inspect import move

    _tell(move.export_to(load(config), archive, partition_of(partition), force=force))


@state.command("import", epilog=examples("detector state import before.tar -c config.yaml --force"))
def import_(
    archive: Annotated[Path, typer.Argument(help="Archive written by `detector state export`.", metavar="ARCHIVE")],
    config: ConfigOption = None,
    partition: PartitionOption = None,
    at: Annotated[
        int | None,
        typer.Option(
            metavar="OFFSET", min=0, help="Resume from the snapshot at this offset, not the newest. Needs --partition."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace state already in the store.")] = False,
    while_running: WhileRunning = False,
) -> None:
    """Import snapshots from a file into the configured store. Checks everything before it writes anything."""
    from detector.config import load
    from detector.inspect import move

    where = partition_of(partition)
    _require_partition(at, where)
    _tell(move.import_from(load(config), archive, where, at=at, force=force, while_running=while_running))


@state.command(
    short_help="Return to the snapshot before the newest.",
    epilog=examples(
        "detector state revert -c config.yaml", "detector state revert -c config.yaml --partition metrics/0 --at 1200"
    ),
)
def revert(
    config: ConfigOption = None,
    partition: PartitionOption = None,
    at: Annotated[
        int | None,
        typer.Option(metavar="OFFSET", min=0, help="Return to the snapshot at this offset instead. Needs --partition."),
    ] = None,
    while_running: WhileRunning = False,
) -> None:
    """Return to the snapshot before the newest: deletes newer ones, so workers read the records since then again."""
    from detector.config import load
    from detector.inspect import move

    where = partition_of(partition)
    _require_partition(at, where)
    _tell(move.revert(load(config), where, at=at, while_running=while_running))


@state.command(
    short_help="Load history into the store, so that streams start warm.",
    epilog=examples("detector state warm history.jsonl -c config.yaml"),
)
def warm(
    history: Annotated[
        list[Path],
        typer.Argument(help="Files of records as on the topic, one per line, or folders of them.", metavar="HISTORY"),
    ],
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace state already in the store.")] = False,
    while_running: WhileRunning = False,
) -> None:
    """Load history into the configured store, so that streams start warm. Its alerts are muted."""
    import logging
    import sys

    import structlog

    from detector.app import build_pipeline
    from detector.config import load
    from detector.inspect.warm import quiet, warm_from
    from detector.models.fingerprint import fingerprint

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    loaded = load(config)
    pipeline = build_pipeline(quiet(loaded))
    ours = fingerprint(pipeline.model, loaded.model.device, loaded.model.threads)
    log = structlog.get_logger("detector")
    _tell(warm_from(loaded, history, pipeline, ours, log, force=force, while_running=while_running))


def _require_partition(at: int | None, partition: tuple[str, int] | None) -> None:
    if at is not None and partition is None:
        raise typer.BadParameter("an offset belongs to one partition: add --partition", param_hint="--at")


def _tell(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)
