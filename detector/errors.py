"""Every error that the daemon raises on purpose.

    DetectorError
    ├── ConfigError            the configuration is wrong; lists all findings
    ├── SourceError            records cannot be read, or brokers refuse what a sink, the state topic or a command asks
    │   ├── BrokerUnreachable  no broker answers (retriable)
    │   ├── TopicMissing       a topic does not exist and is not created for you
    │   ├── TopicUnfit         a topic exists but is not what it must be
    │   ├── AccessDenied       authentication or authorisation failed
    │   ├── OffsetLost         the position is not in the log and the policy is to stop
    │   │   ├── TopicRecreated the topic was deleted and created again: the position is from another log
    │   │   └── LogTruncated   records before the position are gone from the log, and others are in their place
    │   ├── PartitionsChanged  a topic got more partitions and the policy is to stop
    │   ├── PartitionStalled   a partition has records but delivers none (retriable for a while)
    │   ├── CommitRefused      the group is being rebalanced; commit again later (retriable)
    │   ├── MemberFenced       another process uses this member's group_instance_id
    │   └── CodecMissing       a topic is compressed with a codec that is not installed
    ├── LabelError             labels do not fit their series; lists all findings
    ├── DecodeError            a record's bytes are not what its decoder reads
    ├── SchemaUnavailable      a schema needed for decoding cannot be fetched (retriable)
    ├── Interrupted            a wait was ended because the process was asked to stop
    ├── DeliveryError          a sink did not acknowledge a message in time (retriable)
    ├── ModelError             weights are missing, foreign or damaged
    └── StateError             the state of streams cannot be stored or restored
        ├── StateMissing       nothing is stored under what was asked for
        ├── StateOccupied      there is already state where some should be written
        ├── StateUnavailable   the store cannot be read or written, or did not acknowledge in time
        ├── StateDamaged       a partition has snapshots, but none is complete
        ├── StateForeign       a snapshot was made by another model, or on another kind of machine
        └── StateNewer         a snapshot was written by a newer version

`reason` is a short word from a bounded set, used as a metric label; the message says what failed, where, and how to fix
it. `retriable` says whether trying the same call again can help.
"""

from __future__ import annotations


class DetectorError(Exception):
    """Root of the tree."""

    reason = "error"
    retriable = False

    def __init__(self, message: str, *, retriable: bool | None = None) -> None:
        """`retriable` is given where it depends on more than the class."""
        super().__init__(message)
        if retriable is not None:
            self.retriable = retriable


class _Findings(DetectorError):
    """Something that a person wrote is wrong. `findings` lists every mistake, one readable line each."""

    def __init__(self, where: str, findings: list[str]) -> None:
        self.where = where
        self.findings = findings
        count = len(findings)
        super().__init__(f"{where}: {count} error{'s' if count != 1 else ''}\n" + "\n".join(f"  {f}" for f in findings))


class ConfigError(_Findings):
    """The configuration is wrong."""

    reason = "config"


class LabelError(_Findings):
    """Labels cannot be read, or do not fit their series."""

    reason = "labels"


class SourceError(DetectorError):
    """Records cannot be read, or brokers refuse what a sink, the state topic or a command asks of them."""

    reason = "source"


class BrokerUnreachable(SourceError):
    """No broker answers at the configured address."""

    reason = "broker_unreachable"
    retriable = True


class TopicMissing(SourceError):
    """A configured topic does not exist."""

    reason = "topic_missing"


class TopicUnfit(SourceError):
    """A topic exists, but the daemon could not work with it as it is."""

    reason = "topic_unfit"


class AccessDenied(SourceError):
    """A broker refused the credentials or an operation."""

    reason = "access_denied"


class OffsetLost(SourceError):
    """The position to read from is not, or no longer, in the log."""

    reason = "offset_lost"


class TopicRecreated(OffsetLost):
    """The topic was deleted and created again: the position is from another log."""

    reason = "topic_recreated"


class LogTruncated(OffsetLost):
    """The log was cut below the position; records that nobody has read may since have been written there."""

    reason = "log_truncated"


class PartitionsChanged(SourceError):
    """A topic known to the group got more partitions, so keyed producers have moved streams between partitions."""

    reason = "partitions_changed"


class PartitionStalled(SourceError):
    """A partition's log has more records, but none are delivered."""

    reason = "partition_stalled"


class CommitRefused(SourceError):
    """The group is being rebalanced, so no offsets can be committed; for partitions that stay, retry later."""

    reason = "commit_refused"
    retriable = True


class MemberFenced(SourceError):
    """Another member has joined with the same `group_instance_id`; this process must stop."""

    reason = "member_fenced"


class CodecMissing(SourceError):
    """A compression codec used by a topic is not installed."""

    reason = "codec_missing"


class DecodeError(DetectorError):
    """A record's bytes are not what its decoder reads."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class SchemaUnavailable(DetectorError):
    """A schema needed to decode records cannot be fetched, which says nothing about the records."""

    reason = "schema_unavailable"
    retriable = True


class Interrupted(DetectorError):
    """A wait was ended because the process was asked to stop; its work is left to whoever reads on."""

    reason = "interrupted"


class DeliveryError(DetectorError):
    """A sink did not acknowledge what it was given."""

    reason = "delivery"
    retriable = True

    def __init__(self, message: str, *, retriable: bool | None = None, retry_after_seconds: float = 0.0) -> None:
        """A receiver that refused it may ask us to wait for `retry_after_seconds`."""
        super().__init__(message, retriable=retriable)
        self.retry_after_seconds = retry_after_seconds


class ModelError(DetectorError):
    """Weights are missing, foreign or damaged."""

    reason = "model"


class StateError(DetectorError):
    """The state of streams cannot be stored or restored."""

    reason = "state"


class StateMissing(StateError):
    """Nothing is stored under what was asked for."""

    reason = "state_missing"


class StateOccupied(StateError):
    """There is already state where some should be written."""

    reason = "state_occupied"


class StateUnavailable(StateError):
    """The store cannot be read or written, or did not acknowledge in time."""

    reason = "state_unavailable"


class StateDamaged(StateError):
    """Bytes of a snapshot are missing, or differ from what was written."""

    reason = "state_damaged"


class StateForeign(StateError):
    """A snapshot is complete, but from another model, another layout, or another kind of arithmetic."""

    reason = "state_foreign"


class StateNewer(StateError):
    """A snapshot was written by a newer version of this program."""

    reason = "state_newer"
