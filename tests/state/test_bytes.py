"""S4, G13, G14: the bytes of a snapshot, and that no other bytes are accepted as one."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from detector.columns import BLOCK_ROWS, BlockState, Field
from detector.errors import StateDamaged, StateError, StateForeign, StateNewer
from detector.records import Lineage
from detector.series import SeriesKey
from detector.state.block import BlockHeader, Layout, decode_block, encode_block, layout
from detector.state.format import SCHEMA_VERSION, seal, unseal
from detector.state.manifest import (
    Manifest,
    Votes,
    block_name,
    decode_manifest,
    encode_manifest,
    is_name,
    manifest_offset,
)
from detector.state.weights import weights_name

GOLDEN = Path(__file__).parent / "golden"
PARTITION = ("metrics", 3)
FINGERPRINT = {"model": "m", "torch": "2"}
FIELDS = (
    Field("stream.latest", dtype="float64", initial=-np.inf),
    Field("wide", (3, 2), finite=True),
    Field("small", (), "uint8", 7),
    Field("count", (), "int32"),
)


def block_of(number: int = 2) -> BlockState:
    rng = np.random.default_rng(5)
    columns: dict[str, np.ndarray] = {
        "stream.latest": np.arange(BLOCK_ROWS, dtype=np.float64),
        "wide": rng.integers(-9, 9, (BLOCK_ROWS, 3, 2)).astype(np.float32),
        "small": rng.integers(0, 255, BLOCK_ROWS).astype(np.uint8),
        "count": rng.integers(-9, 9, BLOCK_ROWS).astype(np.int32),
    }
    columns["stream.latest"][9] = -np.inf
    keys: list[SeriesKey | None] = [None] * BLOCK_ROWS
    keys[0], keys[9], keys[255] = (
        SeriesKey.of("cpu", {"host": "a"}),
        SeriesKey.of("odd \ud800 \u2028", {"x": '"'}),
        SeriesKey(()),
    )
    return BlockState(number, columns, keys)


def encoded() -> bytes:
    return encode_block(block_of(), FIELDS, PARTITION, 41, FINGERPRINT, Lineage("t", 7))


def decoded(blob: bytes) -> BlockState:
    return decode_block(blob, FIELDS, PARTITION, 2, FINGERPRINT)


def manifest_of(**changes: object) -> Manifest:
    values = {
        "topic": "metrics", "partition": 3, "offset": 41, "watermark": 1.5, "fingerprint": FINGERPRINT,
        "blocks": [block_name(41, 0, "ab"), block_name(40, 1, "ab")],
    }  # fmt: skip
    return Manifest(**{**values, **changes})  # type: ignore[arg-type]


def newest_manifest(**changes: object) -> Manifest:
    votes = Votes(wait=5, refused=2, since=7.5, young=True)
    return manifest_of(
        **{"topic_id": "t", "leader_epoch": 7, "weights": [weights_name("ab" * 32)], "votes": votes} | changes
    )


def write_golden() -> None:
    """Write the golden snapshot of the present format, which must not exist yet."""
    folder = GOLDEN / f"format-{SCHEMA_VERSION}"
    folder.mkdir()
    (folder / "block").write_bytes(encoded())
    (folder / "manifest").write_bytes(encode_manifest(newest_manifest()))


def assert_same(one: BlockState, other: BlockState) -> None:
    assert (one.number, one.keys) == (other.number, other.keys)
    assert one.columns.keys() == other.columns.keys()
    for name, column in one.columns.items():
        assert column.dtype == other.columns[name].dtype
        assert column.tobytes() == other.columns[name].tobytes()


def test_block_and_manifest_survive_a_round_trip() -> None:
    assert_same(decoded(encoded()), block_of())
    assert decode_manifest(encode_manifest(manifest_of()), PARTITION) == manifest_of()
    header, body = unseal(encoded(), BlockHeader)
    assert (header.offset, header.leader_epoch, header.topic_id) == (41, 7, "t")
    assert load_tensors(bytes(body)).keys() == {field.name for field in FIELDS}


def test_columns_are_encoded_as_by_safetensors() -> None:
    _, body = unseal(encoded(), BlockHeader)
    assert bytes(body) == save_tensors(block_of().columns)


@pytest.mark.parametrize("change", [{"wide": np.zeros((BLOCK_ROWS, 3))}, {"more": np.zeros(BLOCK_ROWS)}])
def test_block_with_columns_other_than_its_fields_is_an_error(change: dict[str, np.ndarray]) -> None:
    block = BlockState(2, {**block_of().columns, **change}, block_of().keys)
    with pytest.raises(ValueError, match="columns of the block"):
        encode_block(block, FIELDS, PARTITION, 41, FINGERPRINT)


def test_g14_snapshots_of_every_release_can_be_read() -> None:
    formats = sorted(folder for folder in GOLDEN.iterdir() if folder.is_dir())
    assert [folder.name for folder in formats] == [f"format-{number + 1}" for number in range(SCHEMA_VERSION)]
    for folder in formats:
        assert_same(decoded((folder / "block").read_bytes()), block_of())
        votes = Votes(wait=0, refused=0, since=0.0, young=False)
        manifest = {
            "format-1": manifest_of(topic_id="", leader_epoch=-1, weights=[], votes=votes),
            "format-2": newest_manifest(votes=votes),
        }.get(folder.name, newest_manifest())
        assert decode_manifest((folder / "manifest").read_bytes(), PARTITION) == manifest


def test_g14_this_release_writes_its_golden_snapshot_byte_for_byte() -> None:
    folder = GOLDEN / f"format-{SCHEMA_VERSION}"
    assert (folder / "block").read_bytes() == encoded()
    assert (folder / "manifest").read_bytes() == encode_manifest(newest_manifest())


def test_g14_newer_format_is_refused_by_name() -> None:
    blob = bytearray(encoded())
    blob[8:12] = struct.pack("<I", SCHEMA_VERSION + 1)
    with pytest.raises(StateNewer):
        decoded(bytes(blob))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_g13_flipped_bits_and_truncation_are_detected(data: st.DataObject) -> None:
    blob = bytearray(encoded())
    if data.draw(st.booleans()):
        del blob[data.draw(st.integers(0, len(blob) - 1)) :]
    else:
        at = data.draw(st.integers(0, len(blob) - 1))
        blob[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((StateDamaged, StateNewer)):
        decoded(bytes(blob))


def resealed(header: bytes, body: bytes, version: int = 1) -> bytes:
    """A blob with this payload and a correct checksum."""
    lengths = struct.pack("<IIQ", version, len(header), len(body))
    crc = crc32c(body, crc32c(header, crc32c(lengths)))
    return b"DETSTATE" + lengths + struct.pack("<I", crc) + header + body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=300, deadline=None)
@given(header=st.binary() | JSON.map(lambda value: json.dumps(value).encode()), body=st.binary())
def test_s4_arbitrary_bytes_with_a_correct_checksum_raise_only_state_errors(header: bytes, body: bytes) -> None:
    for blob in (resealed(header, body), header):
        with pytest.raises(StateError):
            decoded(blob)
        with pytest.raises(StateError):
            decode_manifest(blob, PARTITION)


@settings(max_examples=300, deadline=None)
@given(tensors=JSON, data=st.binary(max_size=64), size=st.integers(0, 2**64 - 1) | st.none())
def test_s4_arbitrary_tensor_headers_are_refused_before_anything_is_allocated(
    tensors: object, data: bytes, size: int | None
) -> None:
    text = json.dumps(tensors).encode()
    body = struct.pack("<Q", len(text) if size is None else size) + text + data
    header, _ = unseal(encoded(), BlockHeader)
    with pytest.raises(StateDamaged):
        decoded(seal(header, body))


def with_columns(**changes: np.ndarray) -> bytes:
    header, _ = unseal(encoded(), BlockHeader)
    return seal(header, save_tensors({**block_of().columns, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"wide": np.zeros((BLOCK_ROWS, 3, 3), np.float32)},
        {"wide": np.zeros((BLOCK_ROWS, 3, 2), np.float64)},
        {"wide": np.zeros((BLOCK_ROWS + 1, 3, 2), np.float32)},
        {"extra": np.zeros(BLOCK_ROWS, np.float32)},
        {"wide": np.full((BLOCK_ROWS, 3, 2), np.nan, np.float32)},
        {"wide": np.full((BLOCK_ROWS, 3, 2), np.inf, np.float32)},
    ],
)
def test_s4_columns_of_wrong_shape_or_type_are_refused(changes: dict[str, np.ndarray]) -> None:
    with pytest.raises(StateDamaged):
        decoded(with_columns(**changes))


def test_s4_huge_tensor_is_refused_by_its_header() -> None:
    tensors = {
        field.name: {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]} for field in FIELDS
    }  # fmt: skip
    text = json.dumps(tensors).encode()
    header, _ = unseal(encoded(), BlockHeader)
    with pytest.raises(StateDamaged):
        decoded(seal(header, struct.pack("<Q", len(text)) + text))
    lengths = struct.pack("<IIQ", 1, 10, 2**63)
    with pytest.raises(StateDamaged):
        decoded(b"DETSTATE" + lengths + struct.pack("<I", crc32c(lengths)))
    with pytest.raises(StateDamaged):
        decoded(resealed(b"[" * 1_000_000, b""))


@pytest.mark.parametrize("place", [[10**6, 10**6 + 1024], [-1024, 0], [1024, 0], [0, 2048], [0, 2**63]])
def test_s4_columns_outside_the_data_are_refused(place: list[int]) -> None:
    header, body = unseal(encoded(), BlockHeader)
    (length,) = struct.unpack_from("<Q", body)
    tensors = json.loads(bytes(body[8 : 8 + length]))
    tensors["count"]["data_offsets"] = place
    text = json.dumps(tensors).encode()
    with pytest.raises(StateDamaged, match=r"count is outside|is not valid"):
        decoded(seal(header, struct.pack("<Q", len(text)) + text + bytes(body[8 + length :])))


def test_duplicate_and_missing_rows_and_streams_are_refused() -> None:
    header, body = unseal(encoded(), BlockHeader)
    wrong: list[list[tuple[int, list[tuple[str, str]]]]] = [
        [(256, [])],
        [(-1, [])],
        [(1, []), (1, [("a", "b")])],
        [(1, []), (2, [])],
    ]
    for keys in wrong:
        changed = BlockHeader(
            **{name: getattr(header, name) for name in BlockHeader.__struct_fields__} | {"keys": keys}
        )
        with pytest.raises(StateDamaged):
            decoded(seal(changed, bytes(body)))


def test_state_of_another_block_partition_or_origin_is_detected() -> None:
    blob = encoded()
    with pytest.raises(StateDamaged):
        decode_block(blob, FIELDS, PARTITION, 1, {})
    with pytest.raises(StateDamaged):
        decode_block(blob, FIELDS, ("metrics", 4), 2, {})
    with pytest.raises(StateForeign, match="torch: state has 2, this process has 3"):
        decode_block(blob, FIELDS, PARTITION, 2, {"torch": "3"})
    with pytest.raises(StateForeign, match="wide"):
        decode_block(blob, (*FIELDS[:1], Field("wide", (4,)), *FIELDS[2:]), PARTITION, 2, {})
    assert layout(FIELDS)[1] == Layout("wide", "float32", (3, 2))


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": ["../../etc/passwd"]},
        {"blocks": [block_name(1, 0, "a")] * 2},
        {"blocks": [block_name(1, 0, "a"), "../../etc/passwd"]},
        {"weights": [weights_name("ab" * 32), "../../etc/passwd"]},
        {"weights": [weights_name("ab" * 32)] * 2},
        {"weights": [block_name(1, 0, "a")]},
        {"votes": Votes(wait=-1)},
        {"votes": Votes(refused=-1)},
        {"offset": -1},
        {"topic": "other"},
        {"partition": 4},
    ],
)
def test_impossible_manifests_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(StateDamaged):
        decode_manifest(encode_manifest(manifest_of(**changes)), PARTITION)


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN"])
def test_event_time_that_is_no_time_is_refused(number: str) -> None:
    header = json.dumps(msgspec.to_builtins(manifest_of())).replace('"watermark": 1.5', f'"watermark": {number}')
    with pytest.raises(StateDamaged, match="watermark is not finite"):
        decode_manifest(resealed(header.encode(), b""), PARTITION)


def test_manifest_with_something_behind_it_is_refused() -> None:
    with pytest.raises(StateDamaged):
        decode_manifest(seal(manifest_of(), b"more"), PARTITION)


def test_blob_names_round_trip() -> None:
    assert is_name(block_name(2**62, 99_999, "0a"))
    assert manifest_offset(block_name(1, 2, "a")) is None
    assert not is_name("manifest-1-a")
