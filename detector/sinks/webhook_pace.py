"""How much is asked of a receiver at once: no more than it takes in time, as its last answers showed."""

from __future__ import annotations


class Pace:
    """Begins with one alert, and grows while requests are answered quickly.

    A receiver that is slow is thus not given what it could not acknowledge within the time for a request, and not left
    with more than it could acknowledge within the time for a flush.
    """

    def __init__(self, most: int, most_waiting: int, request_seconds: float, delivery_seconds: float) -> None:
        self._most, self._most_waiting = most, most_waiting
        self._request_seconds, self._delivery_seconds = request_seconds, delivery_seconds
        self.batch = 1
        """Alerts in the next request, at most."""
        self.room = 1
        """Alerts that may wait."""

    def accepted(self, alerts: int, seconds: float) -> None:
        """A request with so many was acknowledged after so long."""
        a_second = alerts / max(seconds, 1e-3)
        self.batch = _within(a_second * self._request_seconds / 2, min(self._most, 2 * max(alerts, self.batch)))
        self.room = _within(a_second * self._delivery_seconds / 2, self._most_waiting)

    def failed(self, alerts: int) -> None:
        """One with so many was not."""
        self.batch = max(1, alerts // 2)


def _within(wanted: float, most: int) -> int:
    return max(1, min(int(wanted), most))
