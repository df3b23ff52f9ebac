"""Forecasters, and the weights they forecast with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from detector.columns import Bool, Columns, Field, Rows
from detector.records import Float64, Partition, Uint8

Learnt = Sequence[npt.NDArray[Any]]
"""State of rows that have just learned a sample, as a forecaster unpacked it."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The expected next value of each stream; [B] each, in the units of the value."""

    loc: Float64
    """NaN before the first forecast."""
    scale: Float64
    """Typical size of the error, > 0."""


class Forecaster(Protocol):
    """Forecasts every stream one step ahead, from its own past."""

    fields: tuple[Field, ...]
    names: tuple[str, ...]
    """Names of the forecasters a stream may be using, indexed by what `fallback` returns; the first is the model's."""

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        """The forecast made at each row's last sample. Only reads."""
        ...

    def learn(
        self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None
    ) -> Learnt | None:
        """Learn one sample per row. Where `frozen`, what a stream learns for the long term must not change.

        May return what `forecast` would otherwise fetch again.
        """
        ...

    def forecast(self, state: Columns, rows: Rows, learnt: Learnt | None = None) -> None:
        """Forecast each row's next sample and store it; `learnt` is what `learn` returned for the same rows."""
        ...

    def skill(self, state: Columns, rows: Rows) -> Float64:
        """[B] recent error divided by that of the last-value forecast; below 1, the forecaster helps."""
        ...

    def fallback(self, state: Columns, rows: Rows) -> Uint8:
        """[B] index into `names`: 0 where the model is used, otherwise the naive forecast that replaces it."""
        ...


class Recorder(Protocol):
    """Records the inputs that some streams are forecast from."""

    def take(self, state: Columns, rows: Rows) -> None:
        """Each of these streams has just learned a sample and is about to be forecast. Only reads."""
        ...


@dataclass(frozen=True, slots=True)
class LearntWeights:
    """Weights of the forecaster's network other than those it was configured with."""

    sha256: str
    tensors: bytes
    """In safetensors format; `sha256` is the hash of this."""


class WeightsInUse(Protocol):
    """Which weights the streams of each partition are forecast with: the current ones, then the previous ones if kept.

    An empty tuple stands for the weights that the worker was configured with.
    """

    def upcoming(self, partition: Partition) -> tuple[LearntWeights, ...]:
        """The weights for the next snapshot to name; they are used from its offset on."""
        ...

    def current(self, partition: Partition) -> tuple[LearntWeights, ...]:
        """The weights in use."""
        ...

    def use(self, partition: Partition, weights: tuple[LearntWeights, ...]) -> None:
        """Use these from the next record on. Raises ModelError for weights of another network."""
        ...

    def forget(self, partition: Partition) -> None:
        """The partition is no longer ours."""
        ...
