"""How much to ask of a receiver at once: no more than its last responses show that it can accept in time."""

from __future__ import annotations


class Pace:
    """Starts with one alert and grows while requests are answered quickly.

    A slow receiver thus gets neither a request that it could not acknowledge within the request timeout, nor a queue
    that it could not acknowledge within the delivery timeout.
    """

    def __init__(self, most: int, most_waiting: int, request_seconds: float, delivery_seconds: float) -> None:
        self._most, self._most_waiting = most, most_waiting
        self._request_seconds, self._delivery_seconds = request_seconds, delivery_seconds
        self.batch = 1
        """Most alerts for the next request."""
        self.room = 1
        """Most alerts that may be queued."""

    def accepted(self, alerts: int, seconds: float) -> None:
        """A request with this many alerts was acknowledged after `seconds`."""
        a_second = alerts / max(seconds, 1e-3)
        self.batch = _within(a_second * self._request_seconds / 2, min(self._most, 2 * max(alerts, self.batch)))
        self.room = _within(a_second * self._delivery_seconds / 2, self._most_waiting)

    def failed(self, alerts: int) -> None:
        """A request with this many alerts was not acknowledged."""
        self.batch = max(1, alerts // 2)


def _within(wanted: float, most: int) -> int:
    return max(1, min(int(wanted), most))
