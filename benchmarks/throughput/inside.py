"""`python -m benchmarks.throughput.inside [--profile compact] [--beside FOLDER]`: CPU time of the pipeline, by part.

No broker and no decoder: batches of samples go straight into the pipeline, all partitions together; with `--apart` a
partition at a time, which older code knows, too, and which comes to the same digests. With `--beside` the
code of another checkout does the same in a process of its own, in turns with this one, so that whatever else the
machine does falls on both alike; digests of all that came out, state included, say whether the two agree to the bit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import process_time_ns
from typing import Any

import numpy as np

from detector.app import build_pipeline
from detector.config import Config
from detector.records import Partition, SampleBatch
from detector.series import SeriesKey

HOST_STREAMS = 50
STEP_SECONDS = 60.0
START = 1_760_000_000.0
NANO = 1e9
PARTS = (
    ("scorer", "score"),
    ("lifecycle", "decide"),
    ("scorer", "learn"),
    ("forecaster", "learn"),
    ("forecaster", "forecast"),
)


class Inside:
    """A pipeline whose streams have `warm` samples each."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._apart = options.apart
        grouped = {"groups": {"by": ["host"]}} if options.groups else {}
        self.pipeline = build_pipeline(Config.model_validate({"model": {"profile": options.profile}, **grouped}))
        self.partitions: list[Partition] = [("metrics", number) for number in range(options.partitions)]
        self.seconds = dict.fromkeys((f"{owner}.{name}" for owner, name in PARTS), 0)
        self._digest = hashlib.sha256()
        self._step = 0
        self._rng = np.random.default_rng(0)
        self._handles = []
        for partition in self.partitions:
            index = self.pipeline.table.series(partition)
            names = [divmod(n, HOST_STREAMS) for n in range(options.streams // options.partitions)]
            keys = [SeriesKey.of(f"metric_{metric}", {"host": f"host-{host}"}) for host, metric in names]
            self._handles.append(np.array([index.intern(key) for key in keys], dtype=np.int64))
        for _ in range(options.warm):
            self.step()
        for owner, name in PARTS:
            self._watch(getattr(self.pipeline, owner), name, f"{owner}.{name}")

    def step(self) -> int:
        """A sample of every stream; CPU nanoseconds."""
        batches = [self._batch(*each) for each in zip(self.partitions, self._handles, strict=True)]
        began = process_time_ns()
        if self._apart:
            found = [self.pipeline.process(batch, expire=True) for batch in batches]
        else:
            found = self.pipeline.process_together(batches, expire=True)
        spent = process_time_ns() - began
        for scored in found:
            for column in (scored.outcomes, scored.expected, scored.lower, scored.upper, scored.scores):
                self._digest.update(column.tobytes())
        self._step += 1
        return spent

    def digest(self) -> str:
        """Of everything that came out so far, and of the state."""
        digest = self._digest.copy()
        for name, column in sorted(self.pipeline.table.columns.items()):
            digest.update(name.encode() + column.tobytes())
        return digest.hexdigest()[:16]

    def _batch(self, partition: Partition, handles: np.ndarray) -> SampleBatch:
        count, phase = len(handles), 2 * np.pi * np.arange(len(handles)) / 1440
        swing = np.sin(2 * np.pi * self._step / np.where(handles % 2, 314, 1440) + phase)
        values = 50 + 10 * swing + self._rng.normal(size=count) * (1 + 30 * (self._rng.random(count) < 1e-3))
        # Some streams repeat values, as gauges do.
        values = np.where(handles % 5 == 0, np.round(values), values)
        return SampleBatch(
            *partition,
            series=handles,
            times=np.full(count, START + STEP_SECONDS * self._step),
            values=values,
            kinds=np.zeros(count, np.uint8),
            outcomes=np.zeros(count, np.uint8),
            offsets=np.arange(count) + self._step * count,
            record_times=np.full(count, np.nan),
        )

    def _watch(self, owner: Any, name: str, part: str) -> None:
        run: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any) -> Any:
            began = process_time_ns()
            found = run(*arguments)
            self.seconds[part] += process_time_ns() - began
            return found

        setattr(owner, name, timed)


class Process:
    """`Inside` in a process of its own, which waits for its turns."""

    def __init__(self, stack: ExitStack, checkout: Path, options: argparse.Namespace) -> None:
        command = [sys.executable, __file__, "--serve", "--profile", options.profile]
        command += ["--streams", str(options.streams), "--partitions", str(options.partitions)]
        command += ["--warm", str(options.warm), *["--apart"] * options.apart, *["--groups"] * options.groups]
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        self._process = stack.enter_context(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=checkout
            )
        )
        assert self._process.stdin is not None
        stack.callback(self._process.stdin.close)

    def ask(self, question: str) -> list[str]:
        """The answer's words."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().split()


def serve(options: argparse.Namespace) -> None:
    """Answer on standard output what is asked on standard input."""
    inside = Inside(options)
    answers: dict[str, Callable[[], str]] = {
        "ready": lambda: "yes",
        "step": lambda: str(inside.step()),
        "parts": lambda: " ".join(str(spent) for spent in inside.seconds.values()),
        "digest": inside.digest,
    }
    for line in sys.stdin:
        print(answers[line.strip()](), flush=True)


def compare(options: argparse.Namespace) -> None:
    """Run them in turns, print nanoseconds a sample."""
    with ExitStack() as stack:
        here = Path(__file__).parents[2]
        runs = [Process(stack, checkout, options) for checkout in [here, *options.beside]]
        for run in runs:
            run.ask("ready")
        spent = np.array([[int(run.ask("step")[0]) for run in runs] for _ in range(options.steps)])
        parts = np.array([[int(word) for word in run.ask("parts")] for run in runs])
        per_sample = np.array([median(column) for column in spent.T.tolist()]) / options.streams
        print(f"{'CPU ns a sample, median':<28}" + "".join(f"{value:>9.0f}" for value in per_sample))
        for (owner, name), row in zip(PARTS, (parts / options.steps / options.streams).T, strict=True):
            print(f"{owner + '.' + name + ', mean':<28}" + "".join(f"{value:>9.0f}" for value in row))
        if options.beside:
            print(f"ratio {median((spent[:, 0] / spent[:, 1]).tolist()):.3f}")
        print("digests " + " ".join(run.ask("digest")[0] for run in runs))


def main() -> None:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=("full", "compact"), default="full")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--groups", action="store_true", help=f"judge hosts of {HOST_STREAMS} streams as groups, too")
    parser.add_argument("--warm", type=int, default=2_300, help="samples of each stream before the first that is timed")
    parser.add_argument("--steps", type=int, default=40, help="samples of each stream that are timed")
    parser.add_argument("--apart", action="store_true", help="a partition at a time")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="another checkout")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    serve(options) if options.serve else compare(options)


if __name__ == "__main__":
    main()
