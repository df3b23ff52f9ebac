"""G16: no sample is silently lost: consumed = scored + late + duplicate + warmup + discarded + dead-lettered."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.records import RawBatch
from detector.testing import ListSource
from tests.guarantees.accounting import total
from tests.worker.test_worker import PARTITION, START, Rig

samples = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c_total"]),
        "timestamp": st.sampled_from([START + 60 * step for step in range(6)] + [-5, 1e18, "never"]),
        "value": st.sampled_from([1.0, 1e29, 1e31, 1e400, None, "NaN", "3.5"]),
    }
)
records = (
    samples.map(lambda sample: (1, json.dumps(sample).encode()))
    | st.lists(samples, min_size=1, max_size=5).map(lambda many: (len(many), json.dumps(many).encode()))
    | st.binary(max_size=12).map(lambda junk: (1, junk))
    | st.just((1, None))
)


@settings(deadline=None, max_examples=60)
@given(polls=st.lists(st.lists(records, min_size=1, max_size=12), max_size=6))
def test_g16_every_sample_is_accounted_for_at_every_checkpoint(polls: list[list[tuple[int, bytes | None]]]) -> None:
    batches, first = [], 0
    for poll in polls:
        count, values = len(poll), [value for _, value in poll]
        offsets = np.arange(first, first + count)
        batches.append([RawBatch(*PARTITION, offsets, np.full(count, START + 1e6), values, [None] * count)])
        first += count
    rig = Rig(ListSource(batches, frozenset({PARTITION})), interval=1.0)
    while not rig.source.exhausted:
        rig.worker.turn()
        rig.clock.advance(2.0)
    rig.worker.run()
    assert rig.source.committed == ({PARTITION: first} if first else {})
    # A decoded record counts as its samples, an undecodable one as one.
    least, most = sum(len(poll) for poll in polls), sum(size for poll in polls for size, _ in poll)
    assert least <= total(rig.metrics.samples.consumed) <= most
