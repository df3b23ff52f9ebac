"""Two processes learn the same as one, and one of them writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.models.group import ALONE, Group
from detector.models.weights import load
from detector.train import TrainOptions, train

PROGRAM = """
import sys
from pathlib import Path
from detector.train import TrainOptions, train
options = TrainOptions(Path(sys.argv[1]), updates=8, streams=21, steps=400, hidden_size=4, passes=2)
seen = []
card = train(options, lambda *at: seen.append(at))
Path(sys.argv[2]).with_suffix("." + __import__("os").environ["RANK"]).write_text(str(len(seen)))
"""


def test_two_processes_learn_the_same_as_one(tmp_path):
    options = TrainOptions(tmp_path / "one.safetensors", updates=8, streams=21, steps=400, hidden_size=4, passes=2)
    alone = train(options)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    root = str(Path(__file__).resolve().parents[2])
    ran = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
        + [str(tmp_path / "two.safetensors"), str(tmp_path / "seen")],
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    together = json.loads((tmp_path / "two.json").read_text())
    assert together["processes"] == 2
    np.testing.assert_allclose(together["loss_curve"], alone["loss_curve"], rtol=1e-3)
    ours, theirs = (load(tmp_path / f"{name}.safetensors").backbone.state_dict() for name in ("one", "two"))
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-2, atol=1e-4)
    assert int((tmp_path / "seen.0").read_text()) > 0
    assert int((tmp_path / "seen.1").read_text()) == 0


@pytest.mark.parametrize("count", [1, 5, 8])
def test_every_stream_of_an_update_counts_once(count):
    streams = torch.arange(count)
    parts = [Group(rank, 3, ALONE.device).share(streams) for rank in range(3)]
    counted = sorted(int(stream) for mine, weight in parts for stream in mine if weight)
    assert counted == list(range(count))
    assert all(len(mine) for mine, _ in parts)
