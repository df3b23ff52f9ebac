"""Continual learning in the worker's loop: remember samples, start a round now and then, and propose its result.

All calls are short: a round's samples are copied in slices, and the work itself is done by a separate process. No
failure here stops the worker.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from structlog.typing import FilteringBoundLogger

from detector.errors import ModelError
from detector.learning import files
from detector.learning.buffer import Buffer, Float32
from detector.learning.process import ChildProcess, Process, children_seconds, discard
from detector.learning.tuning import CANDIDATE, judged
from detector.learning.versions import Versions, learnt
from detector.protocols import Clock, LearntWeights
from detector.records import Partition
from detector.streams.table import LATEST
from detector.telemetry.learning_metrics import LearningMetrics

CHOOSE_SECONDS = 5.0
ACTIVE_SECONDS = 7_200.0
"""In event time: a stream that has been silent for longer has nothing to teach."""
LEAST_STREAMS = 8
SLOTS_A_TURN = 4
LONGEST_ROUND_SECONDS = 7_200.0


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """The `learning` section of the configuration, in its units."""

    interval_seconds: float
    cpu_share: float
    streams: int
    samples: int
    learning_rate: float


@dataclass(slots=True)
class _Round:
    """A round in progress: first its samples are copied, then its process runs."""

    folder: Path
    began_at: float
    slots: list[int]
    running: list[str]
    """SHA-256 of the weights that each slot's stream is forecast with."""
    stretches: Float32
    lengths: list[int] = field(default_factory=list)
    process: Process | None = None


