"""Every error that the daemon raises on purpose.

    DetectorError
    ├── ConfigError            the configuration is wrong; all findings at once
    ├── SourceError            records cannot be read
    │   ├── BrokerUnreachable  no broker answers (retriable)
    │   ├── TopicMissing       a topic does not exist and is not created for you
    │   ├── TopicUnfit         a topic exists and is not what it must be
    │   ├── AccessDenied       authentication or authorisation failed
    │   ├── OffsetLost         the position is outside the log and the policy says stop
    │   │   ├── TopicRecreated the topic was deleted and created again: the position is of another log
    │   │   └── LogTruncated   records before the position are not in the log any more, others are in their place
    │   ├── PartitionsChanged  a topic got more partitions and the policy says stop
    │   ├── PartitionStalled   a partition has records that do not come (retriable for a while)
    │   ├── CommitRefused      the group is being rebalanced; commit again later (retriable)
    │   ├── MemberFenced       another process uses this member's group_instance_id
    │   └── CodecMissing       a topic is compressed with a codec that is not installed
    ├── LabelError             labels do not fit the series they are for; all findings at once
    ├── DecodeError            a record's bytes are not what its decoder reads
    ├── SchemaUnavailable      what records are decoded with cannot be had (retriable)
    ├── Interrupted            a wait was ended because the process is asked to stop
    ├── DeliveryError          a sink did not acknowledge a message in time (retriable)
    ├── ModelError             weights are missing, foreign or damaged
    └── StateError             the state of streams cannot be stored or restored
        ├── StateMissing       nothing is stored of what was asked for
        ├── StateOccupied      there is state already where some is to be put
        ├── StateUnavailable   the store cannot be read or written, or did not acknowledge in time
        ├── StateDamaged       no snapshot of a partition is whole, although there are some
        ├── StateForeign       a snapshot was made by another model, or on another kind of machine
        └── StateNewer         a snapshot was written by a newer version

`reason` is a short, bounded word used as a metric label; the message says what, where and how to mend it.
`retriable` says whether trying the same call again can help.
"""

from __future__ import annotations


class DetectorError(Exception):
    """Root of the tree."""

    reason = "error"
    retriable = False


class _Findings(DetectorError):
    """Something that a person wrote is wrong. `findings` lists every fault, one readable line each."""

    def __init__(self, where: str, findings: list[str]) -> None:
        self.where = where
        self.findings = findings
        count = len(findings)
        super().__init__(f"{where}: {count} error{'s' if count != 1 else ''}\n" + "\n".join(f"  {f}" for f in findings))


class ConfigError(_Findings):
    """The configuration is wrong."""

    reason = "config"


class LabelError(_Findings):
    """Labels cannot be read, or do not fit the series they are for."""

    reason = "labels"


class SourceError(DetectorError):
    """Records cannot be read."""

    reason = "source"


class BrokerUnreachable(SourceError):
    """No broker answers at the configured address."""

    reason = "broker_unreachable"
    retriable = True


class TopicMissing(SourceError):
    """A configured topic does not exist."""

    reason = "topic_missing"


class TopicUnfit(SourceError):
    """A topic exists, and the daemon could not work with it as it is."""

    reason = "topic_unfit"


class AccessDenied(SourceError):
    """The broker refused the credentials or an operation."""

    reason = "access_denied"


class OffsetLost(SourceError):
    """The position to read from is not in the log (any more)."""

    reason = "offset_lost"


class TopicRecreated(OffsetLost):
    """The topic was deleted and created again: the position is of another log."""

    reason = "topic_recreated"


class LogTruncated(OffsetLost):
    """The log was cut below the position, which records that nobody read may have filled again."""

    reason = "log_truncated"


class PartitionsChanged(SourceError):
    """A topic that the group knows has got more partitions: keyed producers have moved streams between them."""

    reason = "partitions_changed"


class PartitionStalled(SourceError):
    """The log of a partition goes on, and nothing of it is delivered."""

    reason = "partition_stalled"


class CommitRefused(SourceError):
    """Offsets cannot be committed now, because the group is being rebalanced; what stays assigned can be later."""

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
    """A schema that is needed to decode records cannot be had, which says nothing about the records."""

    reason = "schema_unavailable"
    retriable = True


class Interrupted(DetectorError):
    """A wait was ended because the process is asked to stop; what it was for is left to whoever reads on."""

    reason = "interrupted"


class DeliveryError(DetectorError):
    """A sink did not acknowledge what it was given. `sink` names it, once somebody who knows the name has seen this."""

    reason = "delivery"
    retriable = True
    sink: str | None = None
    retry_after_seconds = 0.0
    """For so long, whoever refused it wants to be left alone."""


class ModelError(DetectorError):
    """Weights are missing, foreign or damaged."""

    reason = "model"


class StateError(DetectorError):
    """The state of streams cannot be stored or restored."""

    reason = "state"


class StateMissing(StateError):
    """Nothing is stored of what was asked for."""

    reason = "state_missing"


class StateOccupied(StateError):
    """There is state already where some is to be put."""

    reason = "state_occupied"


class StateUnavailable(StateError):
    """The store cannot be read or written, or did not acknowledge in time."""

    reason = "state_unavailable"


class StateDamaged(StateError):
    """Bytes of a snapshot are missing or not what was written."""

    reason = "state_damaged"


class StateForeign(StateError):
    """A snapshot is whole, but of another model, another layout, or another kind of arithmetic."""

    reason = "state_foreign"


class StateNewer(StateError):
    """A snapshot was written by a newer version of this program."""

    reason = "state_newer"
