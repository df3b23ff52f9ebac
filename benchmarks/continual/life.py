"""A fleet's life in the daemon's own parts, learning on or not: every sample is judged, learnt, remembered, forecast.

Shape legend: T steps, S streams.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, allocate
from detector.learning.buffer import Buffer
from detector.learning.tuning import CANDIDATE, consider, judged, rehearsal, windows_of
from detector.learning.versions import KEPT
from detector.models.backbone import Backbone
from detector.models.forecaster import Forecaster
from detector.models.weights import Weights

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

CONFIGURED = "configured"
LEAST_STREAMS = 2


class Life:
    """The weights in use, the streams' states, and what became of the candidates.

    What the daemon does beside: while an alert fires a stream's own correction stands still; a round takes a minute.
    """

    def __init__(self, weights: Weights, streams: int, buffer: Buffer | None = None, rate: float = 0.0) -> None:
        """Learning is on where there is a `buffer`; of the streams it remembers as many as it has room for."""
        self.buffer = buffer
        self.taken = self.reverted = self.asked = 0
        self._rate = rate
        self._weights = weights
        self._chain: list[tuple[str, Backbone]] = []
        self._forecaster = Forecaster(weights)
        self._rows = np.arange(streams)
        self._state: Columns = allocate(self._forecaster.fields, streams)
        if buffer is not None:
            buffer.choose(self._rows)

    @property
    def running(self) -> tuple[str, Backbone]:
        """Name and weights."""
        return self._chain[0] if self._chain else (CONFIGURED, self._weights.backbone)

    def use(self, chain: list[tuple[str, Backbone]]) -> None:
        """Go on with other weights, the first of `chain` (the configured ones if there is none); states carry over."""
        self._chain = chain[:KEPT]
        self._forecaster = Forecaster(replace(self._weights, backbone=self.running[1]))

    def live(self, times_ST: Float64, values_ST: Float64) -> Float64:
        """[S, T] absolute error of what is used as the forecast; NaN where there is no sample, or no forecast of it."""
        error_ST = np.full(values_ST.shape, np.nan)
        for step in range(values_ST.shape[1]):
            rows = self._rows[np.isfinite(values_ST[:, step])]
            times, values = times_ST[rows, step], values_ST[rows, step]
            error_ST[rows, step] = np.abs(values - self._forecaster.stored(self._state, rows).loc)
            self._forecaster.learn(self._state, rows, times, values)
            if self.buffer is not None:
                self.buffer.take(self._state, rows)
                slots = self.buffer.ready(judged(self.buffer.samples))
                if len(slots) >= LEAST_STREAMS:
                    self._consider(self.buffer, slots)
            self._forecaster.forecast(self._state, rows)
        return error_ST

    def _consider(self, buffer: Buffer, slots: Int64) -> None:
        """A round, by the daemon's rules."""
        buffer.mark(slots)
        name = self.running[0]
        windows = windows_of([buffer.stretch(int(slot)) for slot in slots], buffer.samples)
        networks = {CONFIGURED: self._weights.backbone, **dict(self._chain)}
        self.asked += 1
        rehearsed = rehearsal(self.asked, len(slots), buffer.samples)
        verdict = consider(networks, [name] * len(slots), windows, rehearsed, self._rate)
        names = [one for one, _ in self._chain]
        if verdict.chosen == CANDIDATE:
            self.taken += 1
            self.use([(f"learnt {self.asked}", verdict.candidate), *self._chain])
        elif verdict.chosen is not None:
            self.reverted += 1
            self.use([] if verdict.chosen == CONFIGURED else self._chain[names.index(verdict.chosen) :])
