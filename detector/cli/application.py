"""What all commands share: the application itself, its options, and how errors leave it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from detector import __version__
from detector.errors import ConfigError, DetectorError

app = typer.Typer(
    help="Streaming anomaly detection on metrics: Kafka in, an LSTM forecast per stream, alerts and metrics out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file; every default where none is given.", metavar="FILE"),
]
PartitionOption = Annotated[
    str | None, typer.Option("--partition", help="One partition of the input, TOPIC/NUMBER.", metavar="PARTITION")
]


def partition_of(text: str | None) -> tuple[str, int] | None:
    """`TOPIC/NUMBER` as topic and number."""
    if text is None:
        return None
    topic, _, number = text.rpartition("/")
    if not topic or not number.isdecimal():
        raise typer.BadParameter(f"{text!r} is not TOPIC/NUMBER", param_hint="--partition")
    return topic, int(number)


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
    told = f"{exc.filename}: {exc.strerror}" if isinstance(exc, OSError) and exc.filename else str(exc)
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
