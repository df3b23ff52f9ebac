"""A report as one self-contained HTML file: no script, and no font or picture from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from detector import __version__
from detector.backtest.closeup import close_ups
from detector.backtest.count import Judgement
from detector.backtest.figures import Figures
from detector.backtest.history import History
from detector.backtest.listing import alert_list
from detector.backtest.picture import picture
from detector.backtest.report import Report, Run
from detector.backtest.ticks import duration
from detector.replay import plural

CLOSE_UP_WIDTH = 346
MOST_PICTURES = 100
"""Only the first series of the page's order have a picture: a browser is slow with thousands."""
_HEADINGS = (
    "series", "caught of events", "missed", "alerts", "false", "false per week", "precision", "recall", "F1",
    "median delay (samples)", "best F1", "NAB",
)  # fmt: skip
_KEY = (
    ("var(--value)", "value"),
    ("var(--band); opacity: .45", "expected band"),
    ("var(--label); opacity: .27", "labelled"),
    ("var(--green)", "event caught"),
    ("var(--paper); outline: 1.5px solid var(--red)", "event missed"),
    ("var(--faint)", "event not judged"),
    ("var(--blue)", "alert that touches an event"),
    ("var(--red)", "false alert; anomaly_score above 1"),
    ("var(--score)", "anomaly_score"),
)
_WORDS = {
    "event": "A labelled window. Events that end before the detector has seen enough samples to judge are left out.",
    "caught": "An alert fires at any moment from the event's first sample to 3 samples after its last.",
    "delay": "From the event's first sample to the one that fired the alert; 0 if an alert was already open.",
    "false alert": "An alert that touches no event. One alert is one message, however long it fires.",
    "false per week": "False alerts per stream and week of judged time.",
    "precision, recall, F1": "Share of alerts that touch an event, share of events caught, and their harmonic mean.",
    "best F1": "F1 of events against days with a sample above the threshold outside events, at the best threshold on "
    "anomaly_score: the most that another budget could give. The first 15% of each series, at least 48 "
    "samples, do not count.",
    "NAB": "Score of the Numenta Anomaly Benchmark, standard profile, at the best threshold: 0 for silence, 100 for "
    "one detection at each window's start; report.json has all three profiles, also at the threshold in use. Every "
    "sample above the threshold outside windows counts as false, even within one alert.",
}


def page(report: Report) -> str:
    """The whole file, with the worst series first."""
    run = report.runs[0]
    order = sorted(range(len(run.judged)), key=lambda at: _problems(run.each[at]), reverse=True)
    body = (
        *_head(report, run),
        *(_budgets(report) if len(report.runs) > 1 else ()),
        "<h2>Series, worst first</h2>",
        *_table(run, order),
        *_unlabelled(run),
    )
    return frame(
        report, body, _KEY, _WORDS, (*(_figure(run, at) for at in order[:MOST_PICTURES]), without_picture(order))
    )


def frame(
    report: Report,
    body: Iterable[str],
    key: tuple[tuple[str, str], ...],
    words: Mapping[str, str],
    figures: Iterable[str],
) -> str:
    """A whole file: `body`, then `figures` below their `key` of colours, then what the `words` mean."""
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Backtest of {escape(report.data)}</title><style>{css}</style></head><body>",
        *body,
        "<h2>Pictures</h2>",
        '<div class="key">',
        *(f'<span><i style="background: {colour}"></i>{meaning}</span>' for colour, meaning in key),
        "<span>times are UTC</span>",
        "</div>",
        *figures,
        "<h2>How this is counted</h2><dl>",
        *(f"<dt>{word}</dt><dd>{meaning}</dd>" for word, meaning in words.items()),
        "</dl></body></html>\n",
    ]
    return "\n".join(parts)


def _problems(found: Figures) -> tuple[int, int]:
    return found.missed + found.false_alerts, found.missed


def _head(report: Report, run: Run) -> Iterator[str]:
    found = run.in_all
    yield "<h1>Backtest</h1>"
    yield (
        f'<p class="soft">{escape(report.data)} against {escape(report.labels or "")} · {found.series} labelled '
        f"series, {report.rows:,} rows, {found.stream_days:,.0f} stream-days · "
        f"detector {__version__}, {escape(report.model)}"
    )
    yield f" · {report.malformed_rows:,} malformed rows left out</p>" if report.malformed_rows else "</p>"
    false_week = number(found.false_alerts_per_stream_week, 2)
    asked = f"of {number(found.alerts_per_stream_week, 2)} alerts in all; the budget was {run.alerts_per_stream_week:g}"
    samples = found.median_delay_samples
    time = "–" if found.median_delay_seconds is None else duration(found.median_delay_seconds)
    shown = (
        (f"{found.caught} of {found.events}", f"events caught ({percent(found.recall)})"),
        (false_week, f"false alerts per stream and week, {asked}"),
        (percent(found.precision), f"of {found.alerts} alerts touch an event"),
        (number(found.f1, 2), f"F1; {number(found.best_f1, 2)} at the best threshold, counted by days"),
        (time, "median delay of what was caught" + (f", {plural(samples, 'sample')}" if samples is not None else "")),
        (nab_score(found), "NAB score, standard profile"),
    )
    yield from cards(shown)


