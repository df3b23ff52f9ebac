"""The training loop: draw streams, learn, evaluate on the held-out part, save what it takes to resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from detector.errors import ModelError
from detector.models.backbone import Backbone
from detector.models.group import Group, joined
from detector.models.learner import Learner, Schedule, evaluate
from detector.models.weights import Card, save
from detector.models.windows import Report, Windows
from detector.replay.files import unsaid
from detector.train import resume
from detector.train.files import read_series
from detector.train.material import Material, Recorded, Synthetic
from detector.train.options import Progress, TrainOptions, command, silent
from detector.train.topic import read_topic

SUFFIX = ".safetensors"
LOOK_EVERY = 25
"""Minimum number of updates between two looks at the held-out part, which come at the end of a pass."""


def train(options: TrainOptions, progress: Progress = silent, complain: Callable[[str], None] = unsaid) -> Card:
    """Train, write weights and card, return the card.

    On the same machine, the same options give the same weights, whether or not interrupted and resumed. Under
    `torchrun`, the first process writes and reports. What is left out of files is told to `complain`.
    Raises ModelError, SourceError.
    """
    if options.output.suffix != SUFFIX:
        raise ModelError(
            f"--output: {options.output} does not end in {SUFFIX}; its card, which takes the same name with another "
            "suffix, could overwrite it, or be the card of other weights, too"
        )
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    with joined(options.device) as group:
        report = progress if group.first else silent
        material = material_of(options, report, complain if group.first else unsaid)
        run = Run(options, group, material.facts())
        if options.resume:
            run.restore(*resume.load(options.output, run.origin))
        held_out = material.held_out(bar(report, "draw held-out streams"))
        learn(run, material, held_out, report)
        card = finish(run, material, held_out)
        if group.first:
            card = save(run.learner.backbone.eval(), options.output, card)
            resume.forget(options.output)
        return card


def material_of(
    options: TrainOptions, progress: Progress = silent, complain: Callable[[str], None] = unsaid
) -> Material:
    """The material that `options` name; what is left out of files is reported to `complain`.

    Raises SourceError, and for a topic ConfigError.
    """
    if options.topic is not None:
        series, facts = read_topic(options.topic, bar(progress, "read topic"))
        return Recorded(series, options, facts)
    if not options.data:
        return Synthetic(options)
    return Recorded(read_series(options.data, bar(progress, "read files"), complain), options)


class Run:
    """A training run and its progress; fully determined by its options."""

    def __init__(
        self, options: TrainOptions, group: Group, data: Mapping[str, object], backbone: Backbone | None = None
    ) -> None:
        self.options = options
        self.group = group
        self.origin = {"options": options.facts(), "data": dict(data), "processes": group.size}
        """What must be the same for the training to be resumed."""
        self.learner = Learner(backbone or Backbone(options.shape), Schedule(updates=options.updates), group)
        self.rng = np.random.default_rng([options.seed, 7])
        self.draw = 0
        self.passes = 0
        """Passes over the current draw."""
        self.curve: list[float] = []
        """Loss of every update."""
        self.looks: list[tuple[int, float]] = []
        """(updates, held-out loss)."""
        self.best: dict[str, Tensor] = {}
        """Parameters at the best look."""
        self.seconds = 0.0
        self._since = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether the schedule is done, or the held-out loss has stopped improving for `patience` looks."""
        return self.learner.done or (0 < self.options.patience <= self._stale)

    @property
    def _stale(self) -> int:
        """Number of looks since the best one."""
        losses = [loss for _, loss in self.looks]
        return len(losses) - 1 - int(np.argmin(losses)) if losses else 0

    def look(self, held_out: Windows, skip: float) -> None:
        """Evaluate the network if that is due, and remember it if it is the best so far."""
        since = self.learner.updates - (self.looks[-1][0] if self.looks else 0)
        if not self.options.patience or (since < LOOK_EVERY and not self.learner.done):
            return
        self.looks.append((self.learner.updates, evaluate(self.learner.backbone, held_out, skip)["loss"]))
        if self._stale == 0:
            self.best = {name: tensor.clone() for name, tensor in self.learner.backbone.state_dict().items()}

    def spend(self) -> float:
        """Seconds of work so far, including those before an interruption."""
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        return self.seconds

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """(tensors, facts) from which `restore` resumes, between two passes."""
        tensors = {**self.learner.state(), "rng.torch": torch.get_rng_state()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        facts: dict[str, object] = {
            "updates": self.learner.updates,
            "draw": self.draw,
            "passes": self.passes,
            "rng": self.rng.bit_generator.state,
            "curve": self.curve,
            "looks": self.looks,
            "seconds": self.spend(),
        }
        return tensors, facts

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
        """Take over the state of an interrupted run of the same origin."""
        known = resume.Facts.of(facts)
        self.learner.restore(tensors, known.updates)
        self.draw, self.passes, self.seconds = known.draw, known.passes, known.seconds
        self.curve, self.looks = known.curve, known.looks
        self.rng.bit_generator.state = known.rng
        torch.set_rng_state(tensors["rng.torch"])
        self.best = {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("best.")}


def learn(run: Run, material: Material, held_out: Windows, progress: Progress, *, keep: bool = True) -> None:
    """Learn until `run` is finished; with `keep`, save what it takes to resume."""
    total = run.options.updates
    while not run.finished:
        windows = material.draw(run.draw, bar(progress, "draw streams"))
        while run.passes < run.options.passes and not run.finished:
            for loss in run.learner.learn(windows, run.rng.permutation(windows.inputs_TSF.shape[1])):
                run.curve.append(loss)
                progress("learn", run.learner.updates, total, f"loss {loss:.4f}")
            run.passes += 1
            run.look(held_out, material.skip)
            if keep and run.group.first and not run.finished:
                resume.save(run.options.output, run.origin, *run.state())
        run.draw, run.passes = run.draw + 1, 0


def finish(run: Run, material: Material, held_out: Windows) -> Card:
    """The card; afterwards, the backbone holds the weights to write."""
    if run.best:
        run.learner.backbone.load_state_dict(run.best)
    found = evaluate(run.learner.backbone, held_out, material.skip)
    block = max(1, len(run.curve) // 50)
    blocks = [run.curve[at : at + block] for at in range(0, len(run.curve), block)]
    return {
        "command": command(run.options),
        **run.origin,
        "torch": torch.__version__,
        "updates": run.learner.updates,
        "held_out": {key: round(value, 5) for key, value in found.items()},
        "held_out_curve": [[updates, round(loss, 4)] for updates, loss in run.looks],
        "loss_curve": [round(float(np.mean(losses)), 4) for losses in blocks],
        "seconds": round(run.spend(), 1),
    }


def bar(progress: Progress, phase: str) -> Report:
    """A `Report` for one phase of `progress`."""
    return lambda done, total: progress(phase, done, total, "")
