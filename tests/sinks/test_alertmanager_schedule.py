"""When which alert is sent to an Alertmanager, with a clock that is a number."""

from __future__ import annotations

from detector.records import Alert
from detector.sinks import alertmanager_schedule
from detector.sinks.alertmanager_schedule import ENDED_SECONDS, LEAST_STALE, Schedule
from tests.operations import operations
from tests.sinks.alertmanagers import firing, noticed, resolved

RESEND = 60.0


def update(schedule: Schedule, alert: Alert, now: float, delay_seconds: float = 0.0) -> bool:
    return schedule.update(noticed(alert), now, delay_seconds)


def due(schedule: Schedule, now: float, *, accept: bool = True, most: int = 100) -> list[tuple[str, str]]:
    """(host, "fires" or "ended") of the alerts that are due; they are accepted at once."""
    notices = schedule.due(now, most)
    if accept:
        schedule.settle(notices, now)
    return [(dict(one.labels)["host"], "fires" if one.ends_at is None else "ended") for one in notices]


def test_g19_firing_alert_is_sent_at_once_and_then_at_every_interval() -> None:
    schedule = Schedule(RESEND, 10)
    assert update(schedule, firing(), 0.0)
    told = [now for now in range(0, 200, 5) if due(schedule, float(now))]
    assert told == [0, 60, 120, 180]


def test_g19_resolved_alert_is_repeated_for_five_minutes() -> None:
    schedule = Schedule(RESEND, 10)
    update(schedule, firing(), 0.0)
    due(schedule, 0.0)
    update(schedule, resolved(), 7.0)
    told = [(now, *due(schedule, float(now))) for now in range(7, 1_000)]
    assert [(now, *what) for now, *what in told if what] == [
        (now, ("a", "ended")) for now in range(7, 7 + int(ENDED_SECONDS) + 1, 60)
    ]
    assert schedule.waiting == 0


def test_g19_alert_that_fired_and_resolved_unaccepted_is_kept_until_accepted() -> None:
    schedule = Schedule(RESEND, 10)
    update(schedule, firing(), 0.0)
    update(schedule, resolved(), 30.0)
    for now in range(30, 4_000, 10):
        assert due(schedule, float(now), accept=False) == [("a", "ended")]
    assert schedule.waiting == 1
    assert due(schedule, 4_000.0) == [("a", "ended")]
    assert [due(schedule, float(now)) for now in range(4_000, 6_000, 60)] == [[]] * 34


def test_change_during_a_request_is_not_taken_as_accepted() -> None:
    schedule = Schedule(RESEND, 10)
    update(schedule, firing(), 0.0)
    on_its_way = schedule.due(0.0, 100)
    update(schedule, resolved(), 1.0)
    schedule.settle(on_its_way, 2.0)
    assert due(schedule, 2.0) == [("a", "ended")]


def test_g19_resolved_alert_is_not_repeated_after_the_next_one_fires() -> None:
    """The labels are the same, so Alertmanager would resolve the new alert."""
    schedule = Schedule(RESEND, 10)
    for alert, now in ((firing(), 0.0), (resolved(), 10.0), (firing(starts_at=1_100.0), 20.0)):
        update(schedule, alert, now)
        due(schedule, now)
    assert {what for now in range(21, 600) for what in due(schedule, float(now))} == {("a", "fires")}


def test_streams_with_equal_labels_are_open_while_one_of_them_is() -> None:
    schedule = Schedule(RESEND, 10)
    update(schedule, firing(partition=0), 0.0)
    update(schedule, firing(partition=1, starts_at=1_010.0), 0.0)
    assert due(schedule, 0.0) == [("a", "fires")]
    update(schedule, resolved(partition=0), 10.0)
    assert due(schedule, 10.0) == [("a", "fires")]
    update(schedule, resolved(partition=1, ends_at=1_070.0), 20.0)
    assert due(schedule, 20.0) == [("a", "ended")]


def test_restored_alert_waits_for_the_records_that_may_resolve_it() -> None:
    schedule = Schedule(RESEND, 10)
    update(schedule, firing("a"), 0.0, delay_seconds=15.0)
    update(schedule, firing("b"), 0.0, delay_seconds=15.0)
    assert due(schedule, 14.0) == []
    update(schedule, resolved("a"), 14.0)
    assert due(schedule, 14.0) == [("a", "ended")]
    assert due(schedule, 15.0) == [("b", "fires")]


def test_g19_alerts_of_a_revoked_partition_are_neither_repeated_nor_resolved() -> None:
    schedule = Schedule(RESEND, 10)
    for number in range(2):
        update(schedule, firing(f"host-{number}", partition=number), 0.0)
    due(schedule, 0.0)
    schedule.forget([("metrics", 0)], 1.0)
    told = {what for now in range(1, 1_000) for what in due(schedule, float(now))}
    assert told == {("host-1", "fires")}


