"""Which streams belong together, by labels they share: a group is a row of its own, and its members point to it.

The row makes a group durable like any stream. It is placed when its first member is, so that where rows lie does not
depend on how the log was cut into batches; it has no samples, and goes with its last member. A group is a
partition's own: members on two partitions make two groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detector.columns import Field, Rows
from detector.records import Int64
from detector.series import GROUP_LABEL, SeriesKey

NO_GROUP, IS_GROUP = -1, -2
GROUP = Field("stream.group", dtype="int32", initial=NO_GROUP)
"""Of a member the group's row, by the partition's own numbers."""


def group_key(key: SeriesKey, by: Sequence[str]) -> SeriesKey | None:
    """The group of the streams that have these labels' values; None for a stream that lacks one of them.

    >>> str(group_key(SeriesKey.of("cpu", {"host": "a", "core": "1"}), ["host"]))
    '{__group__="host",host="a"}'
    """
    labels = dict(key.labels)
    if not by or key.is_group or not all(label in labels for label in by):
        return None
    return SeriesKey(tuple(sorted([(GROUP_LABEL, ",".join(by)), *((label, labels[label]) for label in by)])))


class Membership:
    """The members of every group of a partition, as they are now."""

    def __init__(self, rows: Rows, groups: Int64) -> None:
        """`rows` in the order of the partition's own numbers, `groups` the column `stream.group` of them."""
        some = np.flatnonzero(groups >= 0)
        by_group = some[np.argsort(groups[some], kind="stable")]
        self._rows = rows[by_group]
        self._groups, self._starts, self._counts = np.unique(groups[by_group], return_index=True, return_counts=True)

    def of(self, groups_G: Int64) -> tuple[Rows, Int64]:
        """(members of these groups, one group after the other; [G] where each group's begin)."""
        if not len(self._groups):
            return self._rows, np.zeros(len(groups_G), dtype=np.int64)
        at_G = np.minimum(np.searchsorted(self._groups, groups_G), len(self._groups) - 1)
        counts_G = np.where(self._groups[at_G] == groups_G, self._counts[at_G], 0)
        starts_G = np.cumsum(counts_G) - counts_G
        places = np.arange(counts_G.sum()) - np.repeat(starts_G - self._starts[at_G], counts_G)
        return self._rows[places], starts_G
