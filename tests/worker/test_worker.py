"""The loop with the fakes of detector.testing: order of durability, rebalances, errors and stops."""

import io
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.alerts import AlertRecord, Lifecycle
from detector.columns import Bool, Columns, Rows
from detector.config import Config
from detector.decoders import DECODERS
from detector.errors import BrokerUnreachable, CommitRefused, DeliveryError, TopicMissing
from detector.pipeline import Pipeline
from detector.protocols import AssignmentChanges, Forecaster, Learnt
from detector.records import Float64, Partition, RawBatch
from detector.scoring import Scorer, ScorerSettings
from detector.sinks.dead_letter import DeadLetterRecord
from detector.telemetry import Health, Notifier, Telemetry, new_registry
from detector.testing import LastValueForecaster, ListSink, ListSource, LogSource, ManualClock, MemoryStore, log_to
from detector.worker import Worker
from detector.worker.outlets import Outlet
from detector.worker.worker import POLL_BUSY_SECONDS, POLL_SECONDS
from tests.guarantees.accounting import AuditedMetrics
from tests.recovery.rig import Life, World

PARTITION = ("metrics", 0)
START = 1_700_000_000


def records(first: int, values: list[float], partition: int = 0, raw: bytes | None = None) -> RawBatch:
    payloads = [
        json.dumps({"name": "m", "timestamp": START + 60 * (first + i), "value": v}).encode()
        for i, v in enumerate(values)
    ]
    if raw is not None:
        payloads[-1] = raw
    count = len(payloads)
    return RawBatch(
        "metrics",
        partition,
        np.arange(first, first + count),
        np.full(count, START + 1e6),
        list(payloads),
        [None] * count,
    )


def quiet(count: int) -> list[float]:
    return np.sin(np.arange(count)).tolist()


class Rig:
    def __init__(
        self,
        source: ListSource,
        interval: float = 1e9,
        forecaster: Forecaster | None = None,
        health: type[Health] = Health,
    ) -> None:
        self.source, self.sink, self.dead, self.clock = source, ListSink(), ListSink(), ManualClock()
        self.health = health(60, self.clock.monotonic)
        self.metrics, self.log = AuditedMetrics(new_registry()), io.StringIO()
        pipeline = Pipeline(
            forecaster or LastValueForecaster(),
            Scorer(ScorerSettings(warmup_samples=20)),
            Lifecycle(
                anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0
            ),
            max_streams=100,
            idle_expiry_seconds=1e9,
            max_future_seconds=1e9,
            critical_score=2.0,
            model="last-value",
        )
        self.worker = Worker(
            source=source,
            decoder=DECODERS["json"](Config().decoder),
            pipeline=pipeline,
            alerts=[Outlet("list", self.sink, AlertRecord({}, "test"))],
            rejects=Outlet("dead_letter", self.dead, DeadLetterRecord(64)),
            telemetry=Telemetry(
                self.metrics,
                self.health,
                Notifier({}, self.clock.monotonic),
                log_to(self.log),
            ),
            clock=self.clock,
            checkpoint_interval_seconds=interval,
            flush_timeout_seconds=1.0,
        )

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def accounted(self) -> bool:
        outcomes = ("scored", "warmup", "late", "duplicate", "discarded", "dead_lettered")
        total = sum(self.value("detector_samples_total", outcome=outcome) for outcome in outcomes)
        return total == self.value("detector_samples_consumed_total") > 0


def test_alert_is_acknowledged_before_its_offset_is_committed() -> None:
    rig = Rig(ListSource([[records(0, [*quiet(40), 900.0])]], frozenset({PARTITION})))
    rig.worker.run()
    assert [json.loads(m.value or b"")["status"] for m in rig.sink.acknowledged] == ["firing"]
    assert rig.source.committed == {PARTITION: 41}
    assert rig.accounted()


def test_age_of_the_last_checkpoint_starts_with_the_worker() -> None:
    rig = Rig(ListSource([[records(0, quiet(40))]], frozenset({PARTITION})))
    started = rig.clock.time()
    assert rig.value("detector_checkpoint_timestamp_seconds") == started > 0
    rig.clock.advance(30.0)
    rig.worker.run()
    assert rig.value("detector_checkpoint_timestamp_seconds") >= started + 30.0


