"""Reference networks that show what the recurrent gate is worth. For comparison only: the daemon runs neither.

Shape legend: T steps, B rows, F features, H hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detector.models.backbone import LOG_SCALE_RANGE, Backbone, Shape
from detector.models.features import FEATURE_NAMES
from detector.models.naive import EXPERTS

VALUE, STEP, UNIT, GAP = (FEATURE_NAMES.index(name) for name in ("value", "step", "unit", "gap"))


def memoryless(shape: Shape) -> Backbone:
    """The gate without memory: tanh layers over the inputs, that is, `rnn` with recurrent weights fixed at zero."""
    backbone = Backbone(Shape("rnn", shape.hidden_size, shape.num_layers))
    for cell in backbone.layers:
        nn.init.zeros_(cell.weight_h).requires_grad_(False)
    return backbone


class Plain(Backbone):
    """The usual recipe, one layer: value, last change and gap in, the next change out.

    All are in units of the stream's long-run deviation D; there is no bank. `read` returns units of s as everywhere
    else (correction * D / s, log scale + log(D / s)), so that losses are comparable.
    """

    def unroll(self, input_TBF: Tensor, hidden_BLH: Tensor, cell_BLH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run T steps."""
        seen = torch.zeros_like(input_TBF)
        seen[..., VALUE], seen[..., GAP] = input_TBF[..., VALUE], input_TBF[..., GAP]
        seen[..., STEP] = torch.asinh(torch.sinh(input_TBF[..., STEP]) * torch.exp(input_TBF[..., UNIT]))
        top_TBH, last = self.layers[0].unroll(seen, (hidden_BLH, cell_BLH))
        return self.read(input_TBF, top_TBH), *last

    def read(self, input_BF: Tensor, top_BH: Tensor) -> Tensor:
        """[..., K+2] outputs, with all weight on the last value."""
        raw = self.head(top_BH)
        wide = -input_BF[..., UNIT, None]
        weights = torch.zeros_like(raw[..., :EXPERTS])
        weights[..., 0] = 1
        scale = LOG_SCALE_RANGE * torch.tanh(raw[..., EXPERTS + 1 :] / LOG_SCALE_RANGE)
        return torch.cat((weights, raw[..., EXPERTS : EXPERTS + 1] * torch.exp(wide), scale + wide), -1)
