"""From a score above 1 to an alert: pending, firing, resolved."""

from detector.alerts.lifecycle import Lifecycle
from detector.alerts.mute import Mutes
from detector.alerts.record import AlertRecord

__all__ = ["AlertRecord", "Lifecycle", "Mutes"]