def test_g3_nothing_is_committed_while_an_alert_is_unacknowledged() -> None:
    rig = Rig(ListSource([[records(0, [*quiet(40), 900.0])]], frozenset({PARTITION})))
    rig.sink.fail = True
    with pytest.raises(DeliveryError):
        rig.worker.run()
    assert rig.source.commits == []
    assert rig.value("detector_checkpoint_failures_total") == 1
    assert rig.value("detector_sink_failures_total", sink="list") == 1


def test_checkpoints_come_at_their_interval() -> None:
    source = ListSource(
        [[records(0, quiet(5))], [records(5, quiet(5))], [records(10, quiet(5))]], frozenset({PARTITION})
    )
    rig = Rig(source, interval=10.0)
    rig.worker.turn()
    assert source.commits == []
    rig.clock.advance(11)
    rig.worker.turn()
    assert source.commits == [{PARTITION: 10}]
    rig.worker.turn()
    assert source.commits == [{PARTITION: 10}]


def test_slices_of_a_checkpoint_do_not_wait_for_records() -> None:
    waits: list[float] = []

    class Waited(LogSource):
        def poll(self, timeout_seconds: float) -> list[RawBatch]:
            waits.append(timeout_seconds)
            return super().poll(timeout_seconds)

    class Busy(MemoryStore):
        in_flight = 1

    life = Life(World({}), source=Waited({}, {}), store=Busy({}), interval_seconds=0.0)
    for _ in range(3):
        life.worker.turn()
    assert waits == [POLL_SECONDS, POLL_BUSY_SECONDS, POLL_BUSY_SECONDS]


def test_undecodable_records_become_dead_letters_and_processing_continues() -> None:
    rig = Rig(ListSource([[records(0, quiet(3), raw=b"\xff{")], [records(3, quiet(3))]], frozenset({PARTITION})))
    rig.worker.run()
    headers = dict(rig.dead.acknowledged[0].headers)
    assert rig.dead.acknowledged[0].value == b"\xff{"
    assert headers["detector_dead_letter_offset"] == b"2"
    assert rig.source.committed == {PARTITION: 6}
    assert rig.value("detector_samples_total", outcome="dead_lettered") == 1
    assert rig.accounted()


def test_log_says_that_the_source_answers_again() -> None:
    down = BrokerUnreachable("down")
    polls: list[list[RawBatch] | Exception] = [
        [records(0, quiet(5))], down, [], down, [records(5, quiet(5))], [records(10, quiet(5))]
    ]  # fmt: skip
    rig = Rig(ListSource(polls, frozenset({PARTITION})))
    rig.worker.run()
    failed, again = "source failed, trying again", "records are read again"
    assert re.findall(f"{failed}|{again}", rig.log.getvalue()) == [failed, failed, again]


def test_retriable_errors_of_the_source_are_retried_and_others_end_the_worker() -> None:
    polls: list[list[RawBatch] | Exception] = [
        BrokerUnreachable("down"),
        BrokerUnreachable("down"),
        [records(0, quiet(3))],
        TopicMissing("gone"),
    ]
    rig = Rig(ListSource(polls, frozenset({PARTITION})))
    before = rig.clock.now
    with pytest.raises(TopicMissing):
        rig.worker.run()
    assert rig.clock.now > before
    assert rig.worker.positions == {PARTITION: 3}
    assert rig.value("detector_source_errors_total", reason="broker_unreachable") == 2


def test_pauses_grow_while_the_source_is_down_and_reset_after_an_answer() -> None:
    down = BrokerUnreachable("down")
    polls: list[list[RawBatch] | Exception] = [down, down, down, [records(0, quiet(3))], down, [], down]
    rig = Rig(ListSource(polls, frozenset({PARTITION})))
    rig.worker.run()
    pauses = [float(found) for found in re.findall(r"retry_seconds=([\d.]+)", rig.log.getvalue())]
    assert pauses == [0.2, 0.4, 0.8, 0.2, 0.2]


