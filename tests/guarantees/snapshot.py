"""A restart of a pipeline: its state goes through the bytes of a snapshot."""

from __future__ import annotations

from detector.pipeline import Pipeline
from detector.records import Partition
from detector.state.block import decode_block, encode_block


def restarted(before: Pipeline, after: Pipeline, partition: Partition) -> Pipeline:
    """`after`, an empty pipeline, with the state that `before` had of the partition."""
    table, fields = before.table, before.table.fields
    table.cut(partition)
    table.cancel_cut(partition, range(table.blocks_of(partition)))
    blobs = [encode_block(table.take(partition, n), fields, partition, 1, {}) for n in table.cut(partition)]
    blocks = [decode_block(blob, fields, partition, n, {}) for n, blob in enumerate(blobs)]
    after.table.restore(partition, table.event_time(partition), blocks)
    return after
