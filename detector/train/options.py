"""What to train, on what, and the command line that says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from detector.models.backbone import Shape

Progress = Callable[[str, int, int, str], None]
"""(what is being done, how much of it is done, how much it is in all, a figure to show)."""

FILE_PATIENCE = 8
"""`TrainOptions.patience` for files where nothing else is said: unlike the curriculum, they end."""


def silent(phase: str, done: int, total: int, figure: str) -> None:
    """A `Progress` that says nothing."""


@dataclass(frozen=True, slots=True)
class TopicRange:
    """What to learn from of a Kafka topic."""

    topic: str
    first: float
    """Unix seconds, by the records' own time; `last` is not included."""
    last: float
    max_streams: int
    max_samples: int
    """Of each stream: the newest."""
    config: Path | None = None
    """Where kafka, decoder and streams are configured."""

    def facts(self) -> dict[str, Any]:
        """All that the series depend on, for the card."""
        return {key: value for key, value in asdict(self).items() if key != "config"}


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What to train and on how much."""

    output: Path
    data: tuple[Path, ...] = ()
    """CSV files `timestamp,value`, or folders of them; none for a topic or the synthetic curriculum."""
    topic: TopicRange | None = None
    seed: int = 1
    cell: str = "lstm"
    hidden_size: int = 32
    num_layers: int = 1
    updates: int = 1200
    streams: int = 1024
    """Streams drawn at a time."""
    steps: int = 3072
    """Samples of each, at most."""
    passes: int = 3
    """How often each draw is learnt from."""
    patience: int = 0
    """Looks at the held-out part without an improvement after which learning ends; 0 never ends it early."""
    threads: int = 1
    device: str = "cpu"
    resume: bool = False
    """Go on from what an interrupted training of the same options left beside `output`."""

    @property
    def shape(self) -> Shape:
        """Of the network."""
        return Shape(self.cell, self.hidden_size, self.num_layers)

    def facts(self) -> dict[str, Any]:
        """All that the weights depend on, for the card."""
        facts = {key: value for key, value in asdict(self).items() if key not in ("output", "resume", "topic")}
        if self.topic is not None:
            facts["topic"] = self.topic.facts()
        return {**facts, "data": [path.name for path in self.data]}


def instant(at: float) -> str:
    """Unix seconds as `--from` and `--to` take them."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def command(options: TrainOptions) -> str:
    """The command line that makes these weights."""
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
