"""The demo on a terminal: streams, throughput, faults, and firing alerts with what was expected."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from detector.demo.scoreboard import Scoreboard
from detector.protocols import Clock
from detector.records import Alert, Float64

MOST_ALERTS = 12
SPARK_ROUNDS = 24
VALUE, BAND, SCORE = 10, 24, 5
"""Terminal columns that such figures take at most: -1.234e+10, two of them with a word between, 999.9."""
GAP = 3
"""Terminal columns between two columns of the table."""
NAME_LEAST = 24
"""If a name would have less, the bars give way."""
NAME_SHORTEST = 8
"""If a name would have less, the band gives way too."""
RATE_SECONDS = 3.0
_BARS = "▁▂▃▄▅▆▇█"


class View:
    """Renders the scoreboard; called by the display's own thread."""

    def __init__(
        self, board: Scoreboard, metrics_url: str, deadline: float, clock: Clock, width: Callable[[], int]
    ) -> None:
        """`width` returns the columns of the terminal, which may change."""
        self._board = board
        self._width = width
        self._metrics_url = metrics_url
        self._deadline = deadline
        self._clock = clock
        self._counts: deque[tuple[float, int]] = deque()

    def __rich__(self) -> RenderableType:
        return Group(self._headline(), self._place(), self._faults(), Text(), self._alerts(), Text(), self._news())

    def _headline(self) -> Text:
        board, line = self._board, _line()
        line.append(" detector ", style="bold reverse")
        line.append(f"  {len(board.fleet.names)} simulated + {board.host_streams} host streams")
        line.append(f"   {self._rate():,.0f} samples/s")
        line.append(f"   {max(0.0, self._deadline - self._clock.monotonic()):.0f} s left", style="dim")
        return line

    def _place(self) -> Text:
        board = self._board
        moment = datetime.fromtimestamp(float(board.fleet.times_T[max(0, board.round - 1)]), UTC)
        return _line().append(f" simulated time {moment:%H:%M:%S}   metrics at {self._metrics_url}", style="dim")

    def _rate(self) -> float:
        now = self._clock.monotonic()
        self._counts.append((now, self._board.records))
        while now - self._counts[0][0] > RATE_SECONDS:
            self._counts.popleft()
        (since, before), (_, records) = self._counts[0], self._counts[-1]
        return (records - before) / (now - since) if now > since else 0.0

    def _faults(self) -> Text:
        board, line = self._board, _line()
        if board.round < board.history_rounds:
            return line.append(f" learning from history: round {board.round} of {board.history_rounds}", style="yellow")
        so_far = board.summary
        line.append(f" faults {so_far.faults}   caught {so_far.caught}", style="green")
        line.append(f"   false alerts {so_far.false_alerts}", style="red" if so_far.false_alerts else "green")
        if so_far.median_delay_seconds is not None:
            line.append(f"   median delay {so_far.median_delay_seconds:.0f} s of simulated time")
        return line

    def _alerts(self) -> RenderableType:
        alerts = sorted(self._board.firing.copy().values(), key=lambda alert: -alert.starts_at)
        if not alerts:
            return Text(" nothing fires", style="dim")
        table = Table(box=None, padding=(0, 2, 0, 1), header_style="dim")
        columns = {"value": VALUE, "expected": BAND, "score": SCORE, "lately": SPARK_ROUNDS}
        for name, least in (("lately", NAME_LEAST), ("expected", NAME_SHORTEST)):
            if self._width_left(columns) < least:
                del columns[name]
        table.add_column("firing", no_wrap=True, width=max(self._width_left(columns), 1))
        for name, size in columns.items():
            table.add_column(name, justify="left" if name == "lately" else "right", no_wrap=True, width=size)
        for alert in alerts[:MOST_ALERTS]:
            style = "bold red" if alert.severity == "critical" else "yellow"
            cells = {
                "value": f"{alert.value:.4g}",
                "expected": f"{alert.lower:.4g} to {alert.upper:.4g}",
                "score": f"{alert.anomaly_score:.1f}",
                "lately": self._lately(alert),
            }
            table.add_row(Text(str(alert.series), style), *(cells[name] for name in columns))
        if len(alerts) > MOST_ALERTS:
            table.add_row(Text(f"and {len(alerts) - MOST_ALERTS} more", "dim"))
        return table

    def _width_left(self, columns: Mapping[str, int]) -> int:
        """What these columns leave of the terminal's width for the name of a stream."""
        return self._width() - GAP * (len(columns) + 1) - sum(columns.values())

    def _lately(self, alert: Alert) -> str:
        stream = self._board.stream_of.get(alert.series)
        if stream is None:
            return ""
        end = self._board.round
        return spark(self._board.fleet.values_ST[stream, max(0, end - SPARK_ROUNDS) : end])

    def _news(self) -> Text:
        return _line("\n".join(f" {line}" for line in self._board.news.copy()), style="dim")


def _line(text: str = "", style: str = "") -> Text:
    """Text that never wraps: on a narrow terminal it ends in an ellipsis."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def spark(values_T: Float64) -> str:
    """A line of bars between the smallest and the largest value.

    >>> spark(np.array([0.0, 1.0, 2.0, 7.0]))
    '▁▂▃█'
    """
    if not len(values_T):
        return ""
    low, high = float(np.nanmin(values_T)), float(np.nanmax(values_T))
    heights = np.nan_to_num((values_T - low) / (high - low if high > low else 1.0) * (len(_BARS) - 1))
    return "".join(_BARS[round(height)] for height in heights.tolist())
