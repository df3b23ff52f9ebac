"""What to train and on what, and the equivalent command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from detector.models.backbone import Shape

Progress = Callable[[str, int, int, str], None]
"""(phase, done, total, figure to show)."""

FILE_PATIENCE = 8
"""Default `TrainOptions.patience` for files: unlike the curriculum, they are finite."""


def silent(phase: str, done: int, total: int, figure: str) -> None:
    """A `Progress` that shows nothing."""


@dataclass(frozen=True, slots=True)
class TopicRange:
    """The part of a Kafka topic to learn from."""

    topic: str
    first: float
    """Unix seconds of the records' own time; `last` is exclusive."""
    last: float
    max_streams: int
    max_samples: int
    """Samples per stream; the newest are kept."""
    config: Path | None = None
    """The configuration file, for its sections kafka, decoder and streams."""

    def facts(self) -> dict[str, Any]:
        """Everything that the series depend on, for the card."""
        return {key: value for key, value in asdict(self).items() if key != "config"}


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What to train, and on how much."""

    output: Path
    data: tuple[Path, ...] = ()
    """CSV files `timestamp,value`, or folders of them; empty for a topic or the synthetic curriculum."""
    topic: TopicRange | None = None
    seed: int = 1
    cell: str = "lstm"
    hidden_size: int = 32
    num_layers: int = 1
    updates: int = 1200
    streams: int = 1024
    """Streams per draw."""
    steps: int = 3072
    """Most samples per stream."""
    passes: int = 3
    """How many times to learn from each draw."""
    patience: int = 0
    """Looks at the held-out part without improvement after which learning ends; 0: never ends early."""
    threads: int = 1
    device: str = "cpu"
    resume: bool = False
    """Resume from what an interrupted training with the same options left beside `output`."""

    @property
    def shape(self) -> Shape:
        """Shape of the network."""
        return Shape(self.cell, self.hidden_size, self.num_layers)

    def facts(self) -> dict[str, Any]:
        """Everything that the weights depend on, for the card."""
        facts = {key: value for key, value in asdict(self).items() if key not in ("output", "resume", "topic")}
        if self.topic is not None:
            facts["topic"] = self.topic.facts()
        return {**facts, "data": [path.name for path in self.data]}


def instant(at: float) -> str:
    """Unix seconds in the form that `--from` and `--to` take."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def command(options: TrainOptions) -> str:
    """The command line that produces these weights."""
    source = " ".join(path.name for path in options.data) or "--synthetic"
    if options.topic is not None:
        first, last = (instant(at) for at in (options.topic.first, options.topic.last))
        source = f"--topic {options.topic.topic} --from {first} --to {last} --max-streams {options.topic.max_streams}"
    sizes = f"--cell {options.cell} --hidden-size {options.hidden_size} --num-layers {options.num_layers}"
    work = f"--seed {options.seed} --updates {options.updates}"
    usual = TrainOptions(options.output)
    rest = "".join(
        f" --{name} {getattr(options, name)}"
        for name in ("streams", "steps", "patience")
        if getattr(options, name) != getattr(usual, name)
    )
    return f"detector train {source} {sizes} {work}{rest} --output {options.output.name}"
