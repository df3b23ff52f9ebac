"""Pitfall 7 and G7: the decompressed size of a hostile batch is bounded, tested under a memory limit."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zlib

import lz4.frame
import pytest
import zstandard

from detector.sources.kafka.record_batch import GZIP, LZ4, SNAPPY, ZSTD

LIMIT_BYTES = 1 << 30
INFLATED_BYTES = 5 << 28
CHUNK = bytes(1 << 24)

VICTIM = """
import resource, sys
from types import SimpleNamespace
from kafka.record.memory_records import MemoryRecords
from kafka.structs import TopicPartition
from detector.sources.kafka.records import PartitionRows, Quarantine
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
quarantine = Quarantine()
rows = PartitionRows(0, TopicPartition("t", 0), MemoryRecords(data), quarantine=quarantine, check_crcs=False).take(100)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
(skipped,) = quarantine.ranges
print(skipped.first, skipped.last, skipped.reason, [value for _, _, _, value in rows], grown // 1024)
"""


def gzip_bomb() -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    packed = b"".join(packer.compress(CHUNK) for _ in range(INFLATED_BYTES // len(CHUNK)))
    return packed + packer.flush()


def snappy_bomb() -> bytes:
    """A block whose header claims more than a GiB; no such data follow."""
    size, digits = INFLATED_BYTES, bytearray()
    while size >= 0x80:
        digits.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(digits) + bytes([size]) + b"\x00a" * 100


def snappy_blocks_bomb() -> bytes:
    """Many valid blocks, each small enough."""
    import cramjam

    block = bytes(cramjam.snappy.compress_raw(bytes(16 << 20)))
    return b"\x82SNAPPY\x00" + bytes(8) + (len(block).to_bytes(4, "big") + block) * (INFLATED_BYTES >> 24)


def lz4_bomb() -> bytes:
    packer = lz4.frame.LZ4FrameCompressor()
    packed = packer.begin() + b"".join(packer.compress(CHUNK) for _ in range(INFLATED_BYTES // len(CHUNK)))
    return packed + packer.flush()


def zstd_bomb() -> bytes:
    packed = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(packed, closefd=False) as writer:
        for _ in range(INFLATED_BYTES // len(CHUNK)):
            writer.write(CHUNK)
    return packed.getvalue()


def batch(codec: int, payload: bytes, first_offset: int, records: int) -> bytes:
    """A record batch of message format 2 around a payload; its checksum is not checked."""
    body = (
        bytes(4)  # leader epoch
        + b"\x02"
        + bytes(4)  # checksum
        + codec.to_bytes(2, "big")
        + (records - 1).to_bytes(4, "big")
        + bytes(16)  # times
        + b"\xff" * 14  # no producer
        + records.to_bytes(4, "big")
        + payload
    )
    return first_offset.to_bytes(8, "big") + len(body).to_bytes(4, "big") + body


BOMBS = {
    "gzip": (GZIP, gzip_bomb),
    "snappy": (SNAPPY, snappy_bomb),
    "snappy-blocks": (SNAPPY, snappy_blocks_bomb),
    "lz4": (LZ4, lz4_bomb),
    "zstd": (ZSTD, zstd_bomb),
}


@pytest.mark.parametrize("name", BOMBS)
def test_g7_pitfall_7_decompression_bomb_is_skipped_under_a_memory_limit(name: str) -> None:
    codec, make = BOMBS[name]
    behind = gzip.compress(b"\x0e\x00\x00\x00\x01\x02b\x00")
    data = batch(codec, make(), 7, 3) + batch(GZIP, behind, 10, 1)
    assert len(data) < 200 << 20
    done = subprocess.run(
        [sys.executable, "-c", VICTIM.format(limit=LIMIT_BYTES)], input=data, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2_000:]
    *said, grown_mib = done.stdout.decode().splitlines()[-1].split()
    assert said == ["7", "9", "inflates_too_far", "[b'b']"], "quarantined as a range, and what lies behind is read"
    assert int(grown_mib) < 400