def cards(shown: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Figures in large type, each with its meaning."""
    yield '<div class="cards">'
    yield from (f'<div class="card"><b>{value}</b><span>{meaning}</span></div>' for value, meaning in shown)
    yield "</div>"


def _budgets(report: Report) -> Iterator[str]:
    yield "<h2>Alert budgets</h2><p>The same series at other budgets. Everything below is for the first one.</p>"
    yield from heading(("budget per stream and week", *_HEADINGS[1:]))
    for run in report.runs:
        yield f"<tr><td>{run.alerts_per_stream_week:g}</td>{_cells(run.in_all)}</tr>"
    yield "</tbody></table>"


def _table(run: Run, order: list[int]) -> Iterator[str]:
    yield from heading(_HEADINGS)
    yield f'<tr class="total"><td>all</td>{_cells(run.in_all)}</tr>'
    for rank, at in enumerate(order):
        name = breakable(run.judged[at].history.name)
        shown = f'<a href="#series-{at}">{name}</a>' if rank < MOST_PICTURES else name
        yield f"<tr><td>{shown}</td>{_cells(run.each[at])}</tr>"
    yield "</tbody></table>"


def heading(words: tuple[str, ...]) -> Iterator[str]:
    """A table's beginning."""
    yield f"<table><thead><tr>{''.join(f'<th>{word}</th>' for word in words)}</tr></thead><tbody>"


def _cells(found: Figures) -> str:
    share = 100.0 * (found.recall or 0.0)
    bar = f'<span class="bar"><i style="width:{share:.0f}%"></i></span>'
    caught = f'{bar}<span class="count">{found.caught} of {found.events}</span>' if found.events else "–"
    cells = (
        _cell(caught),
        f'<td class="{"bad" if found.missed else "none"}">{found.missed}</td>',
        _cell(str(found.alerts)),
        f'<td class="{"bad" if found.false_alerts else "none"}">{found.false_alerts}</td>',
        _cell(number(found.false_alerts_per_stream_week, 2)),
        _cell(percent(found.precision)),
        _cell(percent(found.recall)),
        _cell(number(found.f1, 2)),
        _cell(delay(found)),
        _cell(number(found.best_f1, 2)),
        _cell(nab_score(found)),
    )
    return "".join(cells)


def breakable(name: str) -> str:
    """A name that may wrap after its separators rather than anywhere."""
    return re.sub("([/_{,])", r"\1<wbr>", escape(name))


def _cell(text: str) -> str:
    return f'<td class="none">{text}</td>' if text == "–" else f"<td>{text}</td>"


def _unlabelled(run: Run) -> Iterator[str]:
    if not run.unlabelled:
        return
    alerts = sum(len(one.history.episodes) for one in run.unlabelled)
    weeks = sum(one.history.scored_seconds for one in run.unlabelled) / (7 * 86_400.0)
    rate = f", {alerts / weeks:.2f} per stream and week" if weeks else ""
    yield (
        f"<p>Not in these figures: {len(run.unlabelled)} more series without labels, with {plural(alerts, 'alert')} "
        f"in all{rate}."
    )
    alerted = [one for one in run.unlabelled if one.history.episodes]
    most = sorted(alerted, key=lambda one: -len(one.history.episodes))[:10]
    if most:
        yield " Series with the most: "
        yield ", ".join(f"{escape(one.history.name)} ({len(one.history.episodes)})" for one in most) + "."
    yield "</p>"


def _figure(run: Run, at: int) -> str:
    judged, found = run.judged[at], run.each[at]
    return (
        f'<figure id="series-{at}"><h3>{breakable(judged.history.name)}</h3>'
        f"<figcaption>{_caption(judged, found)}</figcaption>{picture(judged)}{close_up_pictures(judged)}"
        f"{alert_list(judged)}</figure>"
    )


def without_picture(order: Sequence[object]) -> str:
    """What is said below the pictures of these series; nothing if each has one."""
    return f"<p>Without a picture: {len(order) - MOST_PICTURES} more series.</p>" if len(order) > MOST_PICTURES else ""


def close_up_pictures(judged: Judgement) -> str:
    """The close-ups of a long series, side by side; nothing for a short one."""
    parts = [
        f"<div><small>{words}</small>{picture(part, CLOSE_UP_WIDTH, 'close-up')}</div>"
        for words, part in close_ups(judged)
    ]
    return f'<div class="close-ups">{"".join(parts)}</div>' if parts else ""


def _caption(judged: Judgement, found: Figures) -> str:
    parts = [f"{found.caught} of {found.events} events caught" if found.events else "no event"]
    if found.not_judged:
        parts.append(f"{found.not_judged} not judged")
    if found.median_delay_samples is not None and found.median_delay_seconds is not None:
        delayed = duration(found.median_delay_seconds)
        parts.append(f"median delay {delayed}, {plural(found.median_delay_samples, 'sample')}")
    parts.append(f"{plural(found.alerts, 'alert')}, {found.false_alerts} false")
    parts.append(extent(judged.history))
    return " · ".join(parts)


def extent(history: History) -> str:
    """How many rows and, if several, how far apart."""
    rows = len(history.times)
    return f"{rows:,} row{'s' * (rows != 1)}" + (f", one every {duration(history.step_seconds)}" if rows > 1 else "")


def number(value: float | None, digits: int) -> str:
    """With that many decimals, or a dash if there is no value."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """Whole per cent, or a dash."""
    return "–" if share is None else f"{100.0 * share:.0f}%"


def nab_score(found: Figures) -> str:
    """Standard profile at its best threshold, or a dash."""
    return number(found.nab["standard"] if found.nab else None, 1)


def delay(found: Figures) -> str:
    """Median delay in time and samples, or a dash."""
    if found.median_delay_seconds is None or found.median_delay_samples is None:
        return "–"
    return f"{duration(found.median_delay_seconds)} ({found.median_delay_samples:g})"
