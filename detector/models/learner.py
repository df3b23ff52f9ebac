"""Truncated backpropagation through time over recorded streams.

`windows.record` turns streams into inputs and targets in units of s. The network learns chunk by chunk; between chunks
its state is carried over and its gradient is cut.

Shape legend: T steps, S streams, B streams of one update, F features, K experts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from detector.models.backbone import Backbone
from detector.models.features import ERROR_LOGS, OFFSETS
from detector.models.group import ALONE, Group
from detector.models.naive import EXPERTS
from detector.models.windows import Windows

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""Parameters of AdamW (Loshchilov & Hutter 2019): decay of its two moments, and the term added to its divisor."""
LARGE_ERROR = 50.0
"""Errors count linearly up to about this many s and logarithmically beyond, so no single jump dominates an update."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Length, rate and batching of the training."""

    updates: int
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    chunk: int = 384
    batch: int = 256
    clip: float = 1.0

    def rate(self, update: int) -> float:
        """Learning rate: a cosine from the full rate to a hundredth of it, after a short warm-up."""
        warm = min(1.0, (update + 1) / 20)
        done = min(update / max(self.updates, 1), 1.0)
        return self.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def likelihood(outputs: Tensor, inputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(negative log likelihood of a Laplace distribution without its constant, absolute error), both per sample.

    The likelihood is |e| / exp(b) + b, with |e| replaced by c log(1 + |e| / c) to dampen large errors.
    """
    offsets = torch.sinh(inputs[..., OFFSETS])
    forecast = (outputs[..., :EXPERTS] * offsets).sum(-1) + outputs[..., EXPERTS]
    log_scale = outputs[..., EXPERTS + 1]
    error = torch.abs(target - forecast)
    counted = LARGE_ERROR * torch.log1p(error / LARGE_ERROR)
    return counted * torch.exp(-log_scale) + log_scale, error


class _Unroll(nn.Module):
    """`Backbone.unroll` as a module's forward pass, which DistributedDataParallel needs."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, input_TBF: Tensor, hidden_BLH: Tensor, cell_BLH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.backbone.unroll(input_TBF, hidden_BLH, cell_BLH)


class Learner:
    """Trains a backbone, and holds the optimiser's moments; deterministic given backbone, windows and group size.

    Uses torch's function for AdamW, not its class: the class imports torch's compiler, 160 MiB that nothing here uses.
    """

    def __init__(self, backbone: Backbone, schedule: Schedule, group: Group = ALONE) -> None:
        self.backbone = backbone.to(group.device)
        self.schedule = schedule
        self.updates = 0
        self._group = group
        self._network = group.wrap(_Unroll(backbone))
        self._moments = {
            name: {"step": torch.zeros(()), "exp_avg": torch.zeros_like(one), "exp_avg_sq": torch.zeros_like(one)}
            for name, one in backbone.named_parameters()
            if one.requires_grad
        }

    @property
    def done(self) -> bool:
        """Whether the schedule has ended."""
        return self.updates >= self.schedule.updates

    def learn(self, windows: Windows, order: npt.NDArray[np.int64]) -> Iterator[float]:
        """Make one pass over the streams in `order`; yields the loss of each update, and stops with the schedule."""
        schedule, device = self.schedule, self._group.device
        for first in range(0, len(order), schedule.batch):
            batch = torch.from_numpy(order[first : first + schedule.batch])
            streams, counted = self._group.share(batch)
            hidden, cell = (tensor.to(device) for tensor in self.backbone.initial(len(streams)))
            for start in range(0, len(windows.inputs_TSF), schedule.chunk):
                if self.done:
                    return
                part = slice(start, start + schedule.chunk)
                inputs_TBF = windows.inputs_TSF[part, streams].to(device)
                outputs, hidden, cell = self._network(inputs_TBF, hidden, cell)
                loss, _ = likelihood(outputs, inputs_TBF, windows.target_TS[part, streams].to(device))
                yield self._update(loss, counted * windows.mask_TS[part, streams].to(device))
                hidden, cell = hidden.detach(), cell.detach()

    def state(self) -> dict[str, Tensor]:
        """Parameters and the optimiser's moments: with `updates`, everything needed to continue."""
        tensors = {}
        for name, parameter in self.backbone.named_parameters():
            tensors[f"model.{name}"] = parameter.detach().clone()
            for moment, tensor in self._moments.get(name, {}).items():
                tensors[f"adam.{moment}.{name}"] = tensor.clone()
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Continue from `state` after so many updates. Raises KeyError, ValueError if it is of another backbone."""
        self.updates = updates
        with torch.no_grad():
            for name, parameter in self.backbone.named_parameters():
                parameter.copy_(_fitting(tensors, f"model.{name}", parameter.shape))
                for moment, tensor in self._moments.get(name, {}).items() if updates else ():
                    tensor.copy_(_fitting(tensors, f"adam.{moment}.{name}", tensor.shape))

    def _update(self, loss_TB: Tensor, mask_TB: Tensor) -> float:
        mean = (loss_TB * mask_TB).sum() / self._group.total(mask_TB.sum()).clamp(min=1)
        self.backbone.zero_grad()
        # Gradients are averaged over processes; times their number, that is the gradient of the update's mean.
        torch.autograd.backward(mean * self._group.size)
        torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), self.schedule.clip)
        self._step()
        self.updates += 1
        return float(self._group.total(mean.detach()))

    def _step(self) -> None:
        """Make one step of AdamW for every parameter that has a gradient."""
        learnt = [(one, one.grad, name) for name, one in self.backbone.named_parameters() if one.grad is not None]
        moments = [self._moments[name] for *_, name in learnt]
        with torch.no_grad():
            adamw(
                [parameter for parameter, *_ in learnt],
                [gradient for _, gradient, _ in learnt],
                [moment["exp_avg"] for moment in moments],
                [moment["exp_avg_sq"] for moment in moments],
                [],
                [moment["step"] for moment in moments],
                amsgrad=False,
                beta1=BETA_1,
                beta2=BETA_2,
                lr=self.schedule.rate(self.updates),
                weight_decay=self.schedule.weight_decay,
                eps=EPSILON,
                maximize=False,
            )


def _fitting(tensors: Mapping[str, Tensor], name: str, shape: torch.Size) -> Tensor:
    tensor = tensors[name]
    if tensor.shape != shape:
        raise ValueError(f"{name} is {list(tensor.shape)}, not {list(shape)}")
    return tensor


def evaluate(backbone: Backbone, windows: Windows, skip: float = 0.15) -> dict[str, float]:
    """Losses on held-out windows, without the first share of steps (`skip`).

    `ratio` is the geometric mean over streams of the network's absolute error, divided by that of the last value or of
    the expert best at the time, whichever is smaller. `won` is the share of streams where this is below 1.
    """
    device = backbone.favour.device
    with torch.inference_mode():
        state = (tensor.to(device) for tensor in backbone.initial(windows.inputs_TSF.shape[1]))
        outputs, _, _ = backbone.unroll(windows.inputs_TSF.to(device), *state)
        loss, error = likelihood(outputs.cpu(), windows.inputs_TSF, windows.target_TS)
    mask = windows.mask_TS.clone()
    mask[: int(skip * len(mask))] = 0
    count = mask.sum(0).clamp(min=1)
    offsets = torch.sinh(windows.inputs_TSF[..., OFFSETS])
    naive = torch.abs(windows.target_TS[..., None] - offsets)
    online = naive.gather(-1, windows.inputs_TSF[..., ERROR_LOGS].argmin(-1, keepdim=True))[..., 0]
    moved = naive[..., 0] * mask
    ours = (error * mask).sum(0) / count
    best = torch.minimum(moved.sum(0), (online * mask).sum(0)) / count
    usable = best > 1e-3
    ratio = (ours[usable] / best[usable]).clamp(1e-3, 1e3)
    return {
        "loss": float((loss * mask).sum() / mask.sum()),
        "ratio": float(torch.exp(torch.log(ratio).mean())),
        "won": float((ratio < 1).float().mean()),
    }
