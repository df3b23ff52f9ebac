"""`python -m benchmarks.readout [FOLDER ...] [--weights FILE] [--json FILE]`: a read-out correction per stream.

Folders of CSV series; without any, synthetic streams. Mean absolute error with the correction, used where it did better
lately, over that of the network alone, first 15% of a series skipped: geometric mean over series, share of series
improved, worst.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import json_file
from benchmarks.readout.correct import Float64, daemon, least_squares
from detector.errors import DetectorError
from detector.models.backbone import Backbone
from detector.models.features import OFFSETS
from detector.models.naive import EXPERTS
from detector.models.weights import load
from detector.synthetic import draw_streams
from detector.train.files import read_series
from detector.train.judge import Panel, panel
from detector.train.material import side_by_side

# Not the seed of any training, nor of what training holds out.
SEED = [2_000_003, 1]
STREAMS, STEPS = 128, 3072
Left = Callable[[Float64, Float64, Float64, float], Float64]
KINDS: dict[str, tuple[Left, float]] = {
    "normalised gradient, 0.01": (daemon, 0.01),
    "normalised gradient, 0.03": (daemon, 0.03),
    "normalised gradient, 0.1": (daemon, 0.1),
    "normalised gradient, 0.3": (daemon, 0.3),
    "least squares, 0.9999": (least_squares, 0.9999),
    "constant only, 0.9999": (lambda z, error, mask, keep: least_squares(z[..., -1:], error, mask, keep), 0.9999),
}
"""Name -> (how, rate or what is kept a sample)."""


def trace(backbone: Backbone, judged: Panel) -> tuple[Float64, Float64]:
    """([T, S, H+1] hidden state and a constant, [T, S] error of the network alone in units of s)."""
    windows = judged.windows
    with torch.inference_mode():
        below = windows.inputs_TSF
        for layer, state in zip(backbone.layers, _zeros(backbone, below.shape[1]), strict=True):
            below, _ = layer.unroll(below, state)
        outputs = backbone.read(windows.inputs_TSF, below)
        offsets = torch.sinh(windows.inputs_TSF[..., OFFSETS])
        forecast = (outputs[..., :EXPERTS] * offsets).sum(-1) + outputs[..., EXPERTS]
    z = torch.cat((below, torch.ones_like(below[..., :1])), -1)
    return z.double().numpy(), (windows.target_TS - forecast).double().numpy()


def _zeros(backbone: Backbone, rows: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    size = backbone.shape.hidden_size
    return [(torch.zeros(rows, size), torch.zeros(rows, size)) for _ in backbone.layers]


def measure(backbone: Backbone, judged: Panel) -> dict[str, dict[str, float]]:
    """Kind -> figures."""
    z, error = trace(backbone, judged)
    mask = judged.windows.mask_TS.double().numpy()
    weigh = (judged.judged_TS * judged.windows.unit_TS).double().numpy()
    count = np.maximum(judged.judged_TS.sum(0).numpy(), 1)
    floor = judged.floor_S.numpy()
    alone = (np.abs(error) * weigh).sum(0) / count + floor
    found = {}
    for kind, (correct, rate) in KINDS.items():
        ratio = ((correct(z, error, mask, rate) * weigh).sum(0) / count + floor) / alone
        found[kind] = {
            "ratio": float(np.exp(np.log(ratio).mean())),
            "improved": float((ratio < 0.999).mean()),
            "worst": float(ratio.max()),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.readout", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", type=json_file.destination)
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        backbone = load(options.weights).backbone
        series = {str(folder): read_series([folder]) for folder in options.folders}
    except DetectorError as exc:
        parser.error(str(exc))
    drawn = {name: side_by_side([(one.times, one.values) for one in some]) for name, some in series.items()}
    report = {}
    for where, parts in (drawn or {"synthetic": draw_streams(SEED, STREAMS, STEPS)}).items():
        report[where] = found = measure(backbone, panel(*parts))
        print(where)
        for kind, one in found.items():
            print(f"  {kind:26} {one['ratio']:.3f} ({one['improved']:.0%}, worst {one['worst']:.2f})", flush=True)
    json_file.write(options.json, report)


if __name__ == "__main__":
    main()
