"""Which columns of a long table tell its series apart: N rows in the file's order, C columns of text.

A table is long if rows of several series follow each other, as in `time,host,value`. Then times repeat or go back from
row to row, and do not within a series.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detector.records import Float64, Int64

EXPLAINED = 0.1
"""Columns tell series apart if at most this share of the rows out of order still are within the series."""
SPARE = 0.01
"""A column is not needed if without it no more than this share of all rows is out of order in addition."""


def telling_columns(times: Float64, codes: Sequence[Int64], named: Sequence[bool]) -> list[int]:
    """Positions in `codes`, [C] columns of [N] numbers, equal for equal texts, of the columns that tell series apart.

    Empty if the rows are one series. `named` says which columns are called what series are usually told apart by; they
    decide where order does not, as with hosts that report at times of their own. A column that is the same throughout
    each series counts as well, one that is the same throughout the table does not.

    >>> times, hosts, states = np.array([0.0, 0.0, 60.0, 60.0]), np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    >>> telling_columns(times, [hosts, states], [False, False]), telling_columns(times[::2], [hosts[::2]], [True])
    ([0], [])
    """
    varying = [at for at, code in enumerate(codes) if len(code) and (code != code[0]).any()]
    least = _explaining(times, codes, varying, named) or [at for at in varying if named[at]]
    if not least:
        return []
    groups = numbered(codes, least, len(times))
    count = int(groups.max()) + 1
    return [at for at in varying if at in least or int(_together(groups, codes[at]).max()) + 1 == count]


def _out_of_order(times: Float64, groups: Int64) -> int:
    """Rows that repeat a time of their group, plus rows that go back in it; forward, if most go back."""
    by_time = np.lexsort((times, groups))
    same = (np.diff(times[by_time]) == 0.0) & (np.diff(groups[by_time]) == 0)
    backward, forward = _steps(times, groups)
    return int(same.sum()) + min(backward, forward)


def newest_first(times: Float64, groups: Int64) -> bool:
    """Whether rows go back in time from row to row within their groups, but for a few.

    >>> newest_first(np.array([9.0, 9.0, 5.0, 5.0]), np.array([0, 1, 0, 1]))
    True
    """
    backward, forward = _steps(times, groups)
    return backward > 0 and forward <= EXPLAINED * backward


def numbered(codes: Sequence[Int64], columns: Sequence[int], rows: int) -> Int64:
    """[N] number of each row's combination of texts in `columns`; 0 without columns."""
    groups = np.zeros(rows, np.int64)
    for at in columns:
        groups = _together(groups, codes[at])
    return groups


def _steps(times: Float64, groups: Int64) -> tuple[int, int]:
    order = np.argsort(groups, kind="stable")
    step = np.diff(times[order])[np.diff(groups[order]) == 0]
    return int((step < 0).sum()), int((step > 0).sum())


def _explaining(times: Float64, codes: Sequence[Int64], columns: Sequence[int], named: Sequence[bool]) -> list[int]:
    """The fewest columns within whose groups the rows are in order; empty if they are without any, or with none."""
    everything, left = (_out_of_order(times, numbered(codes, some, len(times))) for some in ([], columns))
    if not everything or left > EXPLAINED * everything:
        return []
    chosen = list(columns)
    # The column with most texts first: a number of the row tells all rows apart, and no series.
    for at in sorted(columns, key=lambda at: -int(codes[at].max())):
        fewer = [other for other in chosen if other != at]
        spare = 0.0 if named[at] else SPARE * len(times)
        if fewer and _out_of_order(times, numbered(codes, fewer, len(times))) <= left + spare:
            chosen = fewer
    return chosen


def _together(groups: Int64, code: Int64) -> Int64:
    found: Int64 = np.unique(groups * (int(code.max()) + 1) + code, return_inverse=True)[1]
    return found
