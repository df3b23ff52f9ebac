"""Close-ups show each kind of outcome, with enough around it, and nothing from elsewhere."""

import re

from detector.backtest.closeup import ROWS_AROUND, close_ups, cut
from detector.backtest.page import page
from detector.backtest.picture import picture
from detector.backtest.report import Report, Run
from tests.backtest.histories import at, judged


def long() -> list[tuple[float, float | None]]:
    return [(105, 130), (700, 710), (1500, 1510), (2900, None)]


def test_missed_false_and_caught_in_turn() -> None:
    one = judged(3000, long(), [(100, 120), (1000, 1010), (2000, 2010)])
    words = [words.partition(":")[0] for words, _ in close_ups(one)]
    assert words == ["missed", "false alert", "caught"]
    only_false = judged(3000, long(), [])
    assert [words.partition(":")[0] for words, _ in close_ups(only_false)] == ["false alert"] * 3
    assert close_ups(judged(3000, [], [])) == []


def test_short_series_has_no_close_up() -> None:
    assert close_ups(judged(1000, [(105, 130)], [(100, 120)])) == []


def test_close_up_keeps_what_overlaps_it() -> None:
    one = judged(3000, long(), [(100, 120), (1000, 1010), (1050, 1060), (1500, 1502)])
    part = cut(one, (at(1000), at(1010)))
    assert part.history.times.tolist() == [at(row) for row in range(1000 - ROWS_AROUND, 1010 + ROWS_AROUND + 1)]
    assert [event.start for event in part.events] == [at(1000), at(1050)]
    assert (len(part.history.episodes), len(part.false)) == (0, 0)
    assert len(cut(one, (at(1500), at(1502))).history.episodes) == 1
    assert cut(one, (at(2990), at(2999))).history.episodes[0].fired_at == at(2900)
    wide = cut(one, (at(1000), at(1600)))
    assert len(wide.history.times) == 601 + 2 * 200


def test_alert_that_began_before_the_close_up_has_no_start_mark() -> None:
    one = judged(3000, long(), [])
    assert 'class="fired' in picture(one, 300)
    assert 'class="fired' not in picture(cut(one, (at(2990), at(2999))), 300)
    assert 'class="alert false"' in picture(cut(one, (at(2990), at(2999))), 300)


def test_close_ups_are_below_the_picture_of_their_series() -> None:
    run = Run.of(0.1, [judged(3000, long(), [(100, 120), (1000, 1010)])], [])
    text = page(Report("series", "windows.json", "last-value", 3000, 0, (run,)))
    assert re.findall(r'<svg class="([\w-]+)"', text) == ["series", "close-up", "close-up", "close-up"]
