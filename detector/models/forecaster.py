"""The forecaster of the daemon: its state per stream, and the three calls that the pipeline makes.

Per sample, `stored` returns the forecast made for it, `learn` takes it in, and `forecast` makes and stores the forecast
for one usual interval later. The network runs in blocks of a fixed, padded shape with a pinned number of threads, so a
stream's bits depend on its own samples only, never on which others share the call.

Shape legend: B rows of one call, F features, K experts, L layers, H hidden size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Bool, Columns, Field, Rows
from detector.models import kernel
from detector.models.backbone import LOG_SCALE_RANGE
from detector.models.features import ERROR_LOGS, features
from detector.models.kernel import parts
from detector.models.naive import EXPERTS, LAST_VALUE, RUNNING_MEAN, Bank, Clock, Slot, best_expert, unpack
from detector.models.profile import COMPACT, Calendar
from detector.models.readout import Readout
from detector.models.weights import Weights, load
from detector.protocols import Forecast, Learnt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

CHUNK_ROWS = 5120
"""Rows per pass: with fewer, the cost of calls dominates; with more, the working set leaves the caches."""
LEAST_SCALE = 1e-30
FORECASTERS = ("lstm", "last_value", "running_mean", "best_naive")
"""Names by the code that `Forecaster.fallback` returns, in the order of `Slot.SKILL`; `lstm` is any network."""
STAND_BACK = 1.02
"""The network gives way when its running error exceeds the best naive one's by this factor (by more while there are few
samples), and returns once its error is no larger than that one."""
FEW_SAMPLES = 10.0
"""The factor is larger by this divided by the number of samples."""
PROBATION = 50
"""Samples before the network can give way."""


class Forecaster:
    """Forecasts every stream's next value from one shared network and the stream's own state."""

    def __init__(
        self,
        weights: Weights | None = None,
        *,
        device: str = "cpu",
        threads: int = 1,
        readout: bool = True,
        compact: bool = False,
    ) -> None:
        """Without `weights` the shipped ones are loaded. `device` is cpu, cuda or auto. Raises ModelError.

        With `readout`, each stream learns its own correction. A `compact` forecaster has the same network but keeps a
        quarter of the state: one coarse profile of the day, hidden state in half precision, no correction.
        """
        self.weights = weights or load()
        self.device = kernel.device(device)
        self.compact = compact
        self._bank = Bank(Calendar(COMPACT) if compact else None)
        self._kernel = kernel.Kernel(self.weights.backbone, self.device, threads, halved=compact)
        self._favour = np.float32(self.weights.backbone.favour.item())
        shape = self.weights.backbone.shape
        self._readout = Readout(shape.hidden_size) if readout and not compact else None
        size, kept = shape.state_size, "float16" if compact else "float32"
        self.fields: tuple[Field, ...] = (
            *self._bank.fields,
            Field("hidden", (size,), kept, finite=True),
            *((Field("cell", (size,), kept, finite=True),) if self._kernel.keeps_cell else ()),
            *(self._readout.fields if self._readout else ()),
            Field("forecast", (2,), "float64", float("nan")),
            Field("forecaster", (), "uint8"),
        )

    names: tuple[str, ...] = FORECASTERS
    """Names by the code that `fallback` returns."""

    @property
    def name(self) -> str:
        """Short identity of the model for alerts, logs and state: cell, size, first digits of the hash, profile."""
        shape = self.weights.backbone.shape
        profile = "-compact" if self.compact else ""
        return f"{shape.cell}-{shape.hidden_size}x{shape.num_layers}-{self.weights.sha256[:12]}{profile}"

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        """Forecasts made at the last step; changes nothing."""
        both = state["forecast"].take(rows, axis=0)
        return Forecast(both[:, 0].copy(), both[:, 1].copy())

    def fallback(self, state: Columns, rows: Rows) -> npt.NDArray[np.uint8]:
        """[B] index into `FORECASTERS` of the forecaster whose forecast is stored: 0 the network, else a naive one."""
        codes: npt.NDArray[np.uint8] = state["forecaster"].take(rows)
        return codes

    def skill(self, state: Columns, rows: Rows) -> Float64:
        """[B] running error of the network over that of the last value; below 1 the network helps. 1 at first."""
        bank = state["bank"]
        slots = (Slot.FLOOR, Slot.SKILL.start, Slot.SKILL.start + 1)
        floor, network, last_value = (bank[:, slot][rows].astype(np.float64) for slot in slots)
        floor += LEAST_SCALE
        skill: Float64 = (network + floor) / (last_value + floor)
        return skill

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> Learnt:
        """Take in one sample per row: judge the stored forecasts, then update bank, profiles, normaliser and read-out.

        Values must be finite and at most 1e30 in size, times later than the row's last one. The read-out of `frozen`
        rows does not change. Returns the banks of each pass.
        """
        banks = []
        for part in parts(len(rows), CHUNK_ROWS):
            missed, bank = self._bank.learn(state, rows[part], times[part], values[part])
            banks.append(bank)
            if self._readout:
                judged = bank[Slot.AGE] - 1
                learning = judged > 0 if frozen is None else (judged > 0) & ~frozen[part]
                self._readout.learn(state, rows[part], missed, np.maximum(judged, 1), learning)
        return banks

    def forecast(self, state: Columns, rows: Rows, learnt: Learnt | None = None) -> None:
        """Make one step of the network per row; stores loc and scale for the sample after the one just learned."""
        for number, part in enumerate(parts(len(rows), CHUNK_ROWS)):
            self._forecast(state, rows[part], learnt[number] if learnt else unpack(state, rows[part]))

    def _forecast(self, state: Columns, rows: Rows, bank: Float32) -> None:
        inputs, unit = features(bank)
        raw, hidden = self._kernel(state, rows, inputs)
        weights, correction, log_scale = self._head(raw, inputs)
        with np.errstate(over="ignore", under="ignore"):
            move = correction * unit
            for pull in weights * (bank[Slot.EXPERTS] - bank[Slot.LAST]):
                move += pull
            if self._readout:
                move += self._readout.expected(state, rows, hidden) * unit
            gate = bank[Slot.LAST] + move
            scale = np.maximum(unit * np.exp(log_scale), np.float32(LEAST_SCALE))
        code = choose(bank, state["forecaster"].take(rows))
        state["bank"][:, Slot.GATE][rows] = gate
        state["forecaster"][rows] = code
        _apply_fallback(gate, bank, code)
        state["forecast"][:, 0][rows] = state["bank_clock"][:, Clock.ORIGIN][rows] + gate
        state["forecast"][:, 1][rows] = scale

    def _head(self, raw_OB: Float32, inputs_FB: Float32) -> tuple[Float32, Float32, Float32]:
        """`Backbone.read` over columns: ([K, B] weights, [B] correction, [B] log scale). Elementwise per stream."""
        logits = raw_OB[:EXPERTS] - self._favour * inputs_FB[ERROR_LOGS]
        weights = np.exp(logits - logits.max(axis=0))
        # Not sum(axis=0): for a single row, numpy adds in another order.
        total = weights[0].copy()
        for expert in range(1, EXPERTS):
            total += weights[expert]
        weights /= total
        span = np.float32(LOG_SCALE_RANGE)
        return weights, raw_OB[EXPERTS], span * np.tanh(raw_OB[EXPERTS + 1] / span)


def _apply_fallback(gate: Float32, bank: Float32, code_B: npt.NDArray[np.uint8]) -> None:
    """Replace the network's forecast with a naive one where the code says so."""
    experts = bank[Slot.EXPERTS]
    for name, expert in (("last_value", LAST_VALUE), ("running_mean", RUNNING_MEAN)):
        np.copyto(gate, experts[expert], where=code_B == FORECASTERS.index(name))
    best = np.flatnonzero(code_B == FORECASTERS.index("best_naive"))
    if len(best):
        gate[best] = best_expert(bank[: Slot.ERRORS.stop].take(best, axis=1))


def choose(bank: Float32, code_B: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """[B] code in `FORECASTERS` of the forecast to use; a close call does not switch between network and naive."""
    skill = bank[Slot.SKILL]
    patience = np.float32(STAND_BACK) + np.float32(FEW_SAMPLES) / np.maximum(bank[Slot.AGE], 1)
    allowed = np.where(code_B == 0, patience, np.float32(1))
    network, *naive = skill
    least, code = naive[0].copy(), np.ones(len(code_B), np.uint8)
    for number, error in enumerate(naive[1:], 2):
        np.copyto(code, number, where=error < least)
        np.minimum(least, error, out=least)
    code *= (network > allowed * least + bank[Slot.FLOOR]) & (bank[Slot.AGE] > PROBATION)
    return code
