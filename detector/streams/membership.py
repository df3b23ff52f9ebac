"""Which streams belong together, by labels they share: a group is a separate row that its members point to.

The row makes a group as durable as a stream. It has no samples, is placed together with the first member, and goes with
the last one, so where rows lie does not depend on how the log was cut into batches. A group belongs to one partition:
members on two partitions form two groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detector.columns import Field, Rows
from detector.records import Int64
from detector.series import GROUP_LABEL, SeriesKey

NO_GROUP, IS_GROUP = -1, -2
GROUP = Field("stream.group", dtype="int32", initial=NO_GROUP)
"""Local number of a member's group; `NO_GROUP` for a stream without one, `IS_GROUP` in a group's own row."""


def group_key(key: SeriesKey, by: Sequence[str]) -> SeriesKey | None:
    """Key of the group of all streams with the same values of the labels `by`; None if the stream lacks one of them.

    >>> str(group_key(SeriesKey.of("cpu", {"host": "a", "core": "1"}), ["host"]))
    '{__group__="host",host="a"}'
    """
    labels = dict(key.labels)
    if not by or key.is_group or not all(label in labels for label in by):
        return None
    return SeriesKey(tuple(sorted([(GROUP_LABEL, ",".join(by)), *((label, labels[label]) for label in by)])))


class Membership:
    """The current members of every group of a partition."""

    def __init__(self, rows: Rows, groups: Int64) -> None:
        """`rows` are in the order of local numbers; `groups` is their column `stream.group`."""
        some = np.flatnonzero(groups >= 0)
        by_group = some[np.argsort(groups[some], kind="stable")]
        self._rows = rows[by_group]
        self._groups, self._starts, self._counts = np.unique(groups[by_group], return_index=True, return_counts=True)

    def of(self, groups_G: Int64) -> tuple[Rows, Int64]:
        """(rows of these groups' members, group after group; [G] where each group's members begin)."""
        if not len(self._groups):
            return self._rows, np.zeros(len(groups_G), dtype=np.int64)
        at_G = np.minimum(np.searchsorted(self._groups, groups_G), len(self._groups) - 1)
        counts_G = np.where(self._groups[at_G] == groups_G, self._counts[at_G], 0)
        starts_G = np.cumsum(counts_G) - counts_G
        places = np.arange(counts_G.sum()) - np.repeat(starts_G - self._starts[at_G], counts_G)
        return self._rows[places], starts_G
