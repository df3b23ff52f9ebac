"""State of the real components survives a snapshot, whatever finite values the streams had."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detector.app import build_pipeline
from detector.config import Config
from detector.decoders import DECODERS
from detector.errors import StateForeign
from detector.models.fingerprint import fingerprint
from detector.models.forecaster import Forecaster
from detector.pipeline import Pipeline
from detector.records import RawBatch
from detector.series import SeriesKey
from detector.state.block import decode_block, encode_block
from tests.recovery.rig import Life, World, alerts, make_log, oracle

PARTITION = ("metrics", 0)


def pipeline_of(profile: str) -> Pipeline:
    return build_pipeline(Config.model_validate({"model": {"profile": profile}}))


@pytest.mark.parametrize("profile", ["full", "compact"])
def test_state_after_extreme_values_can_be_restored(profile: str) -> None:
    pipeline = pipeline_of(profile)
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


def test_compact_profile_takes_at_most_1024_bytes_a_stream() -> None:
    assert pipeline_of("compact").table.bytes_per_stream <= 1024


def test_state_of_the_other_profile_is_foreign_even_with_adopt() -> None:
    full, compact = pipeline_of("full"), pipeline_of("compact")
    full.table.series(PARTITION).intern(SeriesKey.of("cpu"))
    full.table.rows(PARTITION, np.zeros(1, dtype=np.int64), np.zeros(1))
    (number,) = full.table.cut(PARTITION)
    ours = fingerprint(full.model, "cpu", 1)
    blob = encode_block(full.table.take(PARTITION, number), full.table.fields, PARTITION, 1, ours)
    for fields in (compact.table.fields, full.table.fields):
        with pytest.raises(StateForeign):
            decode_block(blob, fields, PARTITION, number, {"model": compact.model})
    assert decode_block(blob, full.table.fields, PARTITION, number, {"model": full.model}).keys[0] is not None


@pytest.mark.parametrize("compact", [False, True])
def test_g1_restarts_with_the_real_network_are_bit_exact(compact: bool) -> None:
    log = make_log(2, streams=40, steps=40)
    state, expected = oracle(log, Forecaster(compact=compact))
    assert expected, "the log has alerts"
    world, rng = World(log), np.random.default_rng(2)
    for _ in range(6):
        life = Life(world, rng=rng, interval_seconds=2.0, forecaster=Forecaster(compact=compact))
        life.turns(3)
        life.die(rng)
    last = Life(world, rng=rng, forecaster=Forecaster(compact=compact))
    last.worker.run()
    assert last.state() == state
    assert alerts(world.delivered) == expected
