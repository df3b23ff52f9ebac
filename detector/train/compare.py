"""`detector train --compare`: compares several networks on the same streams in one table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from detector.columns import BLOCK_ROWS, allocate
from detector.errors import ModelError
from detector.models import kernel
from detector.models.backbone import Backbone, Shape
from detector.models.cells import CELLS
from detector.models.features import FEATURES
from detector.models.forecaster import Forecaster
from detector.models.group import ALONE
from detector.models.weights import Weights, load, save
from detector.models.windows import Report, Windows
from detector.replay.files import unsaid
from detector.synthetic import draw_streams
from detector.train.files import read_series
from detector.train.judge import NAIVE, Panel, judge, panel
from detector.train.loop import Run, bar, finish, learn, material_of
from detector.train.material import HELD_OUT, Material, side_by_side
from detector.train.options import Progress, TrainOptions, silent
from detector.train.references import Plain, memoryless

REFERENCES: dict[str, Callable[[Shape], Backbone]] = {
    "memoryless": memoryless,
    "plain": lambda shape: Plain(replace(shape, cell="lstm", num_layers=1)),
}
"""Names besides the cells: the gate without memory, and an LSTM on normalised values."""
DRAWS = 8
"""Number of draws, which are reused in turn; all networks learn from the same ones."""
TIMED_CALLS = 50
HELD_OUT_STREAMS = 256


@dataclass(frozen=True, slots=True)
class Row:
    """One network of the comparison."""

    name: str
    parameters: int
    updates: int
    microseconds_a_step: float
    """Time of the network alone, per stream in a block of 256."""
    state_bytes: int
    """Size of all state that a stream keeps for its forecasts."""
    found: dict[str, dict[str, float]] = field(default_factory=dict)
    """Panel -> what `judge` returned."""


def compare(
    names: Sequence[str],
    folders: Sequence[Path],
    options: TrainOptions,
    progress: Progress = silent,
    complain: Callable[[str], None] = unsaid,
) -> list[Row]:
    """Train networks in the same way and judge them on synthetic streams and on `folders`.

    `names` are CELLxSIZE[xLAYERS], or weights files to load. Weights, `comparison.json` and `comparison.md` are written
    to the folder `options.output`; the reports are rewritten after each network. With `options.resume`, rows finished
    by an interrupted comparison with the same options are kept. Raises ModelError, SourceError.
    """
    torch.set_num_threads(options.threads)
    for name in names:
        _shape(name)
    panels = _panels(folders, options, complain)
    finished = _finished(options, panels) if options.resume else {}
    material = _Shared(material_of(options, progress, complain), bar(progress, "draw streams"))
    rows: list[Row] = []
    for name in names:
        rows.append(finished.get(name) or _row(name, *_network(name, material, options, progress), panels))
        progress("compare", len(rows), len(names), name)
        _write(rows, options)
    return rows


def _finished(options: TrainOptions, panels: Iterable[str]) -> dict[str, Row]:
    """Name -> row that an earlier comparison with the same options and panels left in the output folder."""
    try:
        report = json.loads((options.output / "comparison.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    same = report["options"] == json.loads(json.dumps(options.facts()))
    rows = [Row(**network) for network in report["networks"]] if same else []
    return {row.name: row for row in rows if set(row.found) == set(panels)}


def _panels(folders: Sequence[Path], options: TrainOptions, complain: Callable[[str], None]) -> dict[str, Panel]:
    count = min(options.streams, HELD_OUT_STREAMS)
    panels = {"synthetic": panel(*draw_streams([HELD_OUT, options.seed], count, options.steps))}
    for folder in folders:
        parts = [(one.times, one.values) for one in read_series([folder], None, complain)]
        panels[str(folder)] = panel(*side_by_side(parts))
    return panels


class _Shared:
    """A few draws, made once and shared by all networks."""

    def __init__(self, material: Material, report: Report) -> None:
        self._material = material
        self._report = report
        self._drawn: dict[int, Windows] = {}
        self.held = material.held_out(report)
        self.skip = material.skip

    def draw(self, number: int, report: Report | None = None) -> Windows:
        number %= DRAWS
        if number not in self._drawn:
            self._drawn[number] = self._material.draw(number, self._report)
        return self._drawn[number]

    def held_out(self, report: Report | None = None) -> Windows:
        return self.held

    def facts(self) -> dict[str, object]:
        return {**self._material.facts(), "draws": DRAWS}


def _shape(name: str) -> Shape:
    """Shape that a name such as `grux32x1` stands for, or that of a weights file. Raises ModelError."""
    if name.endswith(".safetensors"):
        return load(Path(name)).backbone.shape
    cell, *sizes = name.split("x")
    known = (*CELLS, *REFERENCES)
    if cell not in known or not 1 <= len(sizes) <= 2 or not all(size.isdigit() and int(size) for size in sizes):
        raise ModelError(f"--compare: {name!r} is neither CELLxSIZE[xLAYERS] of {', '.join(known)}, nor a weights file")
    return Shape(cell, int(sizes[0]), int(sizes[1]) if len(sizes) == 2 else 1)


def _network(name: str, material: _Shared, options: TrainOptions, progress: Progress) -> tuple[Backbone, int]:
    """(network, number of updates it was trained for)."""
    if name.endswith(".safetensors"):
        weights = load(Path(name))
        return weights.backbone, int(weights.card.get("updates", weights.card.get("options", {}).get("updates", 0)))
    shape = _shape(name)
    torch.manual_seed(options.seed)
    reference = REFERENCES.get(shape.cell)
    backbone = reference(shape) if reference else Backbone(shape)
    output = options.output / f"{name}.safetensors"
    own = replace(
        options,
        output=output,
        cell=shape.cell,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        resume=False,
    )
    run = Run(own, ALONE, material.facts(), backbone)
    learn(run, material, material.held, lambda _, *rest: progress(f"learn {name}", *rest), keep=False)
    card = finish(run, material, material.held)
    if not reference:
        save(backbone.eval(), output, {**card, "command": f"{card['command']}, as part of a comparison"})
    return backbone, run.learner.updates


def _row(name: str, backbone: Backbone, updates: int, panels: dict[str, Panel]) -> Row:
    found = {where: judge(backbone, judged) for where, judged in panels.items()}
    parameters = sum(one.numel() for one in backbone.parameters() if one.requires_grad)
    state = sum(spec.nbytes for spec in Forecaster(Weights(backbone, {}, "")).fields)
    return Row(name, parameters, updates, _microseconds(backbone), state, found)


def _microseconds(backbone: Backbone) -> float:
    """Shortest time of a call for one block, divided by its rows."""
    forecaster = Forecaster(Weights(backbone, {}, ""))
    state = allocate(forecaster.fields, BLOCK_ROWS)
    rows = np.arange(BLOCK_ROWS)
    run = kernel.Kernel(backbone, torch.device("cpu"), torch.get_num_threads())
    inputs = np.zeros((FEATURES, BLOCK_ROWS), np.float32)
    least = float("inf")
    for _ in range(TIMED_CALLS):
        began = time.perf_counter()
        run(state, rows, inputs)
        least = min(least, time.perf_counter() - began)
    return 1e6 * least / BLOCK_ROWS


def table(rows: Sequence[Row]) -> str:
    """Markdown, a line per network: per panel its loss, and its error over that of each naive forecast and the best."""
    wheres = list(rows[0].found)
    heads = [
        f"{'/'.join(Path(where).parts[-2:])}: loss; over {', '.join(NAIVE)}; over the best (won)" for where in wheres
    ]
    lines = [
        "| " + " | ".join(["network", *heads, "µs a step", "state, bytes", "parameters"]) + " |",
        "|" + "---|" * (len(heads) + 4),
    ]
    for row in rows:
        cells = [row.name]
        for where in wheres:
            one = row.found[where]
            over = " ".join(f"{one[name]:.3f}" for name in NAIVE)
            cells.append(f"{one['loss']:.3f}; {over}; {one['best']:.3f} ({one['won']:.0%})")
        cells += [f"{row.microseconds_a_step:.2f}", str(row.state_bytes), str(row.parameters)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _write(rows: Sequence[Row], options: TrainOptions) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    report = {"options": options.facts(), "networks": [asdict(row) for row in rows]}
    (options.output / "comparison.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (options.output / "comparison.md").write_text(table(rows) + "\n", encoding="utf-8")
