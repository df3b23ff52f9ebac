"""The files that the worker and its learning process exchange, in a folder per round.

The worker writes `stretches` (float32 [S, T, W], the network's inputs for each stream, oldest first), a file for each
network that the streams are, were or could be forecast with, and `request.json`. The process answers with
`candidate.safetensors` and `answer.json`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from detector.learning.buffer import WIDTH

Float32 = npt.NDArray[np.float32]

_ZEROS = 1 << 20
"""Bytes written at a time."""


class Request(msgspec.Struct, frozen=True):
    """The request to the learning process."""

    shape: dict[str, str | int]
    """Shape of the network."""
    samples: int
    """T, the most samples that a slot holds."""
    lengths: list[int]
    """Number of samples of each stream."""
    running: list[str]
    """SHA-256 of the weights that each stream is forecast with."""
    networks: list[str]
    seed: int
    """Seed of the rehearsal, different in every round."""
    learning_rate: float
    cpu_share: float


class Answer(msgspec.Struct, frozen=True):
    """The learning process's answer."""

    chosen: str | None
    """`candidate`, the SHA-256 of another network, or None to keep the running ones."""
    loss: dict[str, float]
    cpu_seconds: float


def stretches(folder: Path, streams: int, samples: int, mode: str = "r") -> Float32:
    """The folder's [S, T, W] file: mode `w+` creates it, `r` reads it. Raises OSError if the disk has no room."""
    path, shape = folder / "stretches", (streams, samples, WIDTH)
    if mode == "r":
        return np.memmap(path, np.float32, "r", shape=shape)
    with path.open("wb") as file:
        _reserve(file, 4 * streams * samples * WIDTH)
    return np.memmap(path, np.float32, "r+", shape=shape)


def _reserve(file: BinaryIO, size: int) -> None:
    """Reserve `size` bytes on disk: writing to a mapped page without disk space would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(_ZEROS)  # macOS has no posix_fallocate
    for start in range(0, size, _ZEROS):
        file.write(zeros[: size - start])
    file.flush()


def write_networks(folder: Path, networks: Mapping[str, bytes]) -> None:
    """Write networks, given as name -> safetensors."""
    for name, tensors in networks.items():
        network_path(folder, name).write_bytes(tensors)


def network_path(folder: Path, name: str) -> Path:
    """File of a network."""
    return folder / f"{name}.safetensors"


def write_request(folder: Path, request: Request) -> None:
    """Write the request; the worker writes it last."""
    (folder / "request.json").write_bytes(msgspec.json.encode(request))


def read_request(folder: Path) -> Request:
    """Raises OSError, ValueError."""
    return msgspec.json.decode((folder / "request.json").read_bytes(), type=Request)


def write_answer(folder: Path, answer: Answer) -> None:
    """Write the answer; the process writes it last."""
    (folder / "answer.json").write_bytes(msgspec.json.encode(answer))


def read_answer(folder: Path) -> Answer:
    """Raises OSError, ValueError."""
    return msgspec.json.decode((folder / "answer.json").read_bytes(), type=Answer)
