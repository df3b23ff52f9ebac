"""`detector train`: make weights."""

from pathlib import Path
from typing import Annotated

import typer

from detector.cli.application import app


@app.command()
def train(
    output: Annotated[Path, typer.Option(help="Weights file to write; its card goes beside it.", metavar="FILE")],
    data: Annotated[
        list[Path] | None, typer.Argument(help="CSV files `timestamp,value`, or folders of them.", show_default=False)
    ] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Learn from generated streams.")] = False,
    cell: Annotated[str, typer.Option(help="Recurrent cell: rnn, lstm, lstm_peephole, cifg or gru.")] = "lstm",
    hidden_size: Annotated[int, typer.Option(min=1, max=1024)] = 32,
    num_layers: Annotated[int, typer.Option(min=1, max=8)] = 1,
    updates: Annotated[int, typer.Option(min=1, help="Steps of the optimiser, at most.")] = 1200,
    streams: Annotated[int, typer.Option(min=2, help="Streams drawn at a time.")] = 1024,
    steps: Annotated[int, typer.Option(min=100, help="Samples of each, at most.")] = 3072,
    patience: Annotated[
        int | None,
        typer.Option(min=0, help="Looks at held-out data without improvement before it ends; 0: never. 8 for files."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Another number changes the last bits of the weights.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    compare: Annotated[
        str, typer.Option(help="Train several, CELLxSIZExLAYERS,..., into the folder --output; prints a table.")
    ] = "",
    judge: Annotated[
        list[Path] | None, typer.Option(help="With --compare: judge on these files or folders too; may be repeated.")
    ] = None,
) -> None:
    """Train a backbone. The same options give the same weights on the same machine."""
    if bool(data) == synthetic:
        raise typer.BadParameter("say what to learn from: either --synthetic, or files or folders", param_hint="DATA")
    from detector.models.cells import CELLS
    from detector.train import FILE_PATIENCE, TrainOptions

    if cell not in CELLS:
        raise typer.BadParameter(f"{cell!r} is none of {', '.join(CELLS)}", param_hint="--cell")
    options = TrainOptions(
        output,
        tuple(data or ()),
        seed=seed,
        cell=cell,
        hidden_size=hidden_size,
        num_layers=num_layers,
        updates=updates,
        streams=streams,
        steps=steps,
        patience=(FILE_PATIENCE if data else 0) if patience is None else patience,
        threads=threads,
        device=device,
        resume=resume,
    )
    from detector.train import console

    if compare:
        console.compare(compare.split(","), judge or [], options)
    else:
        console.train(options)
