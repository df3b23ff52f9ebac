"""What the worker and its learning process hand each other: files in a folder of their own.

The worker writes `stretches` (float32 [S, T, W], what the network saw of each stream, the oldest first), a file for
each network that the streams are, were or could be forecast with, and `request.json`; the process answers with
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
"""Bytes at a time."""


class Request(msgspec.Struct, frozen=True):
    """What the learning process is asked."""

    shape: dict[str, str | int]
    """Of the network."""
    samples: int
    """That a slot holds at most: T."""
    lengths: list[int]
    """Samples of each stream."""
    running: list[str]
    """SHA-256 of the weights that each stream is forecast with."""
    networks: list[str]
    seed: int
    """Of what is rehearsed: another one in every round."""
    learning_rate: float
    cpu_share: float


class Answer(msgspec.Struct, frozen=True):
    """What it found."""

    chosen: str | None
    """`candidate`, the SHA-256 of another network, or None to go on as before."""
    loss: dict[str, float]
    cpu_seconds: float


def stretches(folder: Path, streams: int, samples: int, mode: str = "r") -> Float32:
    """[S, T, W] file of the folder: mode `w+` creates it, `r` reads it. Raises OSError where it has no room."""
    path, shape = folder / "stretches", (streams, samples, WIDTH)
    if mode == "r":
        return np.memmap(path, np.float32, "r", shape=shape)
    with path.open("wb") as file:
        _reserve(file, 4 * streams * samples * WIDTH)
    return np.memmap(path, np.float32, "r+", shape=shape)


def _reserve(file: BinaryIO, size: int) -> None:
    """Make the disk keep `size` bytes: a write to a mapped page that it has no room for would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(_ZEROS)  # macOS has no such call
    for start in range(0, size, _ZEROS):
        file.write(zeros[: size - start])
    file.flush()


def write_networks(folder: Path, networks: Mapping[str, bytes]) -> None:
    """Name -> safetensors."""
    for name, tensors in networks.items():
        network_path(folder, name).write_bytes(tensors)


def network_path(folder: Path, name: str) -> Path:
    """File of a network."""
    return folder / f"{name}.safetensors"


def write_request(folder: Path, request: Request) -> None:
    """The last that the worker writes."""
    (folder / "request.json").write_bytes(msgspec.json.encode(request))


def read_request(folder: Path) -> Request:
    """Raises OSError, ValueError."""
    return msgspec.json.decode((folder / "request.json").read_bytes(), type=Request)


def write_answer(folder: Path, answer: Answer) -> None:
    """The last that the process writes."""
    (folder / "answer.json").write_bytes(msgspec.json.encode(answer))


def read_answer(folder: Path) -> Answer:
    """Raises OSError, ValueError."""
    return msgspec.json.decode((folder / "answer.json").read_bytes(), type=Answer)
