"""A round of learning: a candidate is tuned on the older samples and judged on the newest, which it has not seen.

Shape legend: S streams, T samples, F features, W numbers of a remembered sample.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from detector.learning.buffer import LAST, UNIT
from detector.models.backbone import Backbone
from detector.models.features import FEATURES
from detector.models.learner import Learner, Schedule, likelihood
from detector.models.windows import Windows

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

JUDGED_SHARE = 4
"""One sample in so many that a slot can hold is judged on: the newest."""
PASSES = 5
CHUNK = 256
BATCH = 128
"""Streams of an update; with `CHUNK` it bounds the memory of a round."""
JUDGED_AT_ONCE = 64
LARGEST_TARGET = 1e6
CANDIDATE = "candidate"


def judged(samples: int) -> int:
    """Of a slot's `samples`, those that are judged on."""
    return samples // JUDGED_SHARE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a round."""

    chosen: str | None
    """Name of the weights that should take over; None to go on with the running ones."""
    loss: Mapping[str, float]
    """Name -> mean loss over the judged samples; `running` is what each stream is forecast with."""
    candidate: Backbone


def windows_of(stretches: Sequence[Float32], samples: int) -> Windows:
    """[T, W] of each stream as windows of `samples` steps that end together; what a short one lacks is masked."""
    count = len(stretches)
    inputs = np.zeros((samples, count, FEATURES), np.float32)
    target, mask = np.zeros((samples, count), np.float32), np.zeros((samples, count), np.float32)
    unit = np.ones((samples, count), np.float32)
    for stream, seen_TW in enumerate(stretches):
        there = slice(samples - len(seen_TW), samples)
        inputs[there, stream], unit[there, stream] = seen_TW[:, :FEATURES], seen_TW[:, UNIT]
        move = np.diff(seen_TW[:, LAST]) / seen_TW[:-1, UNIT]
        target[there, stream][:-1] = np.clip(move, -LARGEST_TARGET, LARGEST_TARGET)
        mask[there, stream][:-1] = 1
    return Windows(*(torch.from_numpy(array) for array in (inputs, target, mask, unit)))


def consider(
    networks: Mapping[str, Backbone],
    running: Sequence[str],
    windows: Windows,
    learning_rate: float,
    pause: Callable[[], None] = lambda: None,
) -> Verdict:
    """Tune a candidate from the weights that most streams run with, and judge it and the other `networks`.

    `running` names each stream's; `pause` is called between two steps of work.
    """
    lead = max(sorted(set(running)), key=running.count)
    candidate = tune(networks[lead], windows, learning_rate, pause)
    losses = {}
    for name, backbone in {**networks, CANDIDATE: candidate}.items():
        losses[name] = losses_of(backbone, windows)
        pause()
    now_S = np.array([losses[name][stream] for stream, name in enumerate(running)])
    better = [name for name in losses if name != lead and beats(losses[name], now_S)]
    chosen = min(better, key=lambda name: float(np.nanmean(losses[name])), default=None)
    mean = {name: float(np.nanmean(loss)) for name, loss in losses.items()}
    return Verdict(chosen, {**mean, "running": float(np.nanmean(now_S))}, candidate)


def tune(backbone: Backbone, windows: Windows, learning_rate: float, pause: Callable[[], None]) -> Backbone:
    """A copy that has learnt from all but the judged samples."""
    candidate = copy.deepcopy(backbone).train()
    steps = len(windows.target_TS) - judged(len(windows.target_TS)) - 1
    past = Windows(
        windows.inputs_TSF[:steps], windows.target_TS[:steps], windows.mask_TS[:steps], windows.unit_TS[:steps]
    )
    count = windows.target_TS.shape[1]
    updates = PASSES * -(-steps // CHUNK) * -(-count // BATCH)
    learner = Learner(candidate, Schedule(updates, learning_rate, chunk=CHUNK, batch=BATCH))
    for _ in range(PASSES):
        for _loss in learner.learn(past, np.arange(count)):
            pause()
    return candidate.eval()


def losses_of(backbone: Backbone, windows: Windows) -> Float64:
    """[S] mean loss of each stream over the judged samples, the ones before them to warm up; NaN where it has none."""
    newest = slice(len(windows.target_TS) - judged(len(windows.target_TS)) - 1, None)
    found = []
    for first in range(0, windows.target_TS.shape[1], JUDGED_AT_ONCE):
        some = slice(first, first + JUDGED_AT_ONCE)
        inputs_TBF, target_TB = windows.inputs_TSF[:, some], windows.target_TS[:, some]
        with torch.inference_mode():
            outputs, *_ = backbone.unroll(inputs_TBF, *backbone.initial(target_TB.shape[1]))
            loss, _ = likelihood(outputs, inputs_TBF, target_TB)
        mask = windows.mask_TS[newest, some].double()
        with np.errstate(invalid="ignore"):
            found.append((loss[newest].double() * mask).sum(0).numpy() / mask.sum(0).numpy())
    return np.concatenate(found)


def beats(challenger_S: Float64, running_S: Float64) -> bool:
    """Whether the mean over streams is lower by more than its standard error: chance is no reason to change weights."""
    gain = running_S - challenger_S
    gain = gain[np.isfinite(gain)]
    if len(gain) < 2:
        return False
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))
