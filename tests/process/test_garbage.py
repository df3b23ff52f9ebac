"""What lives long is put aside, and nothing that is garbage by then."""

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
    """Other tests find the collector as they left it."""
    before = gc.get_freeze_count()
    yield
    if not before:
        gc.unfreeze()


class Node:
    """Part of a cycle."""

    def __init__(self) -> None:
        self.itself = self


def is_looked_at(key: SeriesKey) -> bool:
    """Whether a full pass of the collector comes by."""
    return any(found is key for found in gc.get_objects())


def test_names_of_streams_are_put_aside_once_there_are_many() -> None:
    key, long_lived = SeriesKey.of("cpu", {"host": "a"}), LongLived()
    long_lived.grown(STEP_STREAMS - 1)
    assert is_looked_at(key)
    long_lived.grown(STEP_STREAMS)
    assert not is_looked_at(key)


def test_streams_that_come_after_others_went_count_again() -> None:
    long_lived = LongLived()
    long_lived.grown(STEP_STREAMS)
    long_lived.grown(0)
    key = SeriesKey.of("cpu", {"host": "b"})
    long_lived.grown(STEP_STREAMS)
    assert not is_looked_at(key)


def test_garbage_is_not_put_aside() -> None:
    node = Node()
    gone = weakref.ref(node)
    del node
    LongLived().grown(STEP_STREAMS)
    assert gone() is None


def test_what_was_put_aside_and_has_ended_is_taken_back() -> None:
    ended = [Node()]
    gone = weakref.ref(ended[0])
    LongLived().grown(STEP_STREAMS)
    release(ended)
    assert not ended
    assert gone() is None


def test_a_worker_puts_the_names_of_its_streams_aside() -> None:
    def record(stream: int) -> bytes:
        return json.dumps({"name": f"s{stream}", "timestamp": START, "value": 1.0}).encode()

    log = {("metrics", number): [record(stream) for stream in range(300)] for number in range(STEP_STREAMS // 300 + 1)}
    life = Life(World(log))
    life.worker.run()
    assert not is_looked_at(life.pipeline.table.key(0))
