"""Output files: each appears under its name once it is complete, and not at all if that fails."""

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
    """Open a file next to `path`, and replace `path` with it at the end; if that fails, `path` stays as it is.

    Creates missing folders. A pipe or a terminal is written to directly. Raises SourceError; callers write to the file
    within `writing`.
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
        with suppress(OSError):  # the rest of its buffer cannot be written either
            handle.close()
        if replaced:
            target.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make sure that a folder exists and is writable; create missing parents. Raises SourceError."""
    with writing(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as exc:
            raise NotADirectoryError(errno.ENOTDIR, "there is a file in its place") from exc
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "this folder is not writable")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a SourceError that names the path. A pipe that its reader closed is left as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise SourceError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
