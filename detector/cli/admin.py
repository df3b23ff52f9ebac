"""`detector admin`: prepares the cluster for a configuration."""

from typing import Annotated

import typer

from detector.cli.application import ConfigOption, app, examples

admin = typer.Typer(help="Prepare the cluster for a configuration.", no_args_is_help=True)
app.add_typer(admin, name="admin")


@admin.callback()
def group() -> None:
    """Prepare the cluster for a configuration."""


@admin.command(
    short_help="Create missing topics and check existing ones.",
    epilog=examples(
        "detector admin init -c config.yaml --dry-run",
        "detector admin init -c config.yaml --input-partitions 4",
    ),
)
def init(
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, without doing it.")] = False,
    replication_factor: Annotated[
        int, typer.Option(metavar="N", min=-1, max=32, help="Replicas of each new topic; -1: the brokers' default.")
    ] = -1,
    input_partitions: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=10_000, help="Also create missing input topics, with this many partitions."
        ),
    ] = None,
) -> None:
    """Create missing topics and check existing ones, which are never changed. Safe to repeat."""
    from detector.admin import init as prepare
    from detector.config import load
    from detector.kafka.admin import KafkaAdmin

    loaded = load(config)
    with KafkaAdmin(loaded.kafka, "admin init") as cluster:
        wanted = prepare(
            loaded, cluster, replicas=replication_factor, dry_run=dry_run, input_partitions=input_partitions
        )
        for line in wanted:
            typer.echo(line)
