"""`detector train`: trains weights."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detector.cli.application import SERIES_HELP, ConfigOption, app, examples, instant

if TYPE_CHECKING:
    from detector.train import TopicRange

SAMPLES_PER_STEP = 4
"""Samples kept per stream of a topic, as a multiple of `--steps`; each draw is a stretch of them."""


DataArgument = Annotated[
    list[Path] | None,
    typer.Argument(help=SERIES_HELP, metavar="DATA", show_default=False),
]
TopicOption = Annotated[
    str,
    typer.Option(
        help="Learn from a time range of this Kafka topic, read as --config says; commits nothing.", metavar="TOPIC"
    ),
]
FromOption = Annotated[
    str,
    typer.Option("--from", help="With --topic: start of the range, in record time: 2026-11-01T00:00Z.", metavar="TIME"),
]
ToOption = Annotated[str, typer.Option("--to", help="With --topic: end of the range; default: now.", metavar="TIME")]
CellOption = Annotated[str, typer.Option(help="Recurrent cell: rnn, lstm, lstm_peephole, cifg or gru.", metavar="CELL")]
MaxStreamsOption = Annotated[
    int,
    typer.Option(
        metavar="N", min=2, help="With --topic: the most streams to keep; if there are more, a sample of them."
    ),
]
PatienceOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Stop after N evaluations on held-out data without improvement; 0: never. Default: 8, or 0 if synthetic.",
    ),
]
CompareOption = Annotated[
    str,
    typer.Option(
        help="Train several networks, CELLxSIZExLAYERS,..., into the folder --output; prints a table.", metavar="CELLS"
    ),
]
JudgeOption = Annotated[
    list[Path] | None,
    typer.Option(help="With --compare: also evaluate on these files or folders; may be repeated.", metavar="PATH"),
]


@app.command(
    short_help="Train the network that all streams share.",
    epilog=examples(
        "detector train --synthetic --output weights.safetensors",
        "detector train series/ --output weights.safetensors",
        "detector train --topic metrics --from 2026-11-01 -c config.yaml --output weights.safetensors",
    ),
)
def train(
    output: Annotated[Path, typer.Option(help="Weights file to write; its card goes next to it.", metavar="FILE")],
    data: DataArgument = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Learn from generated streams.")] = False,
    topic: TopicOption = "",
    since: FromOption = "",
    until: ToOption = "",
    max_streams: MaxStreamsOption = 1024,
    config: ConfigOption = None,
    cell: CellOption = "lstm",
    hidden_size: Annotated[int, typer.Option(metavar="N", min=1, max=1024, help="Units per layer.")] = 32,
    num_layers: Annotated[int, typer.Option(metavar="N", min=1, max=8, help="Number of layers.")] = 1,
    updates: Annotated[int, typer.Option(metavar="N", min=1, help="Optimiser steps, at most.")] = 1200,
    streams: Annotated[int, typer.Option(metavar="N", min=2, help="Streams drawn at a time.")] = 1024,
    steps: Annotated[int, typer.Option(metavar="N", min=100, help="Samples per stream, at most.")] = 3072,
    patience: PatienceOption = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="A different seed gives different weights.")] = 1,
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, help="A different number changes the last bits of the weights.")
    ] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.", metavar="DEVICE")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted training.")] = False,
    compare: CompareOption = "",
    judge: JudgeOption = None,
) -> None:
    """Train the network that all streams share. The same options give the same weights on the same machine."""
    if [bool(data), synthetic, bool(topic)].count(True) != 1:
        raise typer.BadParameter(
            "choose what to learn from: --synthetic, --topic, or files or folders", param_hint="DATA"
        )
    _make_room(output, output if compare else output.parent)
    from detector.models.cells import CELLS
    from detector.train import FILE_PATIENCE, TrainOptions

    if cell not in CELLS:
        raise typer.BadParameter(f"{cell!r} is not one of {', '.join(CELLS)}", param_hint="--cell")
    options = TrainOptions(
        output,
        tuple(data or ()),
        topic=_range(topic, since, until, max_streams, SAMPLES_PER_STEP * steps, config) if topic else None,
        seed=seed,
        cell=cell,
        hidden_size=hidden_size,
        num_layers=num_layers,
        updates=updates,
        streams=streams,
        steps=steps,
        patience=(0 if synthetic else FILE_PATIENCE) if patience is None else patience,
        threads=threads,
        device=device,
        resume=resume,
    )
    from detector.train import console

    if compare:
        console.compare(compare.split(","), judge or [], options)
    else:
        console.train(options)


def _make_room(output: Path, folder: Path) -> None:
    """Fail now, not after hours of training, if `output` cannot be written. Raises OSError, BadParameter."""
    if output.is_dir() and folder != output:
        raise typer.BadParameter(f"{output} is a folder; give the path of a weights file", param_hint="--output")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "this folder is not writable", str(folder))


def _range(topic: str, since: str, until: str, streams: int, samples: int, config: Path | None) -> TopicRange:
    from detector.train import TopicRange

    if not since:
        raise typer.BadParameter("with --topic, give the time to read from", param_hint="--from")
    first = instant(since, "--from")
    last = instant(until, "--to") if until else float(int(time.time()))
    if first >= last:
        raise typer.BadParameter(f"{since} is not before {until or 'now'}", param_hint="--from")
    return TopicRange(topic, first, last, streams, samples, config)
