"""The alerts of a series as a list, below its picture: when, for how long, and why."""

from __future__ import annotations

from detector.backtest.count import Judgement
from detector.backtest.labels import iso
from detector.backtest.ticks import duration, short

MOST = 12


def alert_list(judged: Judgement) -> str:
    """A `<ul>` in order of time, empty without an alert; of more than `MOST`, those with the highest scores."""
    pairs = list(zip(judged.history.episodes, judged.false, strict=True))
    highest = sorted(pairs, key=lambda pair: -pair[0].anomaly_score)[:MOST]
    items = []
    for episode, false in sorted(highest, key=lambda pair: pair[0].fired_at):
        lasted = duration(episode.until(float(judged.history.times[-1])) - episode.fired_at)
        open_still = ", still firing" if episode.resolved_at is None else ""
        verdict = {True: ", false", False: "", None: ""}[false]
        items.append(
            f'<li class="{"false" if false else "true"}">{iso(episode.fired_at)} for {lasted}{open_still}, '
            f"{episode.direction}, {episode.severity}, score {short(episode.anomaly_score, 3)}{verdict}</li>"
        )
    if len(pairs) > MOST:
        items.append(f"<li>{len(pairs) - MOST} more with lower scores in report.json</li>")
    return f'<ul class="alerts">{"".join(items)}</ul>' if items else ""
