"""The contract of `StateStore` for every kind: flushed is durable, partitions and groups are separate, deletions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detector.config.schema import Kafka
from detector.protocols import StateReader, StateStore
from detector.records import Partition
from detector.state.manifest import block_name, manifest_name
from detector.state.steps import complete
from detector.testing import MemoryStore
from tests.kafka.endpoint import Endpoint

Make = Callable[[], StateStore]
TOPIC = "metrics"
A, B = (TOPIC, 0), (TOPIC, 1)


@pytest.fixture(params=["memory", "directory", pytest.param("kafka", marks=pytest.mark.integration)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Creates stores one after the other over the same storage."""
    stores: list[StateStore] = []
    maker = _maker(request, tmp_path)

    def one() -> StateStore:
        stores.append(maker())
        return stores[-1]

    yield one
    for store in stores:
        store.close(2.0)


def _maker(request: pytest.FixtureRequest, folder: Path) -> Make:
    if request.param == "memory":
        durable: dict[Partition, dict[str, bytes]] = {}
        return lambda: MemoryStore(durable)
    if request.param == "directory":
        from detector.state.directory import DirectoryStore

        return lambda: DirectoryStore(folder, "group")
    from detector.state.kafka import KafkaStore

    kafka = request.getfixturevalue("kafka")
    metrics = kafka.create_topic(partitions=2)
    topic = kafka.create_topic(partitions=2, cleanup_policy="compact")
    return lambda: KafkaStore(_connection(kafka), topic, [metrics], "group", timeout_seconds=30)


@pytest.fixture(params=["directory", pytest.param("kafka", marks=pytest.mark.integration)])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[StateStore, StateReader]]:
    """A store, and a reader of the same storage."""
    if request.param == "directory":
        from detector.state.directory import DirectoryReader, DirectoryStore

        store: StateStore = DirectoryStore(tmp_path, "group")
        reader: StateReader = DirectoryReader(tmp_path, "group")
    else:
        from detector.state.kafka import KafkaStore
        from detector.state.kafka_read import KafkaReader

        kafka = request.getfixturevalue("kafka")
        topic = kafka.create_topic(partitions=2, cleanup_policy="compact")
        store = KafkaStore(_connection(kafka), topic, [], "group", timeout_seconds=30)
        reader = KafkaReader(_connection(kafka), topic, "group", timeout_seconds=30)
    yield store, reader
    store.close(2.0)
    reader.close(2.0)


def _connection(kafka: Endpoint) -> Kafka:
    return Kafka(bootstrap_servers=[kafka.bootstrap], request_timeout_seconds=30)


def test_flushed_blobs_are_read_by_the_next_process(make: Make) -> None:
    blobs = {block_name(7, number, "w"): os.urandom(500_000 * number + 1) for number in range(5)} | {
        manifest_name(7, "w"): b"m"
    }
    store = make()
    for name, blob in blobs.items():
        store.write(A, name, blob)
    store.flush(600.0)
    assert store.in_flight == 0
    assert dict(complete(store.opening(A))) == blobs
    assert dict(complete(make().opening(A))) == blobs


def test_read_in_steps_can_be_abandoned(make: Make) -> None:
    store, name = make(), manifest_name(1, "w")
    store.write(A, name, b"m")
    store.flush(600.0)
    given_up = store.opening(A)
    next(given_up)
    given_up.close()
    assert dict(complete(store.opening(A))) == {name: b"m"}


def test_partitions_are_separate(make: Make) -> None:
    store = make()
    store.write(A, manifest_name(1, "w"), b"a")
    store.write(B, manifest_name(1, "w"), b"b")
    store.flush(600.0)
    assert dict(complete(store.opening(A))) == {manifest_name(1, "w"): b"a"}
    assert dict(complete(store.opening(B))) == {manifest_name(1, "w"): b"b"}
    assert dict(complete(store.opening((TOPIC + "-other", 0)))) == {}


def test_deletion_is_idempotent(make: Make) -> None:
    store = make()
    large = block_name(1, 0, "w")
    for name in (manifest_name(1, "w"), manifest_name(2, "w"), large):
        store.write(A, name, b"a" * (1 << 21 if name == large else 1))
    store.flush(600.0)
    for _ in range(2):
        store.delete(A, [manifest_name(1, "w"), large])
        store.flush(600.0)
    assert dict(complete(make().opening(A))) == {manifest_name(2, "w"): b"a"}


def test_g10_blobs_deleted_by_another_worker_are_forgotten(make: Make) -> None:
    ours, theirs = make(), make()
    for offset in range(20):
        theirs.write(A, manifest_name(offset, "w"), b"a")
        theirs.delete(A, [manifest_name(offset - 1, "w")])
        theirs.flush(600.0)
        assert dict(complete(ours.opening(A))) == {manifest_name(offset, "w"): b"a"}
    assert sum(len(kept) for kept in vars(ours).values() if isinstance(kept, dict)) <= 1


def test_deleting_many_blobs_does_not_block_and_is_not_in_flight(make: Make) -> None:
    store, names = make(), [block_name(1, number, "w") for number in range(500)]
    for name in names:
        store.write(A, name, b"a")
    store.flush(600.0)
    store.delete(A, names)
    assert store.in_flight == 0
    store.flush(600.0)
    assert dict(complete(make().opening(A))) == {}


def test_large_blob_of_another_worker_can_be_deleted(make: Make) -> None:
    one, large = make(), block_name(1, 0, "w")
    one.write(A, large, b"a" * (1 << 21))
    one.flush(600.0)
    two = make()
    assert set(complete(two.opening(A))) == {large}
    two.delete(A, [large])
    two.flush(600.0)
    assert dict(complete(make().opening(A))) == {}


def test_two_workers_may_share_the_storage(make: Make) -> None:
    one, two = make(), make()
    one.write(A, manifest_name(1, "one"), b"a")
    two.write(A, manifest_name(1, "two"), b"b")
    one.flush(600.0)
    two.flush(600.0)
    assert set(complete(make().opening(A))) == {manifest_name(1, "one"), manifest_name(1, "two")}


def test_close_is_idempotent_and_an_empty_flush_returns(make: Make) -> None:
    store = make()
    store.flush(1.0)
    store.close(1.0)
    store.close(1.0)


def test_reader_lists_blobs_with_the_time_of_their_write(pair: tuple[StateStore, StateReader]) -> None:
    store, reader = pair
    assert list(reader.partitions()) == []
    large = os.urandom(1_500_000)
    store.write(B, block_name(1, 0, "w"), large)
    store.write(A, manifest_name(1, "w"), b"a")
    store.flush(600.0)
    found = {stored.partition: dict(stored.blobs) for stored in reader.partitions()}
    assert found == {A: {manifest_name(1, "w"): b"a"}, B: {block_name(1, 0, "w"): large}}
    assert list(reader.open(A).written_at) == [manifest_name(1, "w")]
    assert abs(reader.open(A).written_at[manifest_name(1, "w")] - time.time()) < 60.0
    assert dict(reader.open((TOPIC + "-other", 0)).blobs) == {}
    assert dict(reader.open((TOPIC, 7)).blobs) == {}
    store.delete(A, [manifest_name(1, "w")])
    store.flush(600.0)
    assert dict(reader.open(A).blobs) == {}
