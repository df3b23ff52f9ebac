"""What an interrupted training leaves beside its output: one safetensors file, with facts as JSON in the header.

The file is replaced atomically, so an interruption leaves either the previous one or the new one, complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from detector.errors import ModelError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """State of a run apart from its tensors."""

    updates: int
    draw: int
    passes: int
    rng: dict[str, Any]
    curve: list[float]
    looks: list[tuple[int, float]]
    seconds: float

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Facts:
        """Facts from parsed JSON. Raises KeyError."""
        looks = [(int(updates), float(loss)) for updates, loss in facts["looks"]]
        return cls(**{**{name: facts[name] for name in cls.__slots__}, "looks": looks})


def path_of(output: Path) -> Path:
    """The resume file that belongs to the weights `output`."""
    return output.with_suffix(".resume.safetensors")


def save(output: Path, origin: Mapping[str, Any], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write the resume file, replacing any earlier one."""
    path = path_of(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"resume": json.dumps({"format": FORMAT, "origin": origin, "facts": facts})}
    part = path.with_name(path.name + ".part")
    part.write_bytes(save_tensors({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, header))
    os.replace(part, path)


def load(output: Path, origin: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, facts). Raises ModelError if there is no resume file, or not one of a training of this origin."""
    path = path_of(output)
    if not path.is_file():
        raise ModelError(f"{path}: no such file, so nothing to resume; start without --resume")
    try:
        with safe_open(path, "pt") as file:
            stored = json.loads(file.metadata()["resume"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        found, facts = stored["origin"], stored["facts"]
        Facts.of(facts)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{path}: not the resume file of a training ({exc}); start without --resume") from exc
    if differing := _differing(json.loads(json.dumps(origin)), found):
        raise ModelError(f"{path}: belongs to another training: {'; '.join(differing)}")
    return tensors, facts


def _differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """`key was a, is b` for each flattened fact that differs."""
    ours, theirs = _flat(wanted), _flat(found)
    keys = sorted(ours.keys() | theirs.keys())
    return [f"{key} was {theirs.get(key)}, is {ours.get(key)}" for key in keys if ours.get(key) != theirs.get(key)]


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        flat |= {f"{key}.{name}": one for name, one in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def forget(output: Path) -> None:
    """Delete the resume file: the training is done."""
    path_of(output).unlink(missing_ok=True)
