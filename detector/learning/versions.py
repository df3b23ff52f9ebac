"""Which weights each partition's streams are forecast with, and the transition from one version to the next.

Weights are part of a partition's state: its snapshot names those used from its offset on. So a version that is
`propose`d takes over partition by partition, each with its next snapshot (`worker/snapshots.py`), and moves with the
partition to whichever worker owns it.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from detector.columns import BLOCK_ROWS, allocate
from detector.errors import ModelError
from detector.models.backbone import Backbone
from detector.models.forecaster import Forecaster
from detector.models.weights import Weights
from detector.pipeline import Pipeline
from detector.pipeline.notifications import Model
from detector.protocols import LearntWeights
from detector.records import Partition

KEPT = 2
"""Versions that a partition keeps: the running one, and the previous one to go back to."""
Chain = tuple[LearntWeights, ...]


class Versions:
    """Weights of partitions, and a forecaster for each version in use. Implements `WeightsInUse`."""

    def __init__(self, pipeline: Pipeline, base: Weights, make: Callable[[Weights], Forecaster]) -> None:
        """`base` are the weights that the pipeline was built with; `make` builds a forecaster like the pipeline's."""
        self.base = base
        self.pipeline = pipeline
        self._make = make
        self._chains: dict[Partition, Chain] = {}
        self._proposed: LearntWeights | None = None
        self._models: dict[str, Model] = {}

    def propose(self, weights: LearntWeights) -> None:
        """Let these weights take over with the next snapshots. Raises ModelError if they do not fit the network."""
        self._model(weights)
        self._proposed = weights

    def upcoming(self, partition: Partition) -> Chain:
        chain = self.current(partition)
        if self._proposed is None or self._proposed.sha256 == self.name(partition):
            return chain
        names = [weights.sha256 for weights in chain]
        if self._proposed.sha256 == self.base.sha256:
            return ()
        if self._proposed.sha256 in names:
            return chain[names.index(self._proposed.sha256) :]
        return (self._proposed, *chain)[:KEPT]

    def current(self, partition: Partition) -> Chain:
        return self._chains.get(partition, ())

    def name(self, partition: Partition) -> str:
        """SHA-256 of the weights that the partition's streams are forecast with."""
        chain = self.current(partition)
        return chain[0].sha256 if chain else self.base.sha256

    def use(self, partition: Partition, weights: Chain) -> None:
        self._chains[partition] = weights
        if weights:
            self.pipeline.models[partition] = self._model(weights[0])
        else:
            self.pipeline.models.pop(partition, None)
        self._tidy()

    def forget(self, partition: Partition) -> None:
        self._chains.pop(partition, None)
        self.pipeline.models.pop(partition, None)
        self._tidy()

    def rivals(self, partitions: Iterable[Partition]) -> dict[str, LearntWeights]:
        """SHA-256 -> weights that these partitions are, were or could again be forecast with."""
        known = {weights.sha256: weights for one in partitions for weights in self.current(one)}
        return {self.base.sha256: LearntWeights(self.base.sha256, tensors_of(self.base.backbone)), **known}

    def _model(self, weights: LearntWeights) -> Model:
        if weights.sha256 == self.base.sha256:
            return Model(self.pipeline.model, self.pipeline.forecaster)
        if weights.sha256 not in self._models:
            loaded = replace(self.base, backbone=network(weights.tensors, self.base.backbone), sha256=weights.sha256)
            forecaster = self._make(loaded)
            # A kernel's first call is slow; make it now, when nobody waits for it.
            state, rows = allocate(forecaster.fields, BLOCK_ROWS), np.arange(BLOCK_ROWS)
            forecaster.learn(state, rows, np.zeros(BLOCK_ROWS), np.ones(BLOCK_ROWS))
            forecaster.forecast(state, rows)
            self._models[weights.sha256] = Model(forecaster.name, forecaster)
        return self._models[weights.sha256]

    def _tidy(self) -> None:
        """Drop forecasters that no partition uses or is about to use."""
        used = {chain[0].sha256 for chain in self._chains.values() if chain}
        if self._proposed is not None:
            used.add(self._proposed.sha256)
        self._models = {sha256: model for sha256, model in self._models.items() if sha256 in used}


def learnt(tensors: bytes) -> LearntWeights:
    """Weights with their hash."""
    return LearntWeights(hashlib.sha256(tensors).hexdigest(), tensors)


def tensors_of(backbone: Backbone) -> bytes:
    """A network's weights as safetensors."""
    return save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()})


def network(tensors: bytes, like: Backbone) -> Backbone:
    """A network of the same shape with these weights. Raises ModelError."""
    try:
        found = load_tensors(tensors)
    except (SafetensorError, ValueError, KeyError) as exc:
        raise ModelError(f"learned weights: not safetensors ({exc})") from exc
    wanted = like.state_dict()
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in wanted.items()}
    if shapes != {name: (tensor.shape, tensor.dtype) for name, tensor in found.items()}:
        raise ModelError("learned weights: the network has another shape")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in found.values()):
        raise ModelError("learned weights: contain NaN or infinity")
    made = copy.deepcopy(like)
    made.load_state_dict(found)
    return made.eval()
