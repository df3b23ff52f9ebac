"""`detector admin`: what a configuration needs of the cluster."""

from typing import Annotated

import typer

from detector.cli.application import ConfigOption, app, examples

admin = typer.Typer(help="Prepare the cluster for a configuration.", no_args_is_help=True)
app.add_typer(admin, name="admin")


@admin.callback()
def group() -> None:
    """Prepare the cluster for a configuration."""


@admin.command(
    short_help="Create the topics that are missing and check the others.",
    epilog=examples(
        "detector admin init -c config.yaml --dry-run",
        "detector admin init -c config.yaml --input-partitions 4",
    ),
)
def init(
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    replication_factor: Annotated[
        int, typer.Option(metavar="N", min=-1, max=32, help="Copies of a new topic; -1: what the brokers are set to.")
    ] = -1,
    input_partitions: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=10_000, help="Create the input topics too, where they are missing, with so many."
        ),
    ] = None,
) -> None:
    """Create the topics that are missing and check the others, which are never changed. May be repeated."""
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