def test_g12_stop_is_obeyed_while_the_source_is_down() -> None:
    rig = Rig(ListSource([BrokerUnreachable("down")] * 100, frozenset({PARTITION})))
    asleep: list[float] = []

    class Signalled(ManualClock):
        """SIGTERM comes after a minute, in the middle of a sleep, and does not interrupt it."""

        def sleep(self, seconds: float) -> None:
            assert not stopped, "asleep after it was asked to stop"
            super().sleep(seconds)
            asleep.append(seconds)
            if sum(asleep) > 60:
                stopped.append(True)
                rig.worker.stop()

    stopped: list[bool] = []
    rig.worker.clock = Signalled()
    rig.worker.run()
    assert stopped
    assert max(asleep) <= POLL_SECONDS


def test_revoked_partition_drops_its_state_and_no_other() -> None:
    other = ("metrics", 1)
    polls = [[records(0, quiet(5)), records(0, quiet(5), partition=1)], []]
    source = ListSource(polls, frozenset({PARTITION, other}))
    rig = Rig(source)
    rig.worker.turn()
    assert rig.worker.pipeline.table.streams == 2
    source.pending_changes = [AssignmentChanges(revoked=frozenset({PARTITION}), settled=True)]
    rig.worker.run()
    assert rig.worker.pipeline.table.streams == 1
    assert source.commits == [{other: 5}]


def test_lost_partition_is_dropped_at_once_and_never_committed() -> None:
    source = ListSource([[records(0, quiet(5))], []], frozenset({PARTITION}))
    rig = Rig(source)
    rig.worker.turn()
    source.pending_changes = [AssignmentChanges(lost=frozenset({PARTITION}))]
    rig.worker.turn()
    assert not rig.worker.telemetry.health.ready
    rig.worker.run()
    assert rig.worker.pipeline.table.streams == 0
    assert source.commits == []


@pytest.mark.parametrize("back", [False, True])
def test_g4_records_read_before_a_revocation_are_not_processed(back: bool) -> None:
    """Also if the partition came back at once: another member may have read on in between."""
    source = ListSource([[records(0, quiet(5))], [records(5, quiet(5))], []], frozenset({PARTITION}))
    rig = Rig(source)
    rig.worker.turn()
    ours = frozenset({PARTITION})
    source.pending_changes = [AssignmentChanges(lost=ours, assigned=ours if back else frozenset(), settled=True)]
    rig.worker.turn()
    assert rig.worker.pipeline.table.streams == 0
    rig.worker.run()
    assert source.commits == []


class RefusingSource(ListSource):
    """A source whose commits are refused `refusals` times, as during a rebalance."""

    refusals = 1

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise CommitRefused("rebalancing")
        super().commit(offsets)


def test_refused_commit_is_repeated_by_the_next_checkpoint() -> None:
    source = RefusingSource([[records(0, quiet(5))], [records(5, quiet(5))], []], frozenset({PARTITION}))
    rig = Rig(source, interval=10.0)
    rig.worker.turn()
    rig.clock.advance(11)
    rig.worker.turn()
    assert source.commits == []
    rig.clock.advance(11)
    rig.worker.turn()
    assert source.commits == [{PARTITION: 10}]


def test_delay_of_an_alert_is_counted_once_although_a_checkpoint_failed() -> None:
    source = RefusingSource([[records(0, [*quiet(40), 900.0])], [records(41, [0.0])], []], frozenset({PARTITION}))
    rig = Rig(source, interval=10.0)
    rig.worker.turn()
    for count in (0, 1):
        rig.clock.advance(11)
        rig.worker.turn()
        assert rig.value("detector_alert_delay_seconds_count") == count
    assert len(rig.sink.acknowledged) == 1


def test_everything_is_made_durable_before_a_rebalance_is_joined() -> None:
    source = RefusingSource([[records(0, quiet(5))], [records(5, quiet(5))], [], []], frozenset({PARTITION}))
    source.refusals = 0
    source.pending_changes += [AssignmentChanges(imminent=True), AssignmentChanges(), AssignmentChanges(imminent=True)]
    rig = Rig(source)
    rig.worker.turn()
    assert source.commits == [], "none is due for long"
    rig.worker.turn()
    assert source.commits == [{PARTITION: 10}]
    rig.worker.turn()
    source.refusals = 1
    rig.worker.turn()
    assert rig.value("detector_checkpoint_failures_total") == 1, "too late for the commit is no error"


