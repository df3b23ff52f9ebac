"""`detector inspect`: shows stored state, even while workers run."""

from typing import Annotated

import typer

from detector.cli.application import ConfigOption, PartitionOption, app, examples, partition_of


@app.command(
    short_help="Show stored state, down to what it means for a single stream.",
    epilog=examples(
        "detector inspect -c config.yaml",
        "detector inspect -c config.yaml --match 'cpu*'",
        "detector inspect -c config.yaml --firing --json",
        """detector inspect -c config.yaml --stream 'cpu{host="web-1"}'""",
    ),
)
def inspect(
    config: ConfigOption = None,
    partition: PartitionOption = None,
    stream: Annotated[
        str | None, typer.Option(help='One stream: `name{label="value"}`, or its fingerprint.', metavar="STREAM")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(help="List streams whose `name{label=...}` matches; * and ? are wildcards.", metavar="PATTERN"),
    ] = None,
    firing: Annotated[bool, typer.Option("--firing", help="List only streams with a firing alert.")] = False,
    silent: Annotated[
        bool,
        typer.Option("--silent", help="List only streams that missed five samples, but were heard from within a day."),
    ] = False,
    offset: Annotated[
        int | None,
        typer.Option(metavar="OFFSET", min=0, help="With --stream: the snapshot at this offset instead of the newest."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all details.")] = False,
) -> None:
    """Show the state as of the last checkpoint: snapshots, the blocks of a partition, or streams. Writes nothing."""
    import time

    from detector.config import load
    from detector.inspect import look
    from detector.state.survey import Survey

    if offset is not None and stream is None:
        raise typer.BadParameter("applies to a single stream: add --stream", param_hint="--offset")
    if stream is not None and (match is not None or firing or silent):
        raise typer.BadParameter("selects one stream; --match, --firing and --silent list many", param_hint="--stream")
    loaded = load(config)
    wanted = partition_of(partition)
    surveys: list[Survey] = []
    if match is not None or firing or silent:
        from detector.app import build_pipeline

        pattern = "*" if match is None else match
        listed = look.listed(loaded, wanted, pattern, build_pipeline(loaded), firing=firing, silent=silent)
        lines = look.lines_of(listed, as_json=as_json)
        if not listed:
            typer.echo(look.no_match(match, firing=firing, silent=silent), err=True)
    elif stream is None:
        surveys = look.surveys(loaded, wanted)
        lines = look.described(surveys, wanted, time.time(), as_json=as_json)
    else:
        from detector.app import build_pipeline

        found = look.streams(loaded, wanted, stream, offset, build_pipeline(loaded))
        lines = look.details(found, as_json=as_json)
    for line in lines:
        typer.echo(line)
    look.require_intact(surveys)
