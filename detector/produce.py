"""A load generator: realistic streams with labelled faults, to a Kafka topic or a file."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from detector.config.schema import Kafka
from detector.errors import ConfigError, DeliveryError, TopicMissing
from detector.protocols import Clock, Message, Sink
from detector.series import NAME_LABEL
from detector.synthetic.fleet import USUAL_KINDS, Fleet, fleet

FLUSH_SECONDS = 60.0
MOST_SAMPLES = 100_000_000
"""All samples are generated beforehand, 16 bytes each."""
SLICES_PER_SECOND = 20
"""How evenly to keep a rate."""
STDOUT = "-"


@dataclass(frozen=True, slots=True)
class ProduceOptions:
    """What to make, how fast, and where to put it: `topic` or `output`, not both."""

    topic: str | None = None
    kafka: Kafka = field(default_factory=Kafka)
    output: str | None = None
    """File for JSON lines, `-` for standard output."""
    labels: Path | None = None
    """File for the labels: a JSON line per fault, `{"labels", "kind", "start", "end"}`, with the times of its first and
    last faulty sample."""
    streams: int = 100
    steps: int = 1_000
    """Samples per stream."""
    step_seconds: float = 60.0
    """Event time between two samples of a stream."""
    start: float | None = None
    """Event time of the first sample in unix seconds; None: as late as possible without samples ahead of the clock."""
    rate: float | None = None
    """Samples per second; None for as many as possible."""
    seed: int = 1
    faults: int = 0
    kinds: tuple[str, ...] = USUAL_KINDS
    fault_after: int | None = None
    """First step at which a fault may begin; None for the middle step."""
    gaps: float = 0.0
    """Share of streams that miss samples now and then."""


@dataclass(frozen=True, slots=True)
class ProduceSummary:
    """What was sent and acknowledged."""

    streams: int
    samples: int
    faults: int
    seconds: float

    @property
    def samples_per_second(self) -> float:
        """Over the whole run, including the last acknowledgement."""
        return self.samples / self.seconds if self.seconds > 0 else 0.0


def produce(
    options: ProduceOptions, progress: Callable[[int], None], *, clock: Clock = time, sink: Sink | None = None
) -> ProduceSummary:
    """Send everything and wait until it is acknowledged; `progress` receives how many samples were handed over.

    `sink` replaces the one that the options describe. Raises ConfigError, DeliveryError, and a SourceError if the
    broker or the topic is missing.
    """
    _check(options, sink)
    made = _fleet(options, clock.time())
    if options.labels is not None:
        _write_labels(made, options.labels)
    with ExitStack() as stack:
        sink = sink or _open(options, stack)
        started = clock.monotonic()
        sent = 0
        for messages in _paced(_messages(made, _slice(options)), options.rate, clock):
            for message in messages:
                sink.send(message)
            sent += len(messages)
            progress(len(messages))
        sink.flush(FLUSH_SECONDS)
        return ProduceSummary(options.streams, sent, len(made.faults), clock.monotonic() - started)


def _check(options: ProduceOptions, sink: Sink | None) -> None:
    """Raise ConfigError with everything that is wrong."""
    asked = f"{options.streams:,} x {options.steps:,}"
    rules = [
        (
            sink is not None or (options.topic is None) != (options.output is None),
            "choose where to write: either --topic or --output",
        ),
        (options.streams >= 1, f"streams: must be at least 1 (got {options.streams})"),
        (options.steps >= 2, f"steps: must be at least 2 (got {options.steps})"),
        (
            options.streams * options.steps <= MOST_SAMPLES,
            f"streams, steps: at most {MOST_SAMPLES:,} samples fit into memory (got {asked})",
        ),
        (0 < options.step_seconds < math.inf, f"step-seconds: must be positive (got {options.step_seconds})"),
        (options.start is None or math.isfinite(options.start), f"start: must be finite (got {options.start})"),
        (options.rate is None or 0 < options.rate < math.inf, f"rate: must be positive (got {options.rate})"),
        (0 <= options.faults <= options.streams, f"faults: must be from 0 to one per stream (got {options.faults})"),
        (0 <= options.gaps <= 1, f"gaps: must be a share from 0 to 1 (got {options.gaps})"),
        (1 <= _fault_after(options) < options.steps, f"fault-after: must be a step from 1 to {options.steps - 1}"),
    ]
    findings = [finding for holds, finding in rules if not holds]
    if findings:
        raise ConfigError("produce", findings)


def _fault_after(options: ProduceOptions) -> int:
    return options.steps // 2 if options.fault_after is None else options.fault_after


def _fleet(options: ProduceOptions, now: float) -> Fleet:
    rng = np.random.default_rng([options.seed, 2])
    first = rng.integers(_fault_after(options), options.steps, options.faults)
    try:
        return fleet(
            options.seed,
            options.streams,
            options.steps,
            options.step_seconds,
            start=_start(options, now) if options.start is None else options.start,
            faults=sorted(first.tolist()),
            kinds=options.kinds,
            gaps=options.gaps,
        )
    except ValueError as exc:
        raise ConfigError("produce", [str(exc)]) from exc


def _start(options: ProduceOptions, now: float) -> float:
    """The latest start with which no sample is ahead of the clock when it is sent."""
    steps = options.steps - 1
    wall_seconds = steps * options.streams / options.rate if options.rate else 0.0
    return min(now, now + wall_seconds - steps * options.step_seconds)


def _write_labels(made: Fleet, path: Path) -> None:
    lines = []
    for fault in made.faults:
        truth = {
            "labels": dict(made.key(fault.stream).labels),
            "kind": fault.kind,
            "start": float(made.times_T[fault.first]),
            "end": float(made.times_T[fault.last]),
        }
        lines.append(json.dumps(truth) + "\n")
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as exc:
        raise ConfigError("produce", [f"labels: {path}: cannot be written: {exc.strerror}"]) from exc


def _slice(options: ProduceOptions) -> int:
    """Samples between two readings of the clock."""
    if options.rate is None:
        return options.streams
    return max(1, min(options.streams, int(options.rate / SLICES_PER_SECOND)))


def _messages(made: Fleet, most: int) -> Iterator[list[Message]]:
    """Step by step, up to `most` messages at a time; a missing sample has no message."""
    heads = []
    keys = []
    for name, labels in zip(made.names, made.labels, strict=True):
        series = {NAME_LABEL: name, **labels}
        keys.append(json.dumps(series, sort_keys=True).encode())
        heads.append(json.dumps({"name": name, "labels": labels}, separators=(",", ":"))[:-1] + ',"timestamp":')
    for step, moment in enumerate(made.times_T.tolist()):
        values = made.values_ST[:, step].tolist()
        for first in range(0, len(values), most):
            yield [
                Message(keys[stream], f'{heads[stream]}{moment!r},"value":{values[stream]!r}}}'.encode())
                for stream in range(first, min(first + most, len(values)))
                if values[stream] == values[stream]
            ]


def _paced(slices: Iterator[list[Message]], rate: float | None, clock: Clock) -> Iterator[list[Message]]:
    """Yield each slice when it is due, or at once if sending cannot keep up."""
    started, sent = clock.monotonic(), 0
    for messages in slices:
        if rate is not None:
            ahead = sent / rate - (clock.monotonic() - started)
            if ahead > 0:
                clock.sleep(ahead)
        yield messages
        sent += len(messages)


def _open(options: ProduceOptions, stack: ExitStack) -> Sink:
    if options.topic is None:
        return _LineSink(options.output or STDOUT, stack)
    from detector.sinks.kafka import KafkaSink

    try:
        sink = KafkaSink(options.kafka, options.topic, max_in_flight=10_000, delivery_timeout_seconds=FLUSH_SECONDS)
    except TopicMissing as exc:
        brokers = ", ".join(options.kafka.bootstrap_servers)
        raise TopicMissing(
            f"--topic: {options.topic} does not exist at {brokers}; create it or, if it is an input of a "
            "configuration, run `detector admin init -c FILE --input-partitions N`"
        ) from exc
    stack.callback(sink.close, FLUSH_SECONDS)
    return sink


class _LineSink:
    """Writes message values as lines of a file."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        self._path = "standard output" if path == STDOUT else path
        if path == STDOUT:
            if sys.stdout is None:
                raise ConfigError("produce", ["output: standard output is closed"])
            self._file: IO[bytes] = sys.stdout.buffer
        else:
            try:
                self._file = Path(path).open("wb")  # noqa: SIM115 - closed by the stack
                stack.callback(self._close)
            except OSError as exc:
                raise ConfigError("produce", [f"output: {path}: cannot be written: {exc.strerror}"]) from exc

    def send(self, message: Message) -> None:
        self._do(lambda: self._file.write((message.value or b"") + b"\n"))

    def flush(self, timeout_seconds: float) -> None:
        self._do(self._file.flush)

    def close(self, timeout_seconds: float) -> None:
        """Nothing to do: the stack closes the file."""

    def _close(self) -> None:
        with suppress(OSError):  # already reported by a write or flush
            self._file.close()

    def _do(self, write: Callable[[], object]) -> None:
        try:
            write()
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise DeliveryError(f"{self._path}: cannot be written: {exc.strerror}") from exc
