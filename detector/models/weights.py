"""Weights on disk: a safetensors file and, next to it, a JSON card that says what it is and how it was made.

The card has the network's shape, its inputs in order, and the SHA-256 of the weights file; `load` rejects anything that
does not fit. Errors are `ModelError`, with what is wrong, where, and how to fix it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from detector.errors import ModelError
from detector.models.backbone import Backbone, Shape
from detector.models.cells import CELLS
from detector.models.features import FEATURE_NAMES
from detector.models.naive import EXPERT_NAMES

CARD_FORMAT = 1
Card = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Weights:
    """A backbone with the card and the hash of the file it came from."""

    backbone: Backbone
    card: Card
    sha256: str


def default_path() -> Path:
    """The weights that ship with the package."""
    return Path(str(resources.files("detector") / "weights" / "default.safetensors"))


def card_path(weights: Path) -> Path:
    """The card of a weights file."""
    return weights.with_suffix(".json")


def save(backbone: Backbone, path: Path, facts: Card) -> Card:
    """Write the weights and their card; returns the card."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()}
    blob = save_tensors(tensors)
    card: Card = {
        "format": CARD_FORMAT,
        "shape": backbone.shape.as_dict(),
        "features": list(FEATURE_NAMES),
        "experts": list(EXPERT_NAMES),
        "sha256": hashlib.sha256(blob).hexdigest(),
        **facts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(blob)
    card_path(path).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def load(path: Path | None = None) -> Weights:
    """Read and check weights; None reads the shipped ones. Raises ModelError."""
    path = path or default_path()
    try:
        blob = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"weights {path}: {exc.strerror}") from exc
    card = _read_card(card_path(path))
    sha256 = hashlib.sha256(blob).hexdigest()
    if sha256 != card["sha256"]:
        raise ModelError(f"weights {path}: SHA-256 is {sha256}, its card says {card['sha256']}; one of them is damaged")
    try:
        tensors = load_tensors(blob)
    except (SafetensorError, ValueError, KeyError) as exc:
        raise ModelError(f"weights {path}: not a safetensors file ({exc})") from exc
    backbone = Backbone(_shape(card, path))
    _check(backbone.state_dict(), tensors, path)
    backbone.load_state_dict(tensors)
    return Weights(backbone.eval(), card, sha256)


def _read_card(path: Path) -> Card:
    try:
        card = json.loads(path.read_bytes())
    except OSError as exc:
        raise ModelError(f"card {path}: {exc.strerror}; a weights file needs its card beside it") from exc
    except (ValueError, RecursionError) as exc:
        raise ModelError(f"card {path}: not JSON ({exc})") from exc
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT or not isinstance(card.get("sha256"), str):
        raise ModelError(f"card {path}: not a model card of format {CARD_FORMAT}; train again with this version")
    for key, ours in (("features", FEATURE_NAMES), ("experts", EXPERT_NAMES)):
        if card.get(key) != list(ours):
            raise ModelError(f"card {path}: its {key} are not this version's; train again with this version")
    return card


def _shape(card: Card, path: Path) -> Shape:
    try:
        shape = Shape(**card["shape"])
    except (KeyError, TypeError) as exc:
        raise ModelError(f"card of {path}: no valid shape ({exc})") from exc
    if shape.cell not in list(CELLS):
        raise ModelError(f"card of {path}: unknown cell {shape.cell!r}; known: {', '.join(CELLS)}")
    for key, size, most in (("hidden_size", shape.hidden_size, 1024), ("num_layers", shape.num_layers, 8)):
        if type(size) is not int or not 1 <= size <= most:
            raise ModelError(f"card of {path}: {key} {size!r} is not a number from 1 to {most}")
    return shape


def _check(expected: dict[str, Tensor], found: dict[str, Tensor], path: Path) -> None:
    """Check the name, shape, dtype and finiteness of every tensor."""
    if odd := sorted(expected.keys() ^ found.keys()):
        raise ModelError(f"weights {path}: tensors missing or not expected: {', '.join(odd)}")
    for name, want in expected.items():
        got = found[name]
        if got.shape != want.shape or got.dtype != want.dtype:
            raise ModelError(
                f"weights {path}: {name} is {got.dtype} {list(got.shape)}, expected {want.dtype} {list(want.shape)}"
            )
        if not math.isfinite(float(torch.sum(torch.abs(got.double())))):
            raise ModelError(f"weights {path}: {name} holds NaN or infinity")
