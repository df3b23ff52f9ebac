"""The alerts of a series in words."""

import dataclasses
import re

from detector.backtest.count import judge
from detector.backtest.listing import MOST, alert_list
from tests.backtest.histories import history, judged


def test_each_alert_has_its_time_and_outcome() -> None:
    text = alert_list(judged(100, [(20, 30), (90, None)], [(25, 26)]))
    assert re.findall(r"<li.*?</li>", text) == [
        '<li class="true">2020-09-13 12:46:40 for 10 min, above, warning, score 1.5</li>',
        '<li class="false">2020-09-13 13:56:40 for 9 min, still firing, above, warning, score 1.5, false</li>',
    ]
    assert ", false" not in alert_list(judge(history(100, [(90, None)]), None))
    assert alert_list(judged(100, [], [])) == ""


def test_highest_of_many_alerts_are_listed_in_order_of_time() -> None:
    many = history(1000, [(20 + 10 * n, 25 + 10 * n) for n in range(MOST + 3)])
    episodes = [dataclasses.replace(one, anomaly_score=float(n)) for n, one in enumerate(many.episodes)]
    text = alert_list(judge(dataclasses.replace(many, episodes=tuple(episodes)), None))
    assert [int(score) for score in re.findall(r"score (\d+)<", text)] == list(range(3, MOST + 3))
    assert "<li>3 more with lower scores in report.json</li></ul>" in text
