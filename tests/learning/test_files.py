from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from detector.learning import files
from detector.learning.buffer import WIDTH

SHAPE = (7, 20_000, WIDTH)


@pytest.fixture(params=["with posix_fallocate", "without"])
def _platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.delattr(os, "posix_fallocate")


@pytest.mark.usefixtures("_platform")
def test_disk_space_is_reserved_for_the_whole_map(tmp_path: Path) -> None:
    space_STW = files.stretches(tmp_path, *SHAPE[:2], "w+")
    assert space_STW.shape == SHAPE
    kept = os.stat(tmp_path / "stretches")
    assert kept.st_size == 4 * np.prod(SHAPE)
    assert kept.st_blocks * 512 >= kept.st_size
    space_STW[:] = 3.0
    assert files.stretches(tmp_path, *SHAPE[:2]).sum() == 3.0 * np.prod(SHAPE)


@pytest.mark.usefixtures("_platform")
def test_full_disk_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "stretches").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"{os.strerror(errno.ENOSPC)}|{os.strerror(errno.ENODEV)}"):
        files.stretches(tmp_path, *SHAPE[:2], "w+")
