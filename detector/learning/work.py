"""The work of the learning process: one round, from a folder's request to its answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from detector.learning import files
from detector.learning.tuning import CANDIDATE, consider, rehearsal, windows_of
from detector.learning.versions import network, tensors_of
from detector.models.backbone import Backbone, Shape


def work(folder: Path, pace: Callable[[float], Callable[[], None]]) -> None:
    """Answer the request. `pace` turns a share of a core into the function called between two steps."""
    torch.set_num_threads(1)
    request = files.read_request(folder)
    pause = pace(request.cpu_share)
    like = Backbone(Shape(**request.shape))  # type: ignore[arg-type]
    networks = {name: network(files.network_path(folder, name).read_bytes(), like) for name in request.networks}
    seen_STW = files.stretches(folder, len(request.lengths), request.samples)
    parts = [seen_STW[stream, :length] for stream, length in enumerate(request.lengths)]
    rehearsed = rehearsal(request.seed, len(parts), request.samples)
    pause()
    windows = windows_of(parts, request.samples)
    verdict = consider(networks, request.running, windows, rehearsed, request.learning_rate, pause)
    files.write_networks(folder, {CANDIDATE: tensors_of(verdict.candidate)})
    files.write_answer(folder, files.Answer(verdict.chosen, dict(verdict.loss), time.process_time()))
