"""Weights and their card: the shipped ones, and which ones are rejected."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from detector.errors import ModelError
from detector.models.backbone import Backbone, Shape
from detector.models.features import FEATURE_NAMES
from detector.models.weights import card_path, default_path, load, save


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    where = tmp_path / "weights.safetensors"
    save(Backbone(Shape(hidden_size=8)), where, {"seed": 0})
    return where


def edit_card(path: Path, **changes: object) -> None:
    card = json.loads(card_path(path).read_text())
    card_path(path).write_text(json.dumps({**card, **changes}))


def resave(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    edit_card(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def refused(path: Path, words: str) -> None:
    with pytest.raises(ModelError, match=re.escape(words)):
        load(path)


def test_shipped_weights_load_and_are_small():
    weights = load()
    assert weights.card["sha256"] == weights.sha256
    assert weights.card["features"] == list(FEATURE_NAMES)
    assert weights.card["command"].startswith("detector train --synthetic --")
    assert default_path().stat().st_size + card_path(default_path()).stat().st_size < 300_000


def test_weights_round_trip(path):
    torch.manual_seed(0)
    saved = Backbone(Shape(hidden_size=8)).state_dict()
    for name, tensor in load(path).backbone.state_dict().items():
        assert torch.equal(tensor, saved[name])


def test_missing_files_are_named(path):
    refused(path.with_name("none.safetensors"), "No such file")
    path.with_suffix(".json").unlink()
    refused(path, "needs its card beside it")


def test_flipped_bit_is_detected(path):
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)
    refused(path, "one of them is damaged")


def test_file_that_is_not_safetensors_is_rejected(path):
    path.write_bytes(b"hello")
    edit_card(path, sha256=hashlib.sha256(b"hello").hexdigest())
    refused(path, "not a safetensors file")


@pytest.mark.parametrize("text", ["{", 100_000 * "["])
def test_card_that_is_not_json_is_rejected(path, text):
    card_path(path).write_text(text)
    refused(path, "not JSON")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "not a model card of format 1"),
        ({"features": ["a"]}, "its features are not this version's"),
        ({"experts": []}, "its experts are not this version's"),
        ({"shape": {"cell": "transformer"}}, "unknown cell 'transformer'"),
        ({"shape": {"depth": 3}}, "no valid shape"),
        ({"shape": {"cell": ["lstm"]}}, "unknown cell ['lstm']"),
        ({"shape": {"cell": "lstm", "hidden_size": 0}}, "hidden_size 0 is not a number from 1 to 1024"),
        ({"shape": {"cell": "lstm", "hidden_size": 32.0}}, "hidden_size 32.0 is not a number"),
        ({"shape": {"cell": "lstm", "num_layers": "1"}}, "num_layers '1' is not a number from 1 to 8"),
        ({"shape": {"cell": "gru", "hidden_size": 8}}, "tensors missing or not expected"),
        ({"shape": {"cell": "lstm", "hidden_size": 16}}, "expected torch.float32 [64"),
    ],
)
def test_card_that_does_not_match_is_rejected(path, changes, words):
    edit_card(path, **changes)
    refused(path, words)


def test_non_finite_values_are_rejected(path):
    resave(path, lambda tensors: tensors["head.bias"].fill_(float("nan")))
    refused(path, "head.bias holds NaN or infinity")


def test_other_dtype_is_rejected(path):
    resave(path, lambda tensors: tensors.update({"head.bias": tensors["head.bias"].double()}))
    refused(path, "head.bias is torch.float64")
