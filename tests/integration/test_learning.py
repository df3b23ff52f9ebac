"""What learning asks of the Kafka source: a commit that is repeated finds out whether a partition is still ours."""

from __future__ import annotations

import pytest

from detector.errors import MemberFenced
from tests.integration.driving import MakeSource, drive, read
from tests.kafka.endpoint import Endpoint

pytestmark = pytest.mark.integration


def test_g4_a_commit_that_is_repeated_is_refused_to_a_worker_that_was_replaced(
    kafka: Endpoint, make_source: MakeSource
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"1", b"2"])
    first = make_source(topic, group_instance_id="one")
    read(first, 2)
    first.commit({(topic, 0): 2})
    kafka.produce(topic, [b"3"])
    read(first, 1)
    first.commit({(topic, 0): 2})  # still ours

    second = make_source(topic, group_instance_id="one")
    drive(second, lambda: bool(second._consumer.assignment()))
    with pytest.raises(MemberFenced):
        first.commit({(topic, 0): 2})
