"""The router brings series spread over partitions together, in order and each sample once, through kills."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from detector.errors import DeliveryError
from detector.protocols import AssignmentChanges
from detector.records import Outcome, Partition
from detector.routing import RoutingSource
from detector.testing import ListSource
from tests.pipeline.test_pipeline import pipeline_of
from tests.routing.worlds import START, RouterLife, Topic, alerts, make_input, scored, states, undisturbed


@pytest.mark.parametrize("seed", range(4))
def test_g1_g6_routed_series_equals_one_on_a_single_partition(seed: int) -> None:
    log, lanes, rng = make_input(seed), Topic(), np.random.default_rng(seed)
    life = RouterLife(log, {}, lanes, rng)
    life.run()
    ours, theirs = pipeline_of(), pipeline_of()
    one, other = scored(ours, lanes, lambda: int(rng.integers(1, 9))), undisturbed(theirs, log)
    assert states(ours) == states(theirs)
    assert len(states(ours)) == 7
    assert alerts(one) == alerts(other) != []
    assert Counter(np.concatenate([each.outcomes for each in one]).tolist()) == Counter(
        np.concatenate([each.outcomes for each in other]).tolist()
    )
    broken = [(partition, at) for partition, found in log.items() for at, (_, v) in enumerate(found) if v == b"{broken"]
    letters = [dict(message.headers) for message in life.rejects.sent]
    names = [f"detector_dead_letter_{name}" for name in ("topic", "partition", "offset")]
    coordinates = sorted([letter[name].decode() for name in names] for letter in letters)
    assert coordinates == sorted([topic, str(number), str(at)] for (topic, number), at in broken) != []
    assert [message.value for message in life.rejects.sent] == [b"{broken"] * len(broken)
    assert life.metrics.registry.get_sample_value("detector_samples_consumed_total") == len(broken)
    assert life.metrics.registry.get_sample_value("detector_samples_total", {"outcome": "dead_lettered"}) == len(broken)


@pytest.mark.parametrize("seed", range(8))
def test_g1_g2_kills_neither_lose_nor_duplicate_a_sample(seed: int) -> None:
    log, topic, rng = make_input(seed, steps=150), Topic(), np.random.default_rng(seed)
    committed: dict[Partition, int] = {}
    for _ in range(12):
        life = RouterLife(log, committed, topic, rng, interval_seconds=0.25)
        life.turns(int(rng.integers(2, 7)))
        life.sink.crash(rng)
    RouterLife(log, committed, topic, rng).run()
    ours, theirs = pipeline_of(), pipeline_of()
    one, other = scored(ours, topic), undisturbed(theirs, log)
    assert states(ours) == states(theirs)
    assert alerts(one) == alerts(other)
    outcomes, expected = (
        Counter(np.concatenate([each.outcomes for each in batches]).tolist()) for batches in (one, other)
    )
    assert sum(outcomes.values()) > sum(expected.values()), "something was routed twice"
    drops = {Outcome.LATE, Outcome.DUPLICATE}
    assert {o: n for o, n in outcomes.items() if o not in drops} == {
        o: n for o, n in expected.items() if o not in drops
    }


def test_g3_only_acknowledged_samples_are_committed() -> None:
    committed: dict[Partition, int] = {}
    life = RouterLife(make_input(1), committed, Topic(), np.random.default_rng(1))
    life.turns(5)
    assert committed == {}
    life.sink.fail = True
    with pytest.raises(DeliveryError, match="told to fail"):
        life.router.checkpoint(1.0)
    assert committed == {}
    life.sink.fail = False
    life.router.checkpoint(1.0)
    assert committed
    left = {partition: life.source.positions[partition] - offset for partition, offset in committed.items()}
    assert min(left.values()) >= 0
    assert max(left.values()) > 0, "what waits is not committed"


@pytest.mark.parametrize("seed", range(4))
def test_g1_g2_samples_that_a_failed_sink_did_not_accept_are_routed_again(seed: int) -> None:
    """The broker answers again just as the failed worker closes: what was sent is acknowledged, the rest is not."""
    log, topic, committed = make_input(seed), Topic(), dict[Partition, int]()
    life = RouterLife(log, committed, topic, np.random.default_rng(seed))
    source = RoutingSource(life.router, ListSource([]))
    life.sink.room = 6
    with pytest.raises(DeliveryError, match="not acknowledged"):
        life.run()
    source.close(1.0)
    RouterLife(log, committed, topic, np.random.default_rng(seed)).run()
    ours, theirs = pipeline_of(), pipeline_of()
    assert alerts(scored(ours, topic)) == alerts(undisturbed(theirs, log))
    assert states(ours) == states(theirs)


def test_close_commits_routed_samples() -> None:
    committed: dict[Partition, int] = {}
    life = RouterLife(make_input(1), committed, Topic(), np.random.default_rng(1))
    life.turns(5)
    RoutingSource(life.router, ListSource([])).close(1.0)
    assert committed == life.router.merge.positions() != {}


def test_routed_samples_are_committed_before_a_rebalance_is_joined() -> None:
    committed: dict[Partition, int] = {}
    life = RouterLife(make_input(1), committed, Topic(), np.random.default_rng(1))
    life.turns(5)
    life.source.pending_changes.append(AssignmentChanges(imminent=True))
    life.turns(1)
    assert committed == {}
    routed = life.router.merge.positions()

    def joins() -> int:
        assert committed == routed != {}
        return 0

    life.source.sizes = joins
    life.turns(1)
    assert committed == routed


def test_g5_turn_does_not_commit_what_it_has_just_read() -> None:
    """The worker reports skipped ranges after the turn: if they were committed by then, a kill would hide them."""
    committed: dict[Partition, int] = {}
    life = RouterLife(make_input(1), committed, Topic(), np.random.default_rng(1), interval_seconds=0.0)
    for _ in range(5):
        routed = life.router.merge.positions()
        life.turns(1)
        assert committed == routed
    assert committed


def test_partition_far_ahead_is_paused_and_resumed() -> None:
    log = make_input(2)
    life = RouterLife(log, {}, Topic(), np.random.default_rng(2), max_pending=5)
    paused = set()
    while any(life.source.lag().values()) or life.source.pending_changes:
        life.turns(1)
        paused |= set(log) - life.source.resumed
        pending = max(life.router.merge.pending(partition) for partition in log)
        assert pending <= 5 + 40, "bounded by the limit and one poll"
    assert paused


@pytest.mark.parametrize("seed", range(3))
def test_record_time_years_ahead_delays_no_other_partition(seed: int) -> None:
    log, right, wrong = make_input(seed, steps=150), Topic(), Topic()
    RouterLife(log, {}, right, np.random.default_rng(seed)).run()
    _, value = log["in", 1][10]
    log["in", 1][10] = (START + 3e8, value)
    RouterLife(log, {}, wrong, np.random.default_rng(seed)).run()
    late = [
        sum(int((each.outcomes == Outcome.LATE).sum()) for each in scored(pipeline_of(), topic))
        for topic in (right, wrong)
    ]
    assert late[1] <= late[0] + 1


def test_waiting_samples_of_a_revoked_partition_are_dropped() -> None:
    life = RouterLife(make_input(3), {}, Topic(), np.random.default_rng(3))
    life.turns(5)
    gone = max(life.source.log, key=life.router.merge.pending)
    assert life.router.merge.pending(gone)
    life.source.pending_changes.append(AssignmentChanges(revoked=frozenset([gone])))
    life.source.resumed.discard(gone)
    life.turns(1)
    assert not life.router.merge.pending(gone)
    assert gone not in life.router.merge.positions()


def test_partition_that_delivers_nothing_is_waited_for_only_for_a_while() -> None:
    log = make_input(4)
    life = RouterLife(log, {}, Topic(), np.random.default_rng(4))
    life.turns(1)
    stuck = ("in", 0)
    life.source.resumed.discard(stuck)
    life.turns(20)
    routed = life.metrics.samples.routed._value.get()
    life.turns(10)
    assert life.metrics.samples.routed._value.get() == routed, "it waits"
    life.clock.advance(600.0)
    life.turns(3)
    assert life.metrics.samples.routed._value.get() == routed, "a frozen router did not listen"
    life.turns(20)
    assert life.metrics.samples.routed._value.get() > routed


def test_idle_series_are_forgotten() -> None:
    log, topic = make_input(5, streams=30), Topic()
    life = RouterLife(log, {}, topic, np.random.default_rng(5), max_series=10)
    life.run()
    assert len(life.router.lanes.series) <= 10
    ours, theirs = pipeline_of(), pipeline_of()
    scored(ours, topic)
    undisturbed(theirs, log)
    assert states(ours) == states(theirs)


def test_g12_every_message_of_a_long_turn_counts_as_progress() -> None:
    """Waiting for a slow broker a hundred times in a turn is not a hang."""
    log, topic, rng = make_input(0), Topic(), np.random.default_rng(0)
    life = RouterLife(log, {}, topic, rng, interval_seconds=1e9)
    heard: set[int] = set()
    life.router.outlets.progress = lambda: heard.add(len(life.sink.sent))
    life.turns(4)
    assert len(life.sink.sent) > 1
    assert heard >= set(range(1, len(life.sink.sent) + 1))