class Learning:
    """Continual learning, as the worker's loop sees it."""

    def __init__(
        self,
        settings: LearningSettings,
        versions: Versions,
        metrics: LearningMetrics,
        log: FilteringBoundLogger,
        clock: Clock,
        *,
        keeps_state: bool,
        start: Callable[[Path], Process] = ChildProcess,
    ) -> None:
        """Without `keeps_state`, weights take over at once, because there are no snapshots to name them."""
        self.settings = settings
        self.versions = versions
        self.buffer = Buffer(settings.streams, settings.samples)
        self._pipeline = pipeline = versions.pipeline
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._keeps_state = keeps_state
        self._start = start
        self._round: _Round | None = None
        self._rounds = 0
        self._choose_at = clock.monotonic()
        self._due_at = clock.monotonic() + settings.interval_seconds
        self._children_seconds = children_seconds()
        pipeline.recorder = self.buffer
        metrics.buffer_limit.set(settings.streams * settings.samples)

    def turn(self, partitions: Collection[Partition]) -> None:
        """Do a slice of whatever is due; `partitions` are the worker's."""
        now = self._clock.monotonic()
        if now >= self._choose_at:
            self._choose_at = now + CHOOSE_SECONDS
            self.buffer.choose(self._active(partitions))
        self._metrics.buffer.set(int(self.buffer.length_S.sum()))
        self._metrics.learnt.set(sum(bool(self.versions.current(partition)) for partition in partitions))
        try:
            if self._round is None:
                self._begin(now, partitions)
            elif self._round.process is None:
                self._copy(self._round, partitions)
            elif (status := self._round.process.poll()) is not None:
                self._end(self._round, status, partitions)
            elif now - self._round.began_at > LONGEST_ROUND_SECONDS:
                raise OSError(f"not done within {LONGEST_ROUND_SECONDS:g} seconds")
        except (OSError, ValueError, ModelError) as exc:
            self._give_up()
            self._log.warning("learning failed, keeping the weights in use", error=str(exc))
            self._metrics.observe_round("failed", {}, self._spent())

    def forget(self, partition: Partition) -> None:
        """Forget the streams of a partition that is about to go."""
        self.buffer.forget(self._pipeline.table.occupied(partition))

    def close(self) -> None:
        """Kill the process, if one is running; idempotent."""
        self._give_up()

    def _active(self, partitions: Collection[Partition]) -> npt.NDArray[np.int64]:
        table, rows = self._pipeline.table, [np.empty(0, np.int64)]
        for partition in sorted(partitions):
            streams = table.stream_rows(partition)
            since = table.event_time(partition).newest - ACTIVE_SECONDS
            rows.append(streams[table.columns[LATEST.name][streams] >= since])
        return np.concatenate(rows)

    def _begin(self, now: float, partitions: Collection[Partition]) -> None:
        if now < self._due_at:
            return
        slots = self.buffer.ready(judged(self.buffer.samples))
        if len(slots) < LEAST_STREAMS:
            return
        self._due_at = now + self.settings.interval_seconds
        self.buffer.mark(slots)
        self._rounds += 1
        name_of: dict[int, str] = {}
        for partition in partitions:
            mine = np.isin(self.buffer.row_S[slots], self._pipeline.table.occupied(partition))
            name_of |= dict.fromkeys(slots[mine].tolist(), self.versions.name(partition))
        slots = slots[np.isin(slots, list(name_of))]
        folder = Path(tempfile.mkdtemp(prefix="detector-learning-"))
        try:
            space = files.stretches(folder, len(slots), self.buffer.samples, "w+")
        except (OSError, ValueError):
            discard(folder)
            raise
        self._round = _Round(folder, now, slots.tolist(), [name_of[slot] for slot in slots.tolist()], space)

    def _copy(self, this: _Round, partitions: Collection[Partition]) -> None:
        first = len(this.lengths)
        for at in range(first, min(first + SLOTS_A_TURN, len(this.slots))):
            stretch = self.buffer.stretch(this.slots[at])
            this.stretches[at, : len(stretch)] = stretch
            this.lengths.append(len(stretch))
        if len(this.lengths) < len(this.slots):
            return
        rivals = self.versions.rivals(partitions)
        running = [name if name in rivals else self.versions.base.sha256 for name in this.running]
        files.write_networks(this.folder, {name: weights.tensors for name, weights in rivals.items()})
        files.write_request(
            this.folder,
            files.Request(
                shape=self.versions.base.backbone.shape.as_dict(),
                samples=self.buffer.samples,
                lengths=this.lengths,
                running=running,
                networks=sorted(rivals),
                seed=self._rounds,
                learning_rate=self.settings.learning_rate,
                cpu_share=self.settings.cpu_share,
            ),
        )
        this.process = self._start(this.folder)

    def _end(self, this: _Round, status: int, partitions: Collection[Partition]) -> None:
        if status != 0 or this.process is None:
            complaint = this.process.complaint() if this.process else ""
            raise OSError(f"its process ended with status {status}: {complaint or 'no error output'}")
        answer = files.read_answer(this.folder)
        result = "rejected"
        rivals = self.versions.rivals(partitions)
        if answer.chosen == CANDIDATE:
            result = "accepted"
            self._propose(learnt(files.network_path(this.folder, CANDIDATE).read_bytes()), partitions)
        elif answer.chosen in rivals:  # false for weights of a partition that has gone since
            result = "reverted"
            self._propose(rivals[answer.chosen], partitions)
        self._give_up()
        self._metrics.observe_round(result, answer.loss, self._spent())
        losses = {name: round(answer.loss[name], 4) for name in ("running", CANDIDATE)}
        self._log.info(f"learning: {result}", **losses, streams=len(this.slots), cpu_seconds=answer.cpu_seconds)

    def _propose(self, weights: LearntWeights, partitions: Collection[Partition]) -> None:
        self.versions.propose(weights)
        self._metrics.weights.info({"sha256": weights.sha256})
        if not self._keeps_state:
            for partition in partitions:
                self.versions.use(partition, self.versions.upcoming(partition))

    def _give_up(self) -> None:
        if self._round is not None:
            if self._round.process is not None:
                self._round.process.kill()
            discard(self._round.folder)
            self._round = None

    def _spent(self) -> float:
        before, self._children_seconds = self._children_seconds, children_seconds()
        return max(0.0, self._children_seconds - before)
