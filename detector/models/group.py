"""The processes that train one network together: a single one, or as many as `torchrun` starts.

Every process draws the same streams and learns from its share of each update. Gradients are summed before the
optimiser's step (DistributedDataParallel), so all processes hold the same weights, and the first one writes them.

Shape legend: B streams of one update.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from detector.models import kernel


@dataclass(frozen=True, slots=True)
class Group:
    """This process's place among those that train together."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """`network` as the group trains it: its gradients are the mean over the processes."""
        if self.size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)

    def share(self, streams_B: Tensor) -> tuple[Tensor, float]:
        """(this process's part of an update's streams, its weight); if there are too few, one stream of weight 0."""
        mine = streams_B[self.rank :: self.size]
        return (mine, 1.0) if len(mine) else (streams_B[:1], 0.0)

    def total(self, value: Tensor) -> Tensor:
        """Sum over the processes."""
        if self.size == 1:
            return value
        added = value.detach().clone()
        distributed.all_reduce(added)
        return added


ALONE = Group(0, 1, torch.device("cpu"))


def first_process() -> bool:
    """Whether the environment of `torchrun` makes this process the one that writes and reports."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the group given by the environment of `torchrun`, with gloo on cpu and nccl on cuda.

    On cuda, each process of a machine takes the device of its `LOCAL_RANK`. Raises ModelError for a missing device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    place = kernel.device(device)
    if size == 1:
        yield Group(0, 1, place)
        return
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Group(distributed.get_rank(), size, place)
    finally:
        distributed.destroy_process_group()