def test_g12_stop_with_a_refused_last_commit_is_not_orderly() -> None:
    rig = Rig(RefusingSource([[records(0, quiet(5))]], frozenset({PARTITION})))
    with pytest.raises(CommitRefused):
        rig.worker.run()
    assert rig.value("detector_checkpoint_failures_total") == 1


def test_spare_member_without_partitions_is_ready() -> None:
    source = ListSource([[]])
    rig = Rig(source)
    assert not rig.worker.telemetry.health.ready
    rig.worker.turn()
    assert rig.worker.telemetry.health.ready


def test_stop_ends_the_loop_after_the_batch_with_a_checkpoint() -> None:
    source = ListSource([[records(0, quiet(5))], [records(5, quiet(5))]], frozenset({PARTITION}))
    rig = Rig(source)
    rig.worker.turn()
    rig.worker.stop()
    rig.worker.run()
    assert source.committed == {PARTITION: 5}
    assert not rig.worker.telemetry.health.ready
    last = rig.log.getvalue().splitlines()[-1]
    assert last == "samples={'warmup': 5} offsets={'metrics/0': 5} event='stopped'"


class Slow(LastValueForecaster):
    """Takes time for every sample it learns, and may stop the worker after some samples."""

    def __init__(self, seconds: float) -> None:
        self.clock, self.seconds = ManualClock(), seconds
        self.learnt = 0
        self.stop_after = 1 << 60
        self.stop: Callable[[], None] = lambda: None

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> None:
        super().learn(state, rows, times, values, frozen)
        self.clock.advance(self.seconds * len(rows))
        self.learnt += len(rows)
        if self.learnt >= self.stop_after:
            self.stop()


class Noting(Health):
    """Records the times of progress."""

    def __init__(self, stall_seconds: float, monotonic: Callable[[], float]) -> None:
        super().__init__(stall_seconds, monotonic)
        self.noted = [monotonic()]

    def progress(self) -> None:
        super().progress()
        self.noted.append(self.progress_at)


def longest_silence(rig: Rig) -> float:
    assert isinstance(rig.health, Noting)
    return float(np.diff(rig.health.noted).max())


def test_g12_loop_reports_progress_within_a_large_batch_of_one_slow_stream() -> None:
    slow = Slow(0.01)
    rig = Rig(ListSource([[records(0, quiet(2_500))]], frozenset({PARTITION})), forecaster=slow, health=Noting)
    slow.clock = rig.clock
    rig.worker.turn()
    assert slow.learnt == 2_500
    assert longest_silence(rig) < 3.0


def test_g12_record_with_many_samples_of_one_stream_is_not_a_hang() -> None:
    batch = records(0, quiet(800))
    array = b"[" + b",".join(value or b"" for value in batch.values) + b"]"
    slow = Slow(0.1)
    rig = Rig(ListSource([[records(0, [0.0], raw=array)]], frozenset({PARTITION})), forecaster=slow, health=Noting)
    slow.clock = rig.clock
    rig.worker.turn()
    assert slow.learnt == 800
    assert longest_silence(rig) < 3.0


def test_g12_checkpoints_happen_within_a_large_batch() -> None:
    """A group waits only so long for the next poll; work done until an eviction must count."""
    source = ListSource([[records(0, quiet(800))]], frozenset({PARTITION}))
    slow = Slow(0.1)
    rig = Rig(source, interval=5.0, forecaster=slow)
    slow.clock = rig.clock
    rig.worker.turn()
    steps = np.diff([0, *(offsets[PARTITION] for offsets in source.commits)])
    assert len(steps) > 5
    assert steps.max() <= 200


def test_g12_stop_is_obeyed_within_a_large_batch() -> None:
    source = ListSource([[records(0, quiet(2_500))]], frozenset({PARTITION}))
    slow = Slow(0.01)
    rig = Rig(source, forecaster=slow)
    slow.clock, slow.stop_after, slow.stop = rig.clock, 1_000, rig.worker.stop
    rig.worker.run()
    assert 1_000 <= slow.learnt < 1_300
    assert source.committed == {PARTITION: slow.learnt}
    assert rig.accounted()


