"""What an operator sees: Prometheus metrics, health, logs, and notifications to systemd."""

from detector.telemetry.detection_metrics import StreamCounts
from detector.telemetry.health import Health
from detector.telemetry.logs import configure_logging
from detector.telemetry.metrics import Metrics, new_registry
from detector.telemetry.notify import Notifier
from detector.telemetry.server import TelemetryServer
from detector.telemetry.telemetry import Telemetry

__all__ = [
    "Health",
    "Metrics",
    "Notifier",
    "StreamCounts",
    "Telemetry",
    "TelemetryServer",
    "configure_logging",
    "new_registry",
]
