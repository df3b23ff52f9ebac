"""The real components' state survives its own snapshot, whatever finite values the stream held."""

from __future__ import annotations

import json

import numpy as np

from detector.app import build_pipeline
from detector.config import Config
from detector.decoders import DECODERS
from detector.models.fingerprint import fingerprint
from detector.models.forecaster import Forecaster
from detector.records import RawBatch
from detector.state.block import decode_block, encode_block
from tests.recovery.rig import Life, World, alerts, make_log, oracle

PARTITION = ("metrics", 0)


def test_extreme_values_leave_a_state_that_is_taken_back() -> None:
    pipeline = build_pipeline(Config())
    rng = np.random.default_rng(0)
    values = []
    for step in range(300):
        for stream in range(12):
            wild = (0.0, 1e30, -1e30, 1e-30, float(rng.normal()), 1e15 + step)[(stream + step // 40) % 6]
            values.append(json.dumps({"name": f"s{stream}", "timestamp": 1.7e9 + 60 * step, "value": wild}).encode())
    nan = np.full(len(values), np.nan)
    batch = RawBatch(*PARTITION, np.arange(len(values)), nan, list(values), [None] * len(values))
    decoder = DECODERS["json"](Config().decoder)
    pipeline.process(decoder.decode(batch, pipeline.table.series(PARTITION)), expire=True)
    ours = fingerprint(pipeline.model, "cpu", 1)
    (number,) = pipeline.table.cut(PARTITION)
    block = pipeline.table.take(PARTITION, number)
    blob = encode_block(block, pipeline.table.fields, PARTITION, len(values), ours)
    again = decode_block(blob, pipeline.table.fields, PARTITION, number, ours)
    assert {name: column.tobytes() for name, column in again.columns.items()} == {
        name: column.tobytes() for name, column in block.columns.items()
    }


def test_g1_restarts_with_the_real_network_are_bit_exact() -> None:
    log = make_log(2, streams=40, steps=40)
    state, expected = oracle(log, Forecaster())
    assert expected, "the log has alerts"
    world, rng = World(log), np.random.default_rng(2)
    for _ in range(6):
        life = Life(world, rng=rng, interval_seconds=2.0, forecaster=Forecaster())
        life.turns(3)
        life.die(rng)
    last = Life(world, rng=rng, forecaster=Forecaster())
    last.worker.run()
    assert last.state() == state
    assert alerts(world.delivered) == expected
