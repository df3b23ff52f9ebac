"""Metrics of continual learning: its rounds, their results and cost, and the weights proposed last."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Info

from detector.telemetry.families import PREFIX, Families

RESULTS = ("accepted", "rejected", "reverted", "failed")
JUDGED = ("running", "candidate")


class LearningMetrics:
    """All zero while `learning.mode` is off."""

    def __init__(self, make: Families) -> None:
        self.rounds = make.counter("learning_rounds", "Rounds of learning by result.", "result")
        self.loss = make.gauge("learning_loss", "Mean loss on the newest samples in the last round.", "weights")
        self.buffer = make.gauge("learning_buffer_samples", "Samples in the learning buffer.")
        self.buffer_limit = make.gauge("learning_buffer_samples_limit", "Samples that the learning buffer can hold.")
        self.cpu = make.counter("learning_cpu_seconds", "CPU time of the learning process.")
        self.learnt = make.gauge("learning_partitions", "Partitions that use learned weights.")
        self.weights = Info(PREFIX + "learning_weights", "The most recently proposed weights.", registry=make.registry)
        self.weights.info({"sha256": ""})
        for result in RESULTS:
            self.rounds.labels(result)
        for weights in JUDGED:
            self.loss.labels(weights)

    def observe_round(self, result: str, loss: Mapping[str, float], cpu_seconds: float) -> None:
        """Count a round that ended."""
        self.rounds.labels(result).inc()
        for weights in JUDGED:
            if weights in loss:
                self.loss.labels(weights).set(loss[weights])
        self.cpu.inc(cpu_seconds)