def test_of_two_streams_with_equal_labels_the_remaining_one_is_sent() -> None:
    schedule = Schedule(RESEND, 10)
    update(schedule, resolved(partition=0, ends_at=1_200.0), 0.0)
    update(schedule, resolved(partition=1, ends_at=1_100.0), 0.0)
    due(schedule, 0.0)
    schedule.forget([("metrics", 0)], 1.0)
    (left,) = schedule.due(1.0, 10)
    assert left.ends_at == 1_100.0


def test_g19_revoked_partition_with_an_open_alert_drops_the_end_of_its_equal_twin() -> None:
    """The labels are the same, so Alertmanager would resolve the alert that the partition's next owner has open."""
    schedule = Schedule(RESEND, 10)
    update(schedule, resolved(partition=1), 0.0)
    update(schedule, firing(partition=0), 0.0)
    assert due(schedule, 0.0) == [("a", "fires")]
    schedule.forget([("metrics", 0)], 1.0)
    assert [due(schedule, float(now)) for now in range(1, 1_000, 60)] == [[]] * 17


def test_g19_alert_beyond_the_limit_is_refused_and_known_ones_may_change() -> None:
    schedule = Schedule(RESEND, 2)
    assert [update(schedule, firing(host), 0.0) for host in "abc"] == [True, True, False]
    assert update(schedule, resolved("a"), 1.0)
    assert due(schedule, 1.0) == [("b", "fires"), ("a", "ended")]
    assert sorted(due(schedule, 1.0 + ENDED_SECONDS)) == [("a", "ended"), ("b", "fires")]
    assert update(schedule, firing("c"), 400.0)


def test_changes_are_sent_before_repetitions_and_batches_are_bounded() -> None:
    schedule = Schedule(RESEND, 10)
    update(schedule, firing("old"), 0.0)
    due(schedule, 0.0)
    update(schedule, firing("new"), 60.0)
    update(schedule, firing("newer"), 61.0)
    assert due(schedule, 61.0, most=2, accept=False) == [("new", "fires"), ("newer", "fires")]
    assert [host for host, _ in due(schedule, 61.0)] == ["new", "newer", "old"]


def test_news_are_sent_without_repetitions_at_the_end() -> None:
    schedule = Schedule(RESEND, 10)
    update(schedule, firing("old"), 0.0)
    due(schedule, 0.0)
    update(schedule, firing("new"), RESEND)
    assert [dict(one.labels)["host"] for one in schedule.due(RESEND, 100, news_only=True)] == ["new"]


def test_repetitions_gather_into_common_requests() -> None:
    schedule = Schedule(RESEND, 100)
    for number in range(30):
        update(schedule, firing(f"host-{number}"), 2.0 * number)
        due(schedule, 2.0 * number)
    requests = [len(told) for now in range(60, 120) if (told := due(schedule, float(now)))]
    assert sum(requests) >= 30
    assert len(requests) <= 10


def test_cost_of_an_alert_does_not_depend_on_the_number_of_open_ones() -> None:
    """In a total outage, each of a thousand batches must not scan a hundred thousand alerts."""

    def cost(alerts: int) -> float:
        schedule = Schedule(RESEND, alerts)
        for number in range(alerts):
            update(schedule, firing(f"host-{number}"), 0.0)
        sent = []

        def send() -> None:
            for now in (0.0, RESEND):
                while some := due(schedule, now, most=10):
                    sent.extend(some)

        spent = operations(alertmanager_schedule, send)
        assert len(sent) == 2 * alerts
        return spent / alerts

    assert cost(2_000) < 1.1 * cost(100)


def test_partitions_revoked_together_cost_one_scan_of_the_alerts() -> None:
    def cost(partitions: int) -> int:
        schedule = Schedule(RESEND, 1_000)
        for number in range(100):
            update(schedule, firing(f"host-{number}", partition=number), 0.0)
        gone = frozenset(("metrics", 100 + number) for number in range(partitions))
        return operations(alertmanager_schedule, lambda: schedule.forget(gone, 1.0))

    assert cost(1_000) == cost(1) > 0


def test_alert_that_changes_while_unaccepted_takes_no_more_memory() -> None:
    schedule = Schedule(RESEND, 10)
    for number in range(1_000):
        now = 10.0 * number
        update(schedule, firing(starts_at=now) if number % 2 else resolved(starts_at=now, ends_at=now), now)
    assert len(schedule._changes) <= 2 + LEAST_STALE
    assert due(schedule, 1e5) == [("a", "fires")]
    assert due(schedule, 1e5) == []
