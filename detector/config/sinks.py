"""The section `sinks` of `config.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detector.config.alertmanager import Alertmanager
from detector.config.values import PositiveSeconds, Section, TopicName
from detector.config.webhook import Webhook

SinkName = Literal["kafka", "stdout", "webhook"]


class KafkaSink(Section):
    """Alerts as records, keyed by series fingerprint."""

    enabled: bool = True
    topic: TopicName = "alerts"
    max_in_flight: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    delivery_timeout_seconds: PositiveSeconds = 30.0


class StdoutSink(Section):
    """Alerts as JSON lines."""

    enabled: bool = False


class Sinks(Section):
    """Where alerts go."""

    kafka: KafkaSink = KafkaSink()
    stdout: StdoutSink = StdoutSink()
    webhook: Webhook = Webhook()
    alertmanager: Alertmanager = Alertmanager()

    @property
    def longest_delivery_seconds(self) -> float:
        """The longest that an acknowledgement may take. Kafka's always counts: its sink also writes dead letters."""
        webhook = self.webhook.given_up_after_seconds if self.webhook.enabled else 0.0
        return max(self.kafka.delivery_timeout_seconds, webhook)
