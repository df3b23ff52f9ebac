"""Files that are written: each appears under its name when it is whole, and not at all where that fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from detector.errors import SourceError


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file beside `path`, with its folders, that takes its place at the end; where that fails, what is there stays.

    A pipe or a terminal is written to as it is. Raises SourceError; who writes to the file does so within `writing`.
    """
    replaced = not path.exists() or path.is_file()
    target = path.with_name(path.name + ".part") if replaced else path
    make_folder(path.parent)
    with writing(path):
        handle = target.open("wb")
    try:
        yield handle
        with writing(path):
            handle.close()
            if replaced:
                os.replace(target, path)
    finally:
        with suppress(OSError):  # what is left in its buffer finds no room either
            handle.close()
        if replaced:
            target.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """A folder that may be written to, with those above it. Raises SourceError."""
    with writing(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as exc:
            raise NotADirectoryError(errno.ENOTDIR, "there is a file in its place") from exc
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "this folder may not be written to")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes a SourceError that names the path of what goes wrong; that nobody reads on from a pipe is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise SourceError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
