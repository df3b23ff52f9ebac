"""State columns."""

from __future__ import annotations

import numpy as np
import pytest

from detector.columns import put


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
@pytest.mark.parametrize("width", [1, 3, 32, 51])
def test_put_equals_numpy_assignment(dtype: str, width: int) -> None:
    rng = np.random.default_rng(0)
    column, rows = rng.integers(-9, 9, (200, width)).astype(dtype), rng.permutation(200)[:70]
    values = rng.integers(-9, 9, (width, 70)).astype(dtype).T
    expected = column.copy()
    expected[rows] = values
    put(column, rows, values)
    np.testing.assert_array_equal(column, expected)
