"""What all commands share: the application itself, its options, and how errors leave it."""

import math
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from detector import __version__
from detector.errors import ConfigError, DetectorError

IN_ORDER = ("run", "check-config", "admin", "inspect", "state", "demo", "replay", "backtest", "produce", "train")
"""The commands as help lists them, those of every day first."""


class InOrder(TyperGroup):
    """Lists its commands as `IN_ORDER` has them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=IN_ORDER.index)


app = typer.Typer(
    cls=InOrder,
    help="Streaming anomaly detection on metrics: Kafka in, an LSTM forecast per stream, alerts and metrics out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file; every default where none is given.", metavar="FILE"),
]


class WithoutArguments(TyperCommand):
    """A command with a `MisplacedConfig`, of which its usage does not speak."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return super().collect_usage_pieces(ctx)[:1]


def _misplaced(file: str | None) -> None:
    if file is not None:
        raise typer.BadParameter(f"a configuration file is given as an option: -c {file}", param_hint=repr(file))


MisplacedConfig = Annotated[str | None, typer.Argument(hidden=True, metavar="", callback=_misplaced)]
"""For commands that take no argument: whoever gives them the configuration as one is told how to."""
PartitionOption = Annotated[
    str | None, typer.Option("--partition", help="One partition of the input, TOPIC/NUMBER.", metavar="PARTITION")
]


def examples(*lines: str) -> str:
    """What stands at the end of a command's help: a line for each way to use it, none of them wrapped."""
    return "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in lines)


def partition_of(text: str | None) -> tuple[str, int] | None:
    """`TOPIC/NUMBER` as topic and number."""
    if text is None:
        return None
    topic, _, number = text.rpartition("/")
    if not topic or not number.isdecimal():
        raise typer.BadParameter(f"{text!r} is not TOPIC/NUMBER", param_hint="--partition")
    return topic, int(number)


def instant(text: str, option: str) -> float:
    """Unix seconds of what was given for `option`: a number of them, or a time, which is UTC without an offset."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time like 2026-11-01T00:00Z or 2026-11-01", param_hint=option
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def main() -> None:
    """Console script: errors of ours and of the system are a message and an exit code, not a traceback."""
    try:
        app()
    except ConfigError as exc:
        sys.exit(_complain(exc, code=2))
    except BrokenPipeError:
        sys.exit(1)
    except (DetectorError, OSError) as exc:
        sys.exit(_complain(exc, code=1))


def _complain(exc: Exception, code: int) -> int:
    told = str(exc)
    if isinstance(exc, OSError) and exc.strerror:
        told = f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    typer.echo(f"detector: {told}", err=True)
    return code


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"detector {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that come before a command."""
