"""A small fleet for learning, and networks to begin with."""

from __future__ import annotations

import json

import numpy as np
import torch

from detector.models.backbone import Backbone, Shape
from detector.models.weights import Weights
from detector.models.windows import Float64
from detector.records import Partition

START = 1_700_000_000
SHAPE = Shape("lstm", 8, 1)


def values(streams: int, steps: int, seed: int = 0) -> Float64:
    """[S, T] waves with noise."""
    rng = np.random.default_rng(seed)
    period, phase = rng.integers(8, 40, (streams, 1)), rng.random((streams, 1))
    waves = 10 * np.sin(2 * np.pi * (np.arange(steps)[None, :] / period + phase))
    return np.asarray(50 + waves + rng.normal(size=(streams, steps)))


def log_of(values_ST: Float64, partition: Partition = ("metrics", 0)) -> dict[Partition, list[bytes]]:
    """A topic: all samples of one minute, then those of the next."""
    records = [
        json.dumps({"name": f"s{stream}", "timestamp": START + 60 * step, "value": value}).encode()
        for step, column in enumerate(values_ST.T.tolist())
        for stream, value in enumerate(column)
    ]
    return {partition: records}


def untrained(seed: int = 1, log_scale: float = 0.0) -> Weights:
    """An untrained network whose scale is exp(`log_scale`) times the errors."""
    torch.manual_seed(seed)
    backbone = Backbone(SHAPE).eval()
    with torch.no_grad():
        backbone.head.bias[-1] += log_scale
    return Weights(backbone, {}, f"{seed:064d}")
