"""One series as a picture: value and band, labelled windows, alerts, anomaly_score. SVG written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from detector.backtest.columns import TENTHS, Columns, Scale, area, bars, in_columns, line
from detector.backtest.count import Judgement, Verdict
from detector.backtest.history import History
from detector.backtest.labels import iso
from detector.backtest.ticks import short, time_ticks, value_ticks
from detector.records import Float64

WIDTH, HEIGHT = 1040, 268
LEFT, RIGHT = 62, 12
"""Margins beside the plot."""
VALUE_TOP, VALUE_BOTTOM = 8, 150
LABEL_LANE, ALERT_LANE, LANE_HEIGHT = 158, 171, 9
SCORE_TOP, SCORE_BOTTOM = 194, 248
LEAST_MARK = 3.0
"""Pixels; a shorter window or alert is drawn this wide."""


def picture(judged: Judgement, width: int = WIDTH, kind: str = "series") -> str:
    """An `<svg>` element of class `kind`, `width` pixels wide, without references to anything outside it."""
    history = judged.history
    head = f'<svg class="{kind}" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{escape(history.name)}">'
    if not np.isfinite(history.values).any():
        return f'{head}<text x="{width / 2}" y="{HEIGHT / 2}" text-anchor="middle">no values</text></svg>'
    return "".join([head, *_Picture(judged, width).parts(), "</svg>"])


class _Picture:
    """A picture while it is drawn."""

    def __init__(self, judged: Judgement, width: int) -> None:
        self.judged = judged
        self.width = width
        self.plot = width - LEFT - RIGHT
        self.history: History = judged.history
        self.start, self.end = float(self.history.times[0]), float(self.history.times[-1])

    def parts(self) -> Iterator[str]:
        values = self._columns(self.history.values)
        low, high = _range(values)
        scale = Scale(low, high, VALUE_TOP, VALUE_BOTTOM)
        score = self._columns(np.where(self.history.scored, self.history.scores, np.nan))
        highest = float(score.greatest.max(initial=0.0))
        score_scale = Scale(0.0, max(1.25, 1.05 * highest), SCORE_TOP, SCORE_BOTTOM)

        yield from self._axes(scale, score_scale, highest)
        yield from self._windows()
        yield f'<svg x="{LEFT}" y="{VALUE_TOP}" width="{self.plot}" height="{VALUE_BOTTOM - VALUE_TOP}" '
        yield f'viewBox="0 {TENTHS * VALUE_TOP} {TENTHS * self.plot} {TENTHS * (VALUE_BOTTOM - VALUE_TOP)}">'
        yield f'<path class="band" d="{area(*self._band(), scale)}"/>'
        yield f'<path class="value" d="{line(values, scale)}"/></svg>'
        yield from self._alerts()
        yield f'<g transform="translate({LEFT} 0) scale({1 / TENTHS})" stroke-width="{self._bar_width(score)}">'
        yield f'<path class="score" d="{bars(score, score_scale, 0.0)}"/>'
        yield f'<path class="high" d="{bars(score, score_scale, 1.0)}"/></g>'
        threshold = score_scale(np.array([1.0]))[0] / TENTHS
        yield f'<path class="threshold" d="M{LEFT} {threshold}h{self.plot}"/>'

    def _columns(self, values: Float64) -> Columns:
        return in_columns(self.history.times, values, self.start, self.end, self.plot)

    def _band(self) -> tuple[Columns, Columns]:
        return self._columns(self.history.lower), self._columns(self.history.upper)

    def _bar_width(self, score: Columns) -> int:
        """Tenths of a pixel: bars of a short series are as wide as its steps."""
        return int(TENTHS * min(max(1.0, 0.8 * self.plot / max(len(score), 1)), 8.0))

    def _x(self, time: float) -> float:
        return LEFT + self.plot * (min(max(time, self.start), self.end) - self.start) / max(self.end - self.start, 1e-9)

    def _axes(self, scale: Scale, score_scale: Scale, highest: float) -> Iterator[str]:
        for value, text in value_ticks(scale.low, scale.high, 5):
            y = scale(np.array([value]))[0] / TENTHS
            yield f'<path class="grid" d="M{LEFT} {y}h{self.plot}"/>'
            yield f'<text class="y" x="{LEFT - 5}" y="{y + 3.5}">{text}</text>'
        for time, text in time_ticks(self.start, self.end, max(self.width // 115, 2)):
            x = round(self._x(time), 1)
            yield f'<path class="grid" d="M{x} {VALUE_TOP}V{VALUE_BOTTOM}M{x} {SCORE_TOP}V{SCORE_BOTTOM}"/>'
            # Centred under its mark, except for a last one that would reach over the edge.
            yield f'<text class="x" x="{min(x, self.width - 35)}" y="{HEIGHT - 6}">{text}</text>'
        for text, y in (("labels" if self.judged.events else "", LABEL_LANE + 8), ("alerts", ALERT_LANE + 8)):
            yield f'<text class="y" x="{LEFT - 5}" y="{y}">{text}</text>'
        y = score_scale(np.array([1.0]))[0] / TENTHS
        yield f'<text class="y" x="{LEFT - 5}" y="{y + 3.5}">score 1</text>'
        if score_scale.high > 1.6:
            yield f'<text class="y" x="{LEFT - 5}" y="{SCORE_TOP + 7}">{short(highest, 3)}</text>'
        yield f'<path class="grid" d="M{LEFT} {SCORE_BOTTOM}h{self.plot}"/>'

    def _span(self, start: float, end: float) -> str:
        x = self._x(start)
        width = max(self._x(end) - x, LEAST_MARK)
        return f'x="{min(x, LEFT + self.plot - LEAST_MARK):.1f}" width="{width:.1f}"'

    def _windows(self) -> Iterator[str]:
        for event in self.judged.events:
            words = event.verdict.replace("_", " ")
            if event.verdict == Verdict.CAUGHT:
                words += " by an alert already open" if event.was_open else f" after {event.delay_samples} samples"
            title = f"<title>labelled {iso(event.start)} to {iso(event.end)}: {words}</title>"
            span = self._span(event.start, event.end)
            yield f'<rect class="window" {span} y="{VALUE_TOP}" height="{VALUE_BOTTOM - VALUE_TOP}">{title}</rect>'
            yield f'<rect class="{event.verdict}" {span} y="{LABEL_LANE}" height="{LANE_HEIGHT}">{title}</rect>'

    def _alerts(self) -> Iterator[str]:
        for episode, false in zip(self.history.episodes, self.judged.false, strict=True):
            kind = "false" if false else "true"
            score = short(episode.anomaly_score)
            words = "alert" if false is None else f"{kind} alert"
            title = f"<title>{words}, fired {iso(episode.fired_at)}, anomaly_score up to {score}</title>"
            span = self._span(episode.fired_at, episode.until(self.end))
            if episode.fired_at >= self.start:
                x = f"{self._x(episode.fired_at):.1f}"
                yield f'<path class="fired {kind}" d="M{x} {VALUE_TOP}V{ALERT_LANE}"/>'
            yield f'<rect class="alert {kind}" {span} y="{ALERT_LANE}" height="{LANE_HEIGHT}">{title}</rect>'


def _range(values: Columns) -> tuple[float, float]:
    """Least and greatest value with a margin, even for a series that never changes."""
    low, high = float(values.least.min()), float(values.greatest.max())
    air = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - air, high + air
