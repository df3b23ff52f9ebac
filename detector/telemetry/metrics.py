"""Every metric of the daemon, built on an injected registry; docs/metrics.md lists them, and a test compares.

Updates are per batch and take whole columns. No label grows with the number of streams or with what producers write:
labels are the (topic, partition) of assigned partitions, words from short lists, and the names of a bounded number of
streams (`shown_streams`). One thread updates while others scrape.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter

from prometheus_client import CollectorRegistry, GCCollector, Info, ProcessCollector, disable_created_metrics

from detector import __version__
from detector.protocols import AssignmentChanges
from detector.records import Float64, Partition, Reject, SampleBatch, ScoredBatch
from detector.telemetry.detection_metrics import AlertMetrics, SampleMetrics, StreamCounts, StreamMetrics
from detector.telemetry.families import PREFIX, Families
from detector.telemetry.health import Health
from detector.telemetry.learning_metrics import LearningMetrics
from detector.telemetry.shown_streams import ShownStreams
from detector.telemetry.source_metrics import SourceMetrics
from detector.telemetry.state_metrics import StateMetrics

STAGES = ("poll", "decode", "pipeline", "sink", "checkpoint")
CHECKPOINT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


def new_registry() -> CollectorRegistry:
    """A registry with the metrics of this process. The library's global one is never used."""
    # Creation times would double the number of series; process_start_time_seconds reveals a restart.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class Metrics:
    """All metrics, grouped by subject. The methods here are for events that concern several groups."""

    def __init__(self, registry: CollectorRegistry, seconds: Callable[[], float] = perf_counter) -> None:
        make = Families(registry)
        self.registry = registry
        self.source = SourceMetrics(make)
        self.samples = SampleMetrics(make)
        self.alerts = AlertMetrics(make)
        self.streams = StreamMetrics(make)
        self.state = StateMetrics(make)
        self.learning = LearningMetrics(make)
        self.worker = WorkerMetrics(make)
        self.shown = ShownStreams(make)
        self._seconds = seconds

    def observe_decoded(self, batch: SampleBatch) -> None:
        """Count a decoded batch."""
        self.samples.observe_decoded(batch)
        self.source.observe_rejects(batch.rejects)

    def observe_rejects(self, rejects: Sequence[Reject]) -> None:
        """Count records that the router could not decode; samples are counted by the worker that unpacks them."""
        self.samples.observe_rejects(len(rejects))
        self.source.observe_rejects(rejects)

    def observe_scored(self, batch: SampleBatch, scored: ScoredBatch, now: float) -> None:
        """Count a batch whose verdicts were reached at `now`, in unix seconds."""
        self.samples.observe_scored(batch, scored, now)
        self.alerts.observe_scored(scored)

    def observe_streams(self, now: StreamCounts) -> None:
        """Set what the stream table holds; worth a call every few seconds, not every batch."""
        self.streams.observe_counts(now)
        self.alerts.observe_counts(now)

    def observe_changes(self, changes: AssignmentChanges, assigned: int) -> None:
        """Note changes of the assignment, if any; it now has `assigned` partitions."""
        self.source.observe_changes(changes, assigned)
        self.alerts.forget(changes.gone - changes.assigned)

    def observe_checkpoint(self, seconds: float, now: float, offsets: Mapping[Partition, int]) -> None:
        """Note a checkpoint that succeeded at `now`, in unix seconds, after `seconds`."""
        self.worker.checkpoint_seconds.observe(seconds)
        self.worker.checkpoint_time.set(now)
        self.source.observe_commit(offsets)

    def observe_delivered(self, sample_times: Float64, now: float) -> None:
        """Note alerts changed by samples at these times and acknowledged at `now`, all in unix seconds."""
        self.alerts.observe_delivered(sample_times, now)

    def watch(self, health: Health) -> None:
        """Make `detector_ready` report what /-/ready does."""
        self.worker.ready.set_function(lambda: float(health.ready))

    def watch_reloads(self, successful: Callable[[], bool], succeeded_at: Callable[[], float]) -> None:
        """Make `detector_config_last_reload_*` report these; without this call they show no reload."""
        self.worker.reload_successful.set_function(lambda: float(successful()))
        self.worker.reload_time.set_function(succeeded_at)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the body takes to the stage `name`, one of `STAGES`."""
        counter = self.worker.stage_seconds.labels(name)
        started = self._seconds()
        try:
            yield
        finally:
            counter.inc(max(0.0, self._seconds() - started))


class WorkerMetrics:
    """The loop, its checkpoints and its sinks."""

    def __init__(self, make: Families) -> None:
        self.ready = make.gauge("ready", "1 while the worker has its share of the partitions, like /-/ready.")
        self.reload_successful = make.gauge(
            "config_last_reload_successful", "1, or 0 while the previous configuration is in use."
        )
        self.reload_successful.set(1)
        self.reload_time = make.gauge(
            "config_last_reload_success_timestamp_seconds", "When a worker became ready with the configuration in use."
        )
        self.stage_seconds = make.counter("stage_seconds", "Time spent in the worker's loop, by stage.", "stage")
        self.checkpoint_seconds = make.histogram(
            "checkpoint_duration_seconds", "Duration of checkpoints.", CHECKPOINT_BOUNDS
        )
        self.checkpoint_failures = make.counter("checkpoint_failures", "Checkpoints that failed.")
        self.checkpoint_time = make.gauge(
            "checkpoint_timestamp_seconds", "When the last checkpoint succeeded, or the worker started."
        )
        self.sink_messages = make.counter("sink_messages", "Messages handed to a sink.", "sink")
        self.sink_failures = make.counter("sink_failures", "Messages and flushes of a sink that failed.", "sink")
        self.sink_waiting = make.gauge("sink_alerts_waiting", "Alerts that a sink has not delivered yet.", "sink")
        self.log_lines = make.counter("log_lines", "Log lines written.", "level")
        self.log_dropped = make.counter("log_lines_dropped", "Log lines suppressed because they repeat too often.")
        self.build = Info(PREFIX + "build", "Version of the program.", registry=make.registry)
        self.build.info({"version": __version__, "python": platform.python_version(), "torch": _version("torch")})
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        for level in LOG_LEVELS:
            self.log_lines.labels(level)

    def observe_log_line(self, level: str, written: bool) -> None:
        """Count a log line that was written, or held back."""
        (self.log_lines.labels(level) if written else self.log_dropped).inc()


def _version(package: str) -> str:
    """Version of an installed package, found without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
