"""Files that may be compressed with gzip, recognised by their first bytes whatever their name."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detector.errors import SourceError

SUFFIX = ".gz"
_MAGIC = b"\x1f\x8b"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive, as spreadsheets are too: unpack it, or export CSV",
    b"PAR1": "a Parquet file: export CSV",
    b"BZh": "compressed with bzip2: unpack it; only gzip is read",
    b"\xfd7zXZ": "compressed with xz: unpack it; only gzip is read",
    b"(\xb5/\xfd": "compressed with zstd: unpack it; only gzip is read",
}
"""First bytes of files that hold no lines, and what they are."""
_SIZE_BYTES = 4
"""A gzip file ends with the size of its content, modulo 4 GiB."""


def opened(path: Path) -> io.BufferedReader:
    """The file's content, from its beginning. Raises SourceError."""
    with readable(path):
        handle = path.open("rb")
        begins = handle.peek(max(map(len, _FOREIGN)))
        if not begins.startswith(_MAGIC):
            if what := next((what for magic, what in _FOREIGN.items() if begins.startswith(magic)), None):
                handle.close()
                raise SourceError(f"{path}: is {what}")
            return handle
        handle.close()
        return io.BufferedReader(gzip.open(path, "rb"))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn errors while the file is read into a SourceError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise SourceError(f"{path}: is a damaged or truncated gzip file: {exc}") from exc
    except OSError as exc:
        raise SourceError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def size_bytes(path: Path) -> int:
    """Size of the content, for a progress bar."""
    with readable(path), path.open("rb") as handle:
        if handle.read(len(_MAGIC)) != _MAGIC:
            return path.stat().st_size
        handle.seek(-_SIZE_BYTES, io.SEEK_END)
        return int.from_bytes(handle.read(), "little")
