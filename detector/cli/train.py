"""`detector train`: make weights."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detector.cli.application import ConfigOption, app, examples, instant

if TYPE_CHECKING:
    from detector.train import TopicRange

SAMPLES_PER_STEP = 4
"""Of a topic's streams so many times `--steps` samples are remembered: draws are stretches of them."""


DataArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="CSV files `timestamp,value`, or folders of them.", metavar="DATA", show_default=False),
]
TopicOption = Annotated[
    str,
    typer.Option(
        help="Learn from a range of this Kafka topic, read as --config says; nothing is committed.", metavar="TOPIC"
    ),
]
FromOption = Annotated[
    str,
    typer.Option(
        "--from", help="With --topic: from this time on, by the records' own: 2026-11-01T00:00Z.", metavar="TIME"
    ),
]
ToOption = Annotated[
    str, typer.Option("--to", help="With --topic: up to this time; now where not given.", metavar="TIME")
]
CellOption = Annotated[str, typer.Option(help="Recurrent cell: rnn, lstm, lstm_peephole, cifg or gru.", metavar="CELL")]
MaxStreamsOption = Annotated[
    int,
    typer.Option(metavar="N", min=2, help="With --topic: streams that are kept; where there are more, some of them."),
]
PatienceOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Looks at held-out data without improvement until it ends, 8 if not synthetic; 0: never",
    ),
]
CompareOption = Annotated[
    str,
    typer.Option(
        help="Train several, CELLxSIZExLAYERS,..., into the folder --output; prints a table.", metavar="CELLS"
    ),
]
JudgeOption = Annotated[
    list[Path] | None,
    typer.Option(help="With --compare: judge on these files or folders too; may be repeated.", metavar="PATH"),
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
    output: Annotated[Path, typer.Option(help="Weights file to write; its card goes beside it.", metavar="FILE")],
    data: DataArgument = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Learn from generated streams.")] = False,
    topic: TopicOption = "",
    since: FromOption = "",
    until: ToOption = "",
    max_streams: MaxStreamsOption = 1024,
    config: ConfigOption = None,
    cell: CellOption = "lstm",
    hidden_size: Annotated[int, typer.Option(metavar="N", min=1, max=1024, help="Units of a layer.")] = 32,
    num_layers: Annotated[int, typer.Option(metavar="N", min=1, max=8, help="Layers.")] = 1,
    updates: Annotated[int, typer.Option(metavar="N", min=1, help="Steps of the optimiser, at most.")] = 1200,
    streams: Annotated[int, typer.Option(metavar="N", min=2, help="Streams drawn at a time.")] = 1024,
    steps: Annotated[int, typer.Option(metavar="N", min=100, help="Samples of each, at most.")] = 3072,
    patience: PatienceOption = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Another seed gives other weights.")] = 1,
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, help="Another number changes the last bits of the weights.")
    ] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.", metavar="DEVICE")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    compare: CompareOption = "",
    judge: JudgeOption = None,
) -> None:
    """Train the network that all streams share. The same options give the same weights on the same machine."""
    if [bool(data), synthetic, bool(topic)].count(True) != 1:
        raise typer.BadParameter(
            "say what to learn from: either --synthetic, or --topic, or files or folders", param_hint="DATA"
        )
    _make_room(output, output if compare else output.parent)
    from detector.models.cells import CELLS
    from detector.train import FILE_PATIENCE, TrainOptions

    if cell not in CELLS:
        raise typer.BadParameter(f"{cell!r} is none of {', '.join(CELLS)}", param_hint="--cell")
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
    """What would be found out after hours of training. Raises OSError."""
    if output.is_dir() and folder != output:
        raise typer.BadParameter(f"{output} is a folder; name the file of weights", param_hint="--output")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "this folder may not be written to", str(folder))


def _range(topic: str, since: str, until: str, streams: int, samples: int, config: Path | None) -> TopicRange:
    from detector.train import TopicRange

    if not since:
        raise typer.BadParameter("say from when on the topic is to be read", param_hint="--from")
    first = instant(since, "--from")
    last = instant(until, "--to") if until else float(int(time.time()))
    if first >= last:
        raise typer.BadParameter(f"{since} is not before {until or 'now'}", param_hint="--from")
    return TopicRange(topic, first, last, streams, samples, config)
