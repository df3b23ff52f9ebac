"""The garbage collector skips long-lived objects, and only those."""

import gc
import json
import weakref
from collections.abc import Iterator

import pytest

from detector.process.garbage import STEP_STREAMS, LongLived, release
from detector.series import SeriesKey
from tests.recovery.rig import START, Life, World


@pytest.fixture(autouse=True)
def nothing_put_aside() -> Iterator[None]:
    """Restores the collector after each test."""
    before = gc.get_freeze_count()
    yield
    if not before:
        gc.unfreeze()


class Node:
    """Part of a cycle."""

    def __init__(self) -> None:
        self.itself = self


def is_looked_at(key: SeriesKey) -> bool:
    """Whether a full collection visits it."""
    return any(found is key for found in gc.get_objects())


def test_stream_names_are_frozen_once_there_are_many() -> None:
    key, long_lived = SeriesKey.of("cpu", {"host": "a"}), LongLived()
    long_lived.grown(STEP_STREAMS - 1, STEP_STREAMS - 1)
    assert is_looked_at(key)
    long_lived.grown(STEP_STREAMS, STEP_STREAMS)
    assert not is_looked_at(key)


def test_new_streams_count_again_after_others_were_dropped() -> None:
    long_lived = LongLived()
    long_lived.grown(STEP_STREAMS, STEP_STREAMS)
    long_lived.grown(0, 0)
    key = SeriesKey.of("cpu", {"host": "b"})
    long_lived.grown(STEP_STREAMS, STEP_STREAMS)
    assert not is_looked_at(key)


def test_garbage_is_not_frozen() -> None:
    node = Node()
    gone = weakref.ref(node)
    del node
    LongLived().grown(STEP_STREAMS, STEP_STREAMS)
    assert gone() is None


@pytest.mark.parametrize("streams", [STEP_STREAMS, 4 * STEP_STREAMS])
def test_what_was_in_use_when_names_were_frozen_is_collected_once_as_many_are_new(streams: int) -> None:
    node, long_lived = Node(), LongLived()
    gone = weakref.ref(node)
    long_lived.grown(streams, streams)
    del node
    for ever in range(streams, 2 * streams, STEP_STREAMS):
        long_lived.grown(streams, ever)
        assert gone() is not None, "a full pass each time costs as much as there are names"
    long_lived.grown(streams, 2 * streams)
    assert gone() is None


def test_frozen_objects_that_ended_are_collected() -> None:
    ended = [Node()]
    gone = weakref.ref(ended[0])
    LongLived().grown(STEP_STREAMS, STEP_STREAMS)
    release(ended)
    assert not ended
    assert gone() is None


def test_worker_freezes_the_names_of_its_streams() -> None:
    def record(stream: int) -> bytes:
        return json.dumps({"name": f"s{stream}", "timestamp": START, "value": 1.0}).encode()

    log = {("metrics", number): [record(stream) for stream in range(300)] for number in range(STEP_STREAMS // 300 + 1)}
    life = Life(World(log))
    life.worker.run()
    assert not is_looked_at(life.pipeline.table.key(0))
