"""A round of learning: tunes a candidate on the older samples and judges it on the newest, which it has not seen.

In between, the candidate rehearses the curriculum: a network that learns only from a steady fleet forgets how to handle
a level that jumps.

Shape legend: S streams, T samples, F features, W numbers of a remembered sample.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from detector.learning.buffer import LAST, UNIT
from detector.models.backbone import Backbone
from detector.models.features import FEATURES
from detector.models.learner import Learner, Schedule, likelihood
from detector.models.windows import Windows, record
from detector.synthetic import draw_streams

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

JUDGED_SHARE = 16
"""One sample in so many that a slot can hold, the newest ones, is used for judging. This is also how soon a round can
reflect a change."""
PASSES = 5
CHUNK = 128
BATCH = 32
"""Streams per update; with `CHUNK` it bounds the memory of a round. Small batches make the most of few samples."""
REHEARSAL = 2_000_003
"""First part of the rehearsal's seed, different from every training seed."""
MOST_REHEARSED = 256
LARGEST_TARGET = 1e6
LEAST_ERROR = 1e-3
"""Added to mean absolute errors, in units of s, so that differences between tiny errors do not count."""
CANDIDATE = "candidate"


def judged(samples: int) -> int:
    """How many of a slot's `samples` are used for judging."""
    return samples // JUDGED_SHARE


class Record(NamedTuple):
    """A network's results on each stream's judged samples; NaN for streams without any."""

    loss_S: Float64
    """Mean loss."""
    error_S: Float64
    """Logarithm of the mean absolute error, in units of s."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a round."""

    chosen: str | None
    """Name of the weights that should take over; None to keep the running ones."""
    loss: Mapping[str, float]
    """Name -> mean loss over the judged samples; `running` stands for the weights that each stream is forecast with."""
    candidate: Backbone


def windows_of(stretches: Sequence[Float32], samples: int) -> Windows:
    """Windows of `samples` steps, from [T, W] of each stream; they end together, and short ones are masked in front."""
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


def rehearsal(seed: int, streams: int, samples: int) -> Windows:
    """New streams of the curriculum, which the network must not forget: as many as are learned from, up to a limit."""
    return record(*draw_streams([REHEARSAL, seed], min(streams, MOST_REHEARSED), samples))


def consider(
    networks: Mapping[str, Backbone],
    running: Sequence[str],
    windows: Windows,
    rehearsed: Windows,
    learning_rate: float,
    pause: Callable[[], None] = lambda: None,
) -> Verdict:
    """Tune a candidate, starting from the weights that most streams run with; judge it and all `networks`.

    `running` names each stream's weights; `pause` is called between two steps of work.
    """
    lead = max(sorted(set(running)), key=running.count)
    candidate = tune(networks[lead], windows, rehearsed, learning_rate, pause)
    records = {}
    for name, backbone in {**networks, CANDIDATE: candidate}.items():
        records[name] = record_of(backbone, windows)
        pause()
    now = _of_each(records, running)
    better = [name for name in records if name != lead and beats(records[name], now)]
    chosen = min(better, key=lambda name: float(np.nanmean(records[name].loss_S)), default=None)
    mean = {name: float(np.nanmean(record.loss_S)) for name, record in {**records, "running": now}.items()}
    return Verdict(chosen, mean, candidate)


def _of_each(records: Mapping[str, Record], running: Sequence[str]) -> Record:
    """The record of the weights that each stream runs with."""
    mine = [records[name] for name in running]
    return Record(
        np.array([record.loss_S[stream] for stream, record in enumerate(mine)]),
        np.array([record.error_S[stream] for stream, record in enumerate(mine)]),
    )


def tune(
    backbone: Backbone, windows: Windows, rehearsed: Windows, learning_rate: float, pause: Callable[[], None]
) -> Backbone:
    """A copy that has learned from all but the judged samples, taking turns with the rehearsed ones."""
    steps = len(windows.target_TS) - judged(len(windows.target_TS)) - 1
    past = Windows(
        windows.inputs_TSF[:steps], windows.target_TS[:steps], windows.mask_TS[:steps], windows.unit_TS[:steps]
    )
    parts = (past, rehearsed)
    updates = PASSES * sum(-(-len(part.target_TS) // CHUNK) * -(-part.target_TS.shape[1] // BATCH) for part in parts)
    learner = Learner(copy.deepcopy(backbone).train(), Schedule(updates, learning_rate, chunk=CHUNK, batch=BATCH))
    shuffle = np.random.default_rng(0)
    for _ in range(PASSES):
        passes = [learner.learn(part, shuffle.permutation(part.target_TS.shape[1])) for part in parts]
        for _losses in zip_longest(*passes):
            pause()
    return learner.backbone.eval()


def record_of(backbone: Backbone, windows: Windows) -> Record:
    """Record of a network on the judged samples; the samples before them warm it up."""
    first = len(windows.target_TS) - judged(len(windows.target_TS)) - 1
    losses, errors = [], []
    for start in range(0, windows.target_TS.shape[1], BATCH):
        some = slice(start, start + BATCH)
        inputs_TBF, target_TB = windows.inputs_TSF[:, some], windows.target_TS[first:, some]
        with torch.inference_mode():
            _, *state = backbone.unroll(inputs_TBF[:first], *backbone.initial(inputs_TBF.shape[1]))
            outputs, *_ = backbone.unroll(inputs_TBF[first:], *state)
            loss_TB, error_TB = likelihood(outputs, inputs_TBF[first:], target_TB)
        mask_TB = windows.mask_TS[first:, some].double()
        count_B = mask_TB.sum(0).numpy()
        with np.errstate(invalid="ignore"):
            losses.append((loss_TB.double() * mask_TB).sum(0).numpy() / count_B)
            errors.append(np.log((error_TB.double() * mask_TB).sum(0).numpy() / count_B + LEAST_ERROR))
    return Record(np.concatenate(losses), np.concatenate(errors))


def beats(challenger: Record, running: Record) -> bool:
    """Whether the mean loss over streams is lower by more than its standard error, and the error is no larger.

    Neither chance nor a better-fitting scale with worse forecasts is a reason to change weights.
    """
    gain_S = running.loss_S - challenger.loss_S
    there = np.isfinite(gain_S)
    gain, nearer = gain_S[there], (running.error_S - challenger.error_S)[there]
    if len(gain) < 2:
        return False
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)) and nearer.mean() >= 0)
