"""A position that is lost: what happened to it, and where to continue if the policy allows it."""

from __future__ import annotations

from dataclasses import dataclass

from detector.errors import LogTruncated, OffsetLost, TopicRecreated
from detector.protocols import SkippedRange


@dataclass(frozen=True, slots=True)
class LostPosition:
    """`position` is not in the log of its partition, which holds [first, end)."""

    topic: str
    partition: int
    position: int
    first: int
    end: int

    def target(self, policy: str) -> int:
        """Where to continue: for `earliest`, at the oldest unread record. Raises OffsetLost for `stop`."""
        if policy == "stop":
            raise self.error()
        return self.oldest if policy == "earliest" else self.end

    def skipped(self, target: int) -> SkippedRange | None:
        """The range left out by continuing at `target`, if any."""
        if target <= self.unread:
            return None
        return SkippedRange(self.topic, self.partition, self.unread, target - 1, self.error().reason)

    @property
    def oldest(self) -> int:
        """The oldest record that exists and was not read, as far as is known."""
        return self.first

    @property
    def unread(self) -> int:
        """Where the unread offsets begin, whether or not their records still exist."""
        return self.position

    def error(self) -> OffsetLost:
        """What happened, and how to continue."""
        return OffsetLost(
            f"{self._where}: offset {self.position} is not in the log, which holds [{self.first}, {self.end}). "
            f"Records were deleted before they were read, or the topic was recreated. {_FIX}"
        )

    @property
    def _where(self) -> str:
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class PositionOfAnotherTopic(LostPosition):
    """The topic was deleted and recreated; nothing has been read from the new one."""

    @property
    def unread(self) -> int:
        return self.first

    def error(self) -> OffsetLost:
        return TopicRecreated(
            f"{self._where}: the topic was deleted and created again since offset {self.position} was read; its log "
            f"holds [{self.first}, {self.end}) now. {_FIX}"
        )


@dataclass(frozen=True, slots=True)
class PositionCutOff(LostPosition):
    """The log was truncated below the position; unread records may have replaced the old ones."""

    parted: int
    """Up to this offset, the log is the one that was read."""

    @property
    def oldest(self) -> int:
        return max(self.first, self.parted)

    @property
    def unread(self) -> int:
        return self.oldest

    def error(self) -> OffsetLost:
        return LogTruncated(
            f"{self._where}: records from offset {self.parted} on, read up to {self.position}, are gone from the log, "
            f"which holds [{self.first}, {self.end}): a broker lost them, or one that lagged behind became leader. "
            f"{_FIX}"
        )


_FIX = "To continue, set source.kafka.on_offset_lost to earliest or latest"
