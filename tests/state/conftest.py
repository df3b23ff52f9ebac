"""State for tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.state.stocked import Stock, directory_config


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of state that tests do not change."""
    folder = tmp_path_factory.mktemp("state")
    Stock(directory_config(folder)).two_snapshots()
    return folder
