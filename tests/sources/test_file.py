"""Files as sources: names, line numbers, interleaving, following."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import SourceError
from detector.records import Partition
from detector.sources.file import FileSource
from detector.sources.lines import CHUNK_BYTES, MAX_LINE_BYTES, FileTape, Lines
from detector.testing import ManualClock

Line = tuple[str, int, bytes | None]


class Chunks:
    """A tape that holds these chunks and may get more."""

    def __init__(self, *chunks: bytes) -> None:
        self.left = list(chunks)

    def read(self) -> bytes | None:
        return self.left.pop(0) if self.left else None

    def wait(self, seconds: float) -> bool:
        return False

    def remaining_bytes(self) -> int:
        return sum(map(len, self.left))

    def close(self) -> None:
        self.left.clear()


def source(*paths: object, **options: Any) -> FileSource:
    made = FileSource([str(path) for path in paths], ManualClock(), suffixes=(".csv",), **options)
    made.resume(made.changes().assigned)
    return made


def lines(polled: FileSource) -> list[Line]:
    return [
        (batch.topic, int(offset), value)
        for batch in polled.poll(0.1)
        for offset, value in zip(batch.offsets, batch.values, strict=True)
    ]


def everything(polled: FileSource) -> list[Line]:
    found = []
    while not polled.exhausted:
        found += lines(polled)
    return found


def test_folder_is_walked_in_order_and_lines_are_numbered_from_1(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.csv").write_bytes(b"timestamp,value\n\n1,2\r\n3,4")
    (tmp_path / "a.CSV").write_bytes(b"5,6\n")
    (tmp_path / "readme.txt").write_bytes(b"no\n")
    files = source(tmp_path)
    assert everything(files) == [
        ("a", 1, b"5,6"),
        ("b/one", 1, b"timestamp,value"),
        ("b/one", 3, b"1,2\r"),
        ("b/one", 4, b"3,4"),
    ]
    files.close(1.0)
    assert files.lag() == {}


def test_files_advance_together(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.csv").write_bytes(b"".join(b"%d,0\n" % n for n in range(10)))
    files = source(tmp_path, lines_per_poll=6)
    assert [batch.topic for batch in files.poll(0)] == ["a", "b", "c"]
    assert [batch.offsets.tolist() for batch in files.poll(0)] == [[3, 4]] * 3
    assert sum(files.lag().values()) == pytest.approx(18, abs=3)
    assert files.progress == (48, 120)


def test_more_files_than_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.sources.file.OPEN_FILES", 3)
    for number in range(10):
        (tmp_path / f"{number}.csv").write_bytes(b"1,1\n2,2\n" if number % 2 else b"")
    assert len(everything(source(tmp_path))) == 10


def test_files_are_closed_when_they_end_and_with_the_source(tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_bytes(b"1,1\n")
    (tmp_path / "long.csv").write_bytes(b"1,1\n2,2\n3,3\n")

    def opened() -> set[str]:
        return {path.name for path in map(Path.resolve, Path("/proc/self/fd").iterdir()) if path.parent == tmp_path}

    files = source(tmp_path, lines_per_poll=2)
    files.poll(0)
    files.poll(0)
    assert opened() == {"long.csv"}
    files.close(1.0)
    assert opened() == set()


def test_no_more_of_a_file_is_read_than_is_taken() -> None:
    """A file may be larger than memory."""
    tape = Chunks(b"1\n2\n3\n", b"4\n5\n6\n", b"7\n8\n9\n")
    read = Lines(tape)
    assert read.take(2) == ([1, 2], [b"1", b"2"])
    assert len(tape.left) == 2


def test_skipping_ends_where_a_followed_file_ends_for_now() -> None:
    read = Lines(Chunks(b"1\n2\n"))
    read.skip_to(10)
    assert (read.next_number, read.ended) == (3, False)


def test_nothing_is_read_before_resume(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,1\n2,2\n")
    files = FileSource([str(tmp_path)], ManualClock(), suffixes=(".csv",), lines_per_poll=1)
    assert files.poll(1.0) == []
    assigned = files.changes().assigned
    assert assigned == {("a", 0)}
    assert files.changes().assigned == frozenset()
    files.resume(assigned)
    assert everything(files) == [("a", 1, b"1,1"), ("a", 2, b"2,2")]


@pytest.mark.parametrize("start", [0, 1, 2, 5, 9, 10, 99])
@pytest.mark.parametrize("read_before", [0, 1, 2, 5])
def test_seek_goes_to_a_line(tmp_path: Path, start: int, read_before: int) -> None:
    (tmp_path / "a.csv").write_bytes(b"".join(b"%d,0\n" % n for n in range(1, 11)))
    files = source(tmp_path, lines_per_poll=3)
    for _ in range(read_before):
        files.poll(0)
    files.seek(("a", 0), start)
    assert [offset for _, offset, _ in everything(files)] == list(range(max(1, start), 11))


def test_invalid_inputs_are_reported_at_once(tmp_path: Path) -> None:
    for folder in ("x", "y", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "x" / "a.csv").touch()
    (tmp_path / "y" / "a.csv").touch()
    with pytest.raises(SourceError) as caught:
        source(tmp_path / "gone.csv", tmp_path / "empty", tmp_path / "x", tmp_path / "y")
    assert "gone.csv: no such file" in str(caught.value)
    assert "empty: holds no .csv file" in str(caught.value)
    assert "would both be called a" in str(caught.value)


def test_file_that_vanishes_before_it_is_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    files = source(tmp_path)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceError, match=r"a\.csv: cannot be read: No such file"):
        files.poll(0)


def test_followed_file_missing_when_it_is_opened_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old\n")
    files = source(path, follow=True)
    os.replace(path, tmp_path / "a.csv.1")
    assert lines(files) == []
    files.seek(("a", 0), 1)
    assert files.lag() == {("a", 0): 0}
    assert not files.exhausted
    path.write_bytes(b"new\n")
    assert lines(files) == [("a", 1, b"new")]
    files.close(1.0)


def test_followed_file_may_grow_rotate_and_be_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"one\ntw")
    files = source(path, follow=True)
    assert lines(files) == [("a", 1, b"one")]
    assert lines(files) == []
    with path.open("ab") as handle:
        handle.write(b"o\nthree\n")
    assert lines(files) == [("a", 2, b"two"), ("a", 3, b"three")]
    os.replace(path, tmp_path / "a.csv.1")
    with (tmp_path / "a.csv.1").open("ab") as handle:
        handle.write(b"late\n")
    assert lines(files) == [("a", 4, b"late")]
    path.write_bytes(b"new\n")
    assert lines(files) == [("a", 5, b"new")]
    path.write_bytes(b"x\n")
    assert lines(files) == [("a", 6, b"x")]
    assert not files.exhausted
    files.close(1.0)


@pytest.mark.parametrize("how", ["rotated", "cut"])
def test_unfinished_line_of_a_rotated_file_is_not_joined_to_the_next_file(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"one\nunfinished business")
    files = source(path, follow=True)
    assert lines(files) == [("a", 1, b"one")]
    if how == "rotated":
        os.replace(path, tmp_path / "a.csv.1")
    path.write_bytes(b"new\n")
    assert lines(files) == [("a", 2, b"unfinished business"), ("a", 3, b"new")]
    files.close(1.0)


def test_endless_line_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a" * (3 * MAX_LINE_BYTES) + b"\n1,1\n" + b"b" * (2 * MAX_LINE_BYTES))
    found = everything(source(tmp_path))
    assert [(number, len(line or b"")) for _, number, line in found] == [
        (1, MAX_LINE_BYTES + 1),
        (2, 3),
        (3, MAX_LINE_BYTES + 1),
    ]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    readable, writable = os.pipe()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(os.fdopen(readable, "rb", closefd=False)))
    files = source("-")
    files.seek(("stdin", 0), 1)
    assert lines(files) == []
    os.write(writable, b"one\ntwo")
    assert lines(files) == [("stdin", 1, b"one")]
    os.close(writable)
    assert everything(files) == [("stdin", 2, b"two")]
    with pytest.raises(SourceError, match="earlier line"):
        files.seek(("stdin", 0), 1)
    files.close(1.0)
    os.close(readable)


def test_g5_unassigned_partitions_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,1\n")
    files = source(tmp_path)
    other: Partition = ("elsewhere", 0)
    files.resume(frozenset({other}))
    files.commit({other: 5})
    assert files.skipped() == []
    assert len(everything(files)) == 1


@given(
    st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")), max_size=30),
    st.booleans(),
    st.integers(1, 7),
)
def test_lines_equal_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: list[bytes], newline: bool, limit: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(b"\n".join(content) + (b"\n" if newline else b""))
    reader = Lines(FileTape(path, follow=False))
    found: list[tuple[int, bytes]] = []
    while not reader.ended:
        numbers, values = reader.take(limit)
        found += zip(numbers, values, strict=True)
    reader.tape.close()
    assert found == [(number, line) for number, line in enumerate(content, 1) if line not in (b"", b"\r")]


def test_lines_across_chunks(tmp_path: Path) -> None:
    content = [b"%d," % number + b"x" * (number % 70) for number in range(CHUNK_BYTES // 8)]
    (tmp_path / "a.csv").write_bytes(b"\n".join(content))
    assert [line for _, _, line in everything(source(tmp_path, lines_per_poll=1_000))] == content
