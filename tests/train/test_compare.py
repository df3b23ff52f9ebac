"""The table of networks: naive errors as they should be, references, names, weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from detector.cli.commands import app
from detector.errors import ModelError
from detector.models.backbone import Backbone, Shape
from detector.models.features import FEATURES
from detector.models.weights import load
from detector.train import TrainOptions
from detector.train.compare import compare, table
from detector.train.judge import judge, panel
from detector.train.references import UNIT, Plain, memoryless

SMALL: dict[str, Any] = {"updates": 4, "streams": 16, "steps": 400, "passes": 1}


def test_naive_errors():
    hours = np.arange(24.0 * 5)
    values = np.stack((np.sin(hours / 24 * 2 * np.pi), np.cos(hours * np.pi) * 2))
    values[1, 60:] = np.nan
    judged = panel(np.broadcast_to(1.7e9 + 3600 * hours, values.shape), values)
    first = int(0.15 * len(hours))
    moved = np.abs(np.diff(values[0]))[first:]
    assert judged.naive["last_value"].tolist() == pytest.approx([moved.mean(), 4.0], rel=1e-4)
    # On the first day the last value replaces the value a day ago; from then on it is exact.
    assert judged.naive["day_ago"][0] == pytest.approx(moved[: 23 - first].sum() / len(moved), rel=1e-4)
    assert judged.naive["ewma"][1] < 3
    assert judged.judged_TS.sum(0).tolist() == [len(hours) - 1 - first, 59 - 9]


def test_untrained_gate_is_evaluated():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    times = np.broadcast_to(1.7e9 + 60 * np.arange(400.0), (8, 400))
    found = judge(Backbone(Shape(hidden_size=4)), panel(times, rng.normal(size=(8, 400))))
    assert found["last_value"] == pytest.approx(0.72, abs=0.08)
    assert found["best"] >= found["last_value"]
    assert 0 <= found["won"] <= 1


def test_constant_streams_do_not_count():
    torch.manual_seed(0)
    times, moving = 1.7e9 + 60 * np.arange(400.0), np.random.default_rng(0).normal(size=400)
    backbone = Backbone(Shape(hidden_size=4))
    both, alone = (
        judge(backbone, panel(np.broadcast_to(times, (len(values), 400)), np.stack(values)))
        for values in ([moving, np.zeros(400)], [moving])
    )
    assert both["best"] == pytest.approx(alone["best"], rel=1e-3)


def test_memoryless_gate_forgets():
    torch.manual_seed(0)
    backbone = memoryless(Shape("memoryless", 8, 2))
    inputs = torch.randn(1, 3, FEATURES)
    zero = backbone.initial(3)
    other = (torch.randn_like(zero[0]), zero[1])
    assert torch.equal(backbone.unroll(inputs, *zero)[0], backbone.unroll(inputs, *other)[0])


def test_plain_network_works_in_units_of_the_deviation():
    torch.manual_seed(0)
    backbone = Plain(Shape("lstm", 4))
    inputs = torch.zeros(2, 1, FEATURES)
    fine = inputs.clone()
    fine[..., UNIT] = -2
    (wide, _, _), (narrow, _, _) = (backbone.unroll(one, *backbone.initial(1)) for one in (inputs, fine))
    torch.testing.assert_close(narrow[..., -2], wide[..., -2] * torch.e**2)
    torch.testing.assert_close(narrow[..., -1], wide[..., -1] + 2)


def test_comparison_trains_evaluates_and_stores_networks(tmp_path):
    options = TrainOptions(tmp_path / "out", **SMALL)
    rows = compare(["grux4", "rnnx4x2", "memorylessx4", "plainx4"], [], options)
    assert [row.name for row in rows] == ["grux4", "rnnx4x2", "memorylessx4", "plainx4"]
    assert rows[0].state_bytes < rows[3].state_bytes
    assert all(row.updates == 4 and row.microseconds_a_step > 0 for row in rows)
    assert load(tmp_path / "out" / "rnnx4x2.safetensors").backbone.shape == Shape("rnn", 4, 2)
    assert not (tmp_path / "out" / "plainx4.safetensors").exists()
    report = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert report["networks"][1]["found"]["synthetic"] == rows[1].found["synthetic"]
    again = compare([str(tmp_path / "out" / "grux4.safetensors")], [], options)
    assert again[0].found == rows[0].found
    assert len(table(rows).splitlines()) == 6


def test_comparison_resumes_after_an_interruption(tmp_path):
    options = TrainOptions(tmp_path / "out", resume=True, **SMALL)
    first = compare(["grux4"], [], options)
    (tmp_path / "out" / "grux4.safetensors").unlink()
    both = compare(["grux4", "rnnx4"], [], options)
    assert both[0] == first[0]
    assert not (tmp_path / "out" / "grux4.safetensors").exists()
    other = compare(["grux4"], [], replace(options, seed=2))
    assert other[0].found != first[0].found


@pytest.mark.parametrize("name", ["lstm", "lstmx0", "lstmx8x1x1", "transformerx8", "lstmxbig"])
def test_unknown_names_are_errors(tmp_path, name):
    with pytest.raises(ModelError, match="is neither CELLxSIZE"):
        compare([name], [], TrainOptions(tmp_path, **SMALL))


def test_compare_command(tmp_path):
    rows = [f"{1.7e9 + 60 * at:.0f},{at % 7}" for at in range(300)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("\n".join(rows))
    output = str(tmp_path / "w.safetensors")
    ran = CliRunner().invoke(app, ["train", str(tmp_path / "data"), "--output", output, "--updates", "3"])
    assert ran.exit_code == 0, ran.output
    assert "held-out loss" in ran.stderr
    assert Path(output).exists()
    for wrong, words in (
        (["--output", output], "choose what to learn from"),
        (["--synthetic", "--cell", "x"], "not one of rnn"),
    ):
        ran = CliRunner().invoke(app, ["train", "--output", output, *wrong])
        assert ran.exit_code == 2
        assert words in ran.stderr
