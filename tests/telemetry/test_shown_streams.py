from __future__ import annotations

from typing import Any

import numpy as np
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from detector.config.telemetry import ShownStreams as Settings
from detector.series import SeriesKey
from detector.telemetry import Metrics, new_registry
from detector.telemetry.shown_streams import LARGEST_SHARE, LEAST_SECONDS, QUANTITIES

PARTITION = ("metrics", 3)


class Table:
    """Rows by their number, and what a worker tells of them."""

    def __init__(self, *names: str) -> None:
        self.keys = [SeriesKey.of(name, {"host": "a"}) for name in names]
        self.version = 0
        self.now = 100.0
        self.metrics = Metrics(new_registry())
        self.asked = 0
        self.seconds_to_list = 0.0

    def follow(self, *match: str, most: int = 100) -> None:
        assert self.metrics.shown.follow(Settings(match=list(match), most=most))
        self.choose()

    def choose(self) -> None:
        def streams() -> Any:
            self.asked += 1
            self.now += self.seconds_to_list
            return ((PARTITION, row, key) for row, key in enumerate(self.keys))

        self.metrics.shown.choose(streams, self.version, lambda: self.now)

    def see(self, value: float, *rows: int) -> None:
        """Samples of these rows, whose other quantities follow from the value."""
        quantities = tuple(np.full(len(rows), value + place) for place in range(len(QUANTITIES)))
        self.metrics.shown.see(np.array(rows), quantities, lambda row: self.keys[row])

    def shown(self) -> dict[str, dict[str, float]]:
        """Stream -> quantity -> number."""
        found: dict[str, dict[str, float]] = {}
        for family in text_string_to_metric_families(generate_latest(self.metrics.registry).decode()):
            for sample in family.samples:
                if "stream" in sample.labels:
                    assert (sample.labels["topic"], sample.labels["partition"]) == ("metrics", "3")
                    found.setdefault(sample.labels["stream"], {})[sample.name] = sample.value
        return found


def test_matching_streams_are_shown_from_their_first_sample() -> None:
    table = Table("cpu", "mem", "disk")
    table.follow("cpu*", '*{host="a"}x', "me?{*")
    assert table.shown() == {}
    table.see(1.0, 0, 1, 2)
    table.see(2.0, 1)
    assert table.shown() == {
        'cpu{host="a"}': {f"detector_{name}": 1.0 + place for place, name in enumerate(QUANTITIES)},
        'mem{host="a"}': {f"detector_{name}": 2.0 + place for place, name in enumerate(QUANTITIES)},
    }


def test_streams_with_names_that_read_the_same_get_distinct_labels() -> None:
    table = Table("cpu", "mem")
    table.keys[1] = SeriesKey.of('cpu{host="a"}')
    assert str(table.keys[0]) == str(table.keys[1])
    table.follow("cpu*")
    table.see(1.0, 0)
    table.see(2.0, 1)
    (values,) = (
        family.samples
        for family in text_string_to_metric_families(generate_latest(table.metrics.registry).decode())
        if family.name == "detector_stream_value"
    )
    assert {sample.labels["fingerprint"]: sample.value for sample in values} == {
        table.keys[0].fingerprint: 1.0,
        table.keys[1].fingerprint: 2.0,
    }


def test_g18_number_of_shown_streams_is_bounded_and_their_choice_is_independent_of_order() -> None:
    names = [f"m{number:03}" for number in range(200)]
    for given in (names, names[::-1]):
        table = Table(*given)
        table.follow("m*", most=3)
        table.see(1.0, *range(200))
        assert list(table.shown()) == [f'm{number:03}{{host="a"}}' for number in range(3)]


def test_streams_are_not_listed_without_patterns() -> None:
    table = Table("cpu")
    assert not table.metrics.shown.follow(Settings())
    table.choose()
    table.see(1.0, 0)
    assert table.asked == 0
    assert table.shown() == {}


def test_reused_row_does_not_show_its_new_stream() -> None:
    table = Table("cpu", "mem")
    table.follow("cpu*")
    table.see(1.0, 0, 1)
    table.keys[0] = SeriesKey.of("disk", {"host": "a"})
    table.see(5.0, 0, 1)
    assert table.shown()['cpu{host="a"}']["detector_stream_value"] == 1.0
    assert list(table.shown()) == ['cpu{host="a"}']


def test_streams_are_searched_again_at_intervals() -> None:
    table = Table("cpu")
    table.follow("*")
    table.see(1.0, 0)
    table.now += LEAST_SECONDS
    table.choose()
    assert table.asked == 1, "nothing has changed"
    table.keys, table.version = [SeriesKey.of("mem", {"host": "a"}), table.keys[0]], 1
    table.choose()
    assert table.asked == 2
    table.keys, table.version = [*table.keys, SeriesKey.of("disk")], 2
    table.now += LEAST_SECONDS - 1.0
    table.choose()
    assert table.asked == 2, "it is too soon"
    table.now += 1.0
    table.choose()
    assert table.asked == 3
    table.see(2.0, 0)
    found = table.shown()
    assert found['mem{host="a"}']["detector_stream_value"] == 2.0
    assert found['cpu{host="a"}']["detector_stream_value"] == 1.0, "what was known of it stays, in another row"
    table.keys, table.version, table.now = table.keys[:1], 3, table.now + LEAST_SECONDS
    table.choose()
    assert list(table.shown()) == ['mem{host="a"}']


def test_search_among_very_many_streams_takes_a_small_share_of_the_time() -> None:
    table = Table("cpu")
    table.seconds_to_list = 3.0
    table.follow("*")
    began = table.now
    for table.version in range(1, 10_000):
        table.now += 1.0
        table.choose()
    assert 2 <= table.asked <= 1 + (table.now - began) * LARGEST_SHARE / table.seconds_to_list
