"""What all commands share: the application, common options, and how errors reach the user."""

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
"""The order in which help lists the commands: everyday ones first."""


class InOrder(TyperGroup):
    """Lists its commands in the order of `IN_ORDER`."""

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
SERIES_HELP = "Series: CSV files, Prometheus query results or JSON lines, or folders of them."
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file; without one, every key has its default.", metavar="FILE"),
]


class WithoutArguments(TyperCommand):
    """A command whose usage line does not show its `MisplacedConfig`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return super().collect_usage_pieces(ctx)[:1]


def _misplaced(file: str | None) -> None:
    if file is not None:
        raise typer.BadParameter(f"pass the configuration file as an option: -c {file}", param_hint=repr(file))


MisplacedConfig = Annotated[str | None, typer.Argument(hidden=True, metavar="", callback=_misplaced)]
"""For commands without arguments: if the configuration is passed as one, the error names the option for it."""
PartitionOption = Annotated[
    str | None, typer.Option("--partition", help="Only this partition of the input: TOPIC/NUMBER.", metavar="PARTITION")
]


def examples(*lines: str) -> str:
    """The end of a command's help: one unwrapped line per example."""
    return "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in lines)


def partition_of(text: str | None) -> tuple[str, int] | None:
    """Parse `TOPIC/NUMBER`. Raises BadParameter."""
    if text is None:
        return None
    topic, _, number = text.rpartition("/")
    if not topic or not number.isdecimal():
        raise typer.BadParameter(f"{text!r} is not TOPIC/NUMBER", param_hint="--partition")
    return topic, int(number)


def instant(text: str, option: str) -> float:
    """Parse the value of `option` into unix seconds: either such a number, or a time, in UTC if it has no offset."""
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
            f"{text!r} is not a time like 2026-11-01T00:00Z or 2026-11-01", param_hint=option
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def main() -> None:
    """Run the command line. Our own errors and the system's end as a message and an exit code, not a traceback."""
    try:
        app()
    except ConfigError as exc:
        sys.exit(_complain(exc, code=2))
    except BrokenPipeError:
        sys.exit(1)
    except (DetectorError, OSError) as exc:
        sys.exit(_complain(exc, code=1))


def _complain(exc: Exception, code: int) -> int:
    message = str(exc)
    if isinstance(exc, OSError) and exc.strerror:
        message = f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    typer.echo(f"detector: {message}", err=True)
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
    """Options that precede a command."""
