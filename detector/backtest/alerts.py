"""The report of a backtest without labels, as one HTML file: the alerts, without verdicts on them."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from detector import __version__
from detector.backtest.count import Judgement
from detector.backtest.listing import alert_list
from detector.backtest.page import (
    MOST_PICTURES,
    breakable,
    cards,
    close_up_pictures,
    extent,
    frame,
    heading,
    number,
    without_picture,
)
from detector.backtest.picture import picture
from detector.backtest.report import Report, Run
from detector.backtest.ticks import duration
from detector.replay import plural

WEEK_SECONDS = 7 * 86_400.0
_HEADINGS = ("series", "alerts", "per week", "firing in all", "longest", "highest score", "rows")
_KEY = (
    ("var(--value)", "value"),
    ("var(--band); opacity: .45", "expected band"),
    ("var(--blue)", "alert"),
    ("var(--red)", "anomaly_score above 1"),
    ("var(--score)", "anomaly_score"),
)
_WORDS = {
    "alert": "One message, however long it fires. Without labels, nothing says which alerts are right: look at the "
    "pictures, and label what was really wrong for the next run.",
    "per week": "Alerts per stream and week, from the first judged sample to the last sample.",
}


def alert_page(report: Report) -> str:
    """The whole file, with the series that have most alerts first."""
    run = report.runs[0]
    order = sorted(run.unlabelled, key=lambda one: -len(one.history.episodes))
    return frame(report, _body(report, run, order), _KEY, _WORDS, _pictures(order))


def rate(series: tuple[Judgement, ...] | list[Judgement]) -> float | None:
    """Alerts per stream and week of these series; None if no sample was judged."""
    seconds = sum(one.history.scored_seconds for one in series)
    return WEEK_SECONDS * count(series) / seconds if seconds else None


def count(series: tuple[Judgement, ...] | list[Judgement]) -> int:
    """Alerts of these series."""
    return sum(len(one.history.episodes) for one in series)


def _body(report: Report, run: Run, order: list[Judgement]) -> Iterator[str]:
    days = sum(one.history.scored_seconds for one in order) / 86_400.0
    yield "<h1>Backtest</h1>"
    yield (
        f'<p class="soft">{escape(report.data)}, without labels · {len(order)} series, {report.rows:,} rows, '
        f"{days:,.0f} stream-days · detector {__version__}, {escape(report.model)}"
    )
    yield f" · {report.malformed_rows:,} malformed rows left out</p>" if report.malformed_rows else "</p>"
    alerted = [one for one in order if one.history.episodes]
    yield from cards(
        (
            (str(count(order)), "alerts"),
            (number(rate(order), 2), f"alerts per stream and week; the budget was {run.alerts_per_stream_week:g}"),
            (f"{len(alerted)} of {len(order)}", "series had an alert"),
        )
    )
    if len(report.runs) > 1:
        yield "<h2>Alert budgets</h2><p>The same series at other budgets. Everything below is for the first one.</p>"
        yield from heading(("budget per stream and week", "alerts", "per week"))
        for other in report.runs:
            yield f"<tr><td>{other.alerts_per_stream_week:g}</td><td>{count(other.unlabelled)}</td>"
            yield f"<td>{number(rate(other.unlabelled), 2)}</td></tr>"
        yield "</tbody></table>"
    yield "<h2>Series, most alerts first</h2>"
    yield from heading(_HEADINGS)
    for at, one in enumerate(order):
        yield f"<tr>{_row(at, one)}</tr>"
    yield "</tbody></table>"


def _row(at: int, one: Judgement) -> str:
    episodes, name = one.history.episodes, breakable(one.history.name)
    spans = [episode.until(float(one.history.times[-1])) - episode.fired_at for episode in episodes]
    cells = (
        f'<a href="#series-{at}">{name}</a>' if at < MOST_PICTURES else name,
        str(len(episodes)),
        number(rate([one]), 2),
        duration(sum(spans)) if spans else "–",
        duration(max(spans)) if spans else "–",
        number(max((episode.anomaly_score for episode in episodes), default=None), 1),
        f"{len(one.history.times):,}",
    )
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _pictures(order: list[Judgement]) -> Iterator[str]:
    for at, one in enumerate(order[:MOST_PICTURES]):
        caption = f"{plural(len(one.history.episodes), 'alert')} · {extent(one.history)}"
        yield (
            f'<figure id="series-{at}"><h3>{breakable(one.history.name)}</h3><figcaption>{caption}</figcaption>'
            f"{picture(one)}{close_up_pictures(one)}{alert_list(one)}</figure>"
        )
    yield without_picture(order)
