"""One-step error of a network on whole series, compared with naive forecasts of the same samples.

Shape legend: T steps, S streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.models.backbone import Backbone
from detector.models.features import ERROR_LOGS, OFFSETS
from detector.models.learner import likelihood
from detector.models.naive import MEANS
from detector.models.windows import Float64, Windows, compact, record

DAY_SECONDS = 86_400.0
SKIP = 0.15
"""Share of each stream, at its beginning, that is not judged because the stream is new there."""
NAIVE = ("last_value", "ewma", "day_ago")


@dataclass(frozen=True, slots=True)
class Panel:
    """Streams to judge on, with the mean absolute error of each naive forecast."""

    windows: Windows
    judged_TS: Tensor
    """1 where a forecast is judged."""
    naive: Mapping[str, Tensor]
    """Name from `NAIVE` -> [S] error in the streams' own units."""
    floor_S: Tensor
    """[S] error that counts as none at the stream's magnitude."""


def panel(times_ST: Float64, values_ST: Float64) -> Panel:
    """Streams with the errors of their naive forecasts.

    These are: the last value; of the bank's exponential means, the one with the least recent error; the latest value at
    least a day (less a second) old, or on the first day the last value.
    """
    windows = record(times_ST, values_ST)
    times_TS, values_TS, length_S = compact(times_ST, values_ST)
    step_T = torch.arange(len(times_TS))[:, None]
    judged = windows.mask_TS * (step_T >= torch.from_numpy(SKIP * length_S)[None, :])
    offsets = torch.sinh(windows.inputs_TSF[..., OFFSETS][..., :MEANS])
    best = windows.inputs_TSF[..., ERROR_LOGS][..., :MEANS].argmin(-1, keepdim=True)
    errors = {
        "last_value": windows.target_TS.abs() * windows.unit_TS,
        "ewma": (windows.target_TS - offsets.gather(-1, best)[..., 0]).abs() * windows.unit_TS,
        "day_ago": torch.from_numpy(_day_ago(times_TS, values_TS)),
    }
    naive = {name: _mean(error, judged) for name, error in errors.items()}
    magnitude = torch.from_numpy(np.abs(values_TS).mean(0))
    return Panel(windows, judged, naive, 1e-6 * magnitude + 1e-30)


def _day_ago(times_TS: Float64, values_TS: Float64) -> Float64:
    """[T, S] absolute error; row t holds that of the forecast of row t + 1, the last row is 0."""
    error = np.zeros(values_TS.shape)
    for stream in range(values_TS.shape[1]):
        times, values = times_TS[:, stream], values_TS[:, stream]
        row = np.searchsorted(times, times[1:] - DAY_SECONDS + 1.0, side="right") - 1
        made = np.where(row >= 0, values[np.maximum(row, 0)], values[:-1])
        error[:-1, stream] = np.abs(values[1:] - made)
    return error


def _mean(error_TS: Tensor, judged_TS: Tensor) -> Tensor:
    return (error_TS.double() * judged_TS).sum(0) / judged_TS.sum(0).clamp(min=1)


def judge(backbone: Backbone, judged: Panel) -> dict[str, float]:
    """Likelihood and error on a panel.

    `loss` is as in learning. For each naive forecast, the ratio of the network's error to its error, as a geometric
    mean over streams; `best` is the same for the best of them, chosen per stream with hindsight, and `won` the share of
    streams where that ratio is below 1. Streams that a naive forecast predicts exactly are left out: relative to 0, any
    rounding error is infinitely large.
    """
    windows = judged.windows
    with torch.inference_mode():
        outputs, _, _ = backbone.unroll(windows.inputs_TSF, *backbone.initial(windows.inputs_TSF.shape[1]))
        loss, error = likelihood(outputs, windows.inputs_TSF, windows.target_TS)
    ours = _mean(error * windows.unit_TS, judged.judged_TS)
    least = torch.stack(list(judged.naive.values())).amin(0)
    usable = (judged.judged_TS.sum(0) > 0) & (least > judged.floor_S)
    ratios = {
        name: ((ours + judged.floor_S) / (theirs + judged.floor_S))[usable] for name, theirs in judged.naive.items()
    }
    ratios["best"] = torch.stack(list(ratios.values())).amax(0)
    found = {name: float(torch.exp(torch.log(ratio).mean())) for name, ratio in ratios.items()}
    mean = float((loss * judged.judged_TS).sum() / judged.judged_TS.sum())
    return {"loss": mean, **found, "won": float((ratios["best"] < 1).double().mean())}
