"""Lines of one file or of standard input, numbered from 1 as an editor shows them."""

from __future__ import annotations

import os
import select
import stat
import sys
from pathlib import Path
from typing import Protocol

from detector.errors import SourceError

CHUNK_BYTES = 65_536
MAX_LINE_BYTES = 1 << 20
"""A longer line is cut to one byte more than this, for the decoder to reject; the rest is not kept."""


class Tape(Protocol):
    """A sequence of bytes, read in order."""

    def read(self) -> bytes | None:
        """The next bytes; None if there are none at the moment, empty if there will never be any."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for bytes if the system can signal them; otherwise return False at once."""
        ...

    def remaining_bytes(self) -> int:
        """Bytes between the position and the end, as far as known."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


_AWAY = -1
"""Descriptor of a file that is not open."""


class FileTape:
    """A file; with `follow`, also what is appended to it, and the file that replaces it when logs are rotated.

    A followed file that is missing, as between the two steps of a rotation, is waited for. Raises SourceError.
    """

    def __init__(self, path: Path, follow: bool) -> None:
        self._path = path
        self._follow = follow
        self._fd = self._open()
        self._position = 0
        self._within_line = False
        """The last line read so far may be incomplete."""

    def read(self) -> bytes | None:
        if self._fd == _AWAY:
            self._fd = self._open()
            if self._fd == _AWAY:
                return None
        try:
            chunk = os.read(self._fd, CHUNK_BYTES)
            if not chunk and self._follow:
                return self._end_of_file()
        except OSError as exc:
            raise _unreadable(self._path, exc) from exc
        self._position += len(chunk)
        self._within_line = not chunk.endswith(b"\n")
        return chunk

    def wait(self, seconds: float) -> bool:
        return False

    def remaining_bytes(self) -> int:
        return 0 if self._fd == _AWAY else max(0, os.fstat(self._fd).st_size - self._position)

    def close(self) -> None:
        if self._fd != _AWAY:
            os.close(self._fd)
        self._fd = _AWAY

    def _open(self) -> int:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                os.close(fd)
                raise IsADirectoryError(21, "Is a directory")
        except OSError as exc:
            if self._follow and isinstance(exc, FileNotFoundError):
                return _AWAY
            raise _unreadable(self._path, exc) from exc
        return fd

    def _end_of_file(self) -> bytes | None:
        """Move on to the file that replaced this one, or to the start of this one if it was truncated.

        Both end a line that the old file left unfinished: its newline is returned. Otherwise None, to try again later.
        """
        if not self._has_next_file():
            return None
        unended, self._within_line, self._position = self._within_line, False, 0
        return b"\n" if unended else None

    def _has_next_file(self) -> bool:
        old = os.fstat(self._fd)
        try:
            new = os.stat(self._path)
        except FileNotFoundError:
            return False  # between the two steps of a rotation
        if (new.st_dev, new.st_ino) == (old.st_dev, old.st_ino):
            if was_cut := new.st_size < self._position:
                os.lseek(self._fd, 0, os.SEEK_SET)
            return was_cut
        if os.fstat(self._fd).st_size > self._position:
            return False  # the old file has grown since it was read
        self.close()
        self._fd = self._open()
        return True


class StdinTape:
    """Standard input, read as it arrives."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()

    def read(self) -> bytes | None:
        if not self.wait(0.0):
            return None
        try:
            return os.read(self._fd, CHUNK_BYTES)
        except OSError as exc:
            raise SourceError(f"standard input cannot be read: {exc.strerror}") from exc

    def wait(self, seconds: float) -> bool:
        return bool(select.select([self._fd], [], [], seconds)[0])

    def remaining_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Not ours to close."""


class Lines:
    """Complete lines of a tape. Once the tape has ended for good, the last line counts without a newline.

    When another file replaces one that is followed, the count continues: line numbers only grow.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.ended = False
        """True when every line has been taken."""
        self._lines: list[bytes] = []
        self._taken = 0
        self._number = 1
        self._carry = b""
        self._cut = False
        self._over = False

    @property
    def next_number(self) -> int:
        """Number of the line that `take` looks at next."""
        return self._number

    @property
    def waiting(self) -> int:
        """Lines read but not yet taken."""
        return len(self._lines) - self._taken

    def take(self, limit: int) -> tuple[list[int], list[bytes]]:
        """Numbers and bytes of the lines available now, among the next `limit`; empty lines are left out."""
        while self.waiting < limit and self._fill():
            pass
        lines = self._lines[self._taken : self._taken + limit]
        numbers = list(range(self._number, self._number + len(lines)))
        self._taken += len(lines)
        self._number += len(lines)
        if self._taken == len(self._lines):
            self._lines.clear()
            self._taken = 0
            self.ended = self._over
        if b"" in lines or b"\r" in lines:
            kept = [(number, line) for number, line in zip(numbers, lines, strict=True) if line not in (b"", b"\r")]
            return [number for number, _ in kept], [line for _, line in kept]
        return numbers, lines

    def skip_to(self, number: int) -> None:
        """Skip the lines before `number`, as far as available."""
        while self._number < number and not self.ended:
            before = self._number
            self.take(min(number - self._number, 4_096))
            if self._number == before:
                break

    def _fill(self) -> bool:
        """Read more; False if there is nothing to read now."""
        if self._over:
            return False
        chunk = self.tape.read()
        if chunk is None:
            return False
        if not chunk:
            self._over = True
            if self._carry:
                self._lines.append(self._carry)
                self._carry = b""
            return False
        parts = chunk.split(b"\n")
        if len(parts) > 1:
            first = self._carry if self._cut else self._carry + parts[0]
            self._lines.append(first[: MAX_LINE_BYTES + 1])
            self._lines += parts[1:-1]
            self._carry, self._cut = parts[-1], False
        elif not self._cut:
            self._carry += chunk
            self._cut = len(self._carry) > MAX_LINE_BYTES
            self._carry = self._carry[: MAX_LINE_BYTES + 1]
        return True


def _unreadable(path: Path, exc: OSError) -> SourceError:
    return SourceError(f"{path}: cannot be read: {exc.strerror or exc}")