def test_g12_stop_within_batches_of_many_partitions_commits_between_records() -> None:
    partitions = frozenset(("metrics", number) for number in range(3))
    lengths = (700, 50, 900)
    polled = [records(0, quiet(length), partition=number) for number, length in enumerate(lengths)]
    source = ListSource([polled], partitions)
    slow = Slow(0.01)
    rig = Rig(source, forecaster=slow)
    slow.clock, slow.stop_after, slow.stop = rig.clock, 600, rig.worker.stop
    rig.worker.run()
    assert sum(source.committed.values()) == slow.learnt < 900
    assert all(0 < offset <= lengths[number] for (_, number), offset in source.committed.items())
    assert rig.accounted()


def test_partitions_read_together_share_rounds() -> None:
    class Counting(LastValueForecaster):
        rounds: list[int]

        def forecast(self, state: Columns, rows: Rows, learnt: Learnt | None = None) -> None:
            self.rounds.append(len(rows))

    counting = Counting()
    counting.rounds = []
    partitions = frozenset(("metrics", number) for number in range(8))
    source = ListSource([[records(0, quiet(5), partition=number) for _, number in sorted(partitions)]], partitions)
    rig = Rig(source, forecaster=counting)
    rig.worker.run()
    assert counting.rounds == [8] * 5
    assert source.committed == dict.fromkeys(partitions, 5)


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=25), st.booleans())
@settings(max_examples=60, deadline=None)
def test_g6_arbitrary_bytes_in_half_of_the_records_become_dead_letters_unchanged(
    rubbish: list[bytes], good_first: bool
) -> None:
    good = records(0, quiet(len(rubbish))).values
    mixed = [value for pair in zip(good, rubbish, strict=True) for value in (pair if good_first else reversed(pair))]
    count = len(mixed)
    batch = RawBatch("metrics", 0, np.arange(count), np.full(count, START + 1e6), mixed, [None] * count)
    rig = Rig(ListSource([[batch]], frozenset({PARTITION})))
    rig.worker.run()
    assert rig.source.committed == {PARTITION: count}
    assert rig.accounted()
    # Bytes that happen to be a valid sample are no poison.
    letters = {int(dict(m.headers)["detector_dead_letter_offset"]): m for m in rig.dead.acknowledged}
    for offset, letter in letters.items():
        value = mixed[offset] or b""
        assert value in rubbish
        assert letter.value == (value if len(value) <= 64 else None)
    read = rig.value("detector_samples_consumed_total") - rig.value("detector_samples_total", outcome="dead_lettered")
    assert read >= len(good)


def signs(manager: socket.socket) -> list[bytes]:
    """The messages, without the status lines."""
    heard = []
    with suppress(BlockingIOError):
        while True:
            heard.append(manager.recv(100))
    return [one for one in heard if not one.startswith(b"STATUS=")]


@contextmanager
def managed(rig: Rig, folder: Path) -> Iterator[socket.socket]:
    """A service manager for the worker, in place of systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.setblocking(False)
        environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "4000000"}
        notifier = Notifier(environment, rig.clock.monotonic)
        rig.worker.telemetry = replace(rig.worker.telemetry, notifier=notifier)
        yield manager


def test_g12_service_manager_is_notified_only_of_progress(tmp_path: Path) -> None:
    source = ListSource([[records(0, quiet(5))], TopicMissing("gone")], frozenset({PARTITION}))
    rig = Rig(source)
    with managed(rig, tmp_path) as manager:
        rig.worker.turn()
        assert sorted(signs(manager)) == [b"READY=1", b"WATCHDOG=1"]
        rig.clock.advance(10.0)
        with pytest.raises(TopicMissing):
            rig.worker.turn()
        assert signs(manager) == []


@pytest.mark.parametrize("again", [False, True])
def test_service_manager_is_notified_only_of_the_end_of_the_process(tmp_path: Path, again: bool) -> None:
    """A manager that is notified of an end at a reload would kill the process, which continues."""
    rig = Rig(ListSource([[records(0, quiet(5))]], frozenset({PARTITION})))
    with managed(rig, tmp_path) as manager:
        rig.worker.turn()
        signs(manager)
        rig.worker.stop(again=again)
        rig.worker.run()
        assert (b"STOPPING=1" in signs(manager)) == (not again)
