"""What forecasts, and the weights that it forecasts with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from detector.columns import Bool, Columns, Field, Rows
from detector.records import Float64, Partition, Uint8


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a stream's next value is expected to be; [B] each, in the units of the value."""

    loc: Float64
    """NaN before the first forecast."""
    scale: Float64
    """Typical size of the error, > 0."""


class Forecaster(Protocol):
    """One-step-ahead forecasts of every stream, made from its own past."""

    fields: tuple[Field, ...]
    names: tuple[str, ...]
    """Names of the forecasters that a stream may be using, by the code of `fallback`; the first is the model's."""

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        """The forecasts made at each row's last sample. Reads only."""
        ...

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> None:
        """Take in one sample a row. What is learnt of a stream for good is not to change where it is `frozen`."""
        ...

    def forecast(self, state: Columns, rows: Rows) -> None:
        """Forecast each row's next sample and store it."""
        ...

    def skill(self, state: Columns, rows: Rows) -> Float64:
        """[B] recent error over that of the last-value forecast; below 1 the forecaster helps."""
        ...

    def fallback(self, state: Columns, rows: Rows) -> Uint8:
        """[B] index into `names`: 0 where the model is used, else the naive forecast that stands in for it."""
        ...


class Recorder(Protocol):
    """Remembers what some streams are forecast from."""

    def take(self, state: Columns, rows: Rows) -> None:
        """Each of these streams has just learnt a sample and is about to be forecast. Reads only."""
        ...


@dataclass(frozen=True, slots=True)
class LearntWeights:
    """Weights of the forecaster's network that did not come with it."""

    sha256: str
    tensors: bytes
    """As safetensors; what `sha256` is of."""


class WeightsInUse(Protocol):
    """Which weights the streams of each partition are forecast with: those now, then those before them, if kept.

    An empty tuple stands for the weights that the worker was configured with.
    """

    def coming(self, partition: Partition) -> tuple[LearntWeights, ...]:
        """What the next snapshot should name: from its offset on these are used."""
        ...

    def now(self, partition: Partition) -> tuple[LearntWeights, ...]:
        """What is used."""
        ...

    def use(self, partition: Partition, weights: tuple[LearntWeights, ...]) -> None:
        """From the next record on. Raises ModelError for weights of another network."""
        ...

    def forget(self, partition: Partition) -> None:
        """The partition is not ours any more."""
        ...
