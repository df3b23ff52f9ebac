"""Which of its stored snapshots a partition continues from, also where they were made under other settings."""

from __future__ import annotations

from collections.abc import Mapping

from structlog.typing import FilteringBoundLogger

from detector.columns import Field
from detector.errors import StateForeign
from detector.records import Partition, partition_name
from detector.state.block import Fingerprint
from detector.state.history import Complain, Restored, newest
from detector.state.rewarm import emptied
from detector.state.steps import Steps


def resumable(
    blobs: Mapping[str, bytes],
    partition: Partition,
    fields: tuple[Field, ...],
    fingerprint: Fingerprint,
    on_foreign: str,
    complain: Complain,
    log: FilteringBoundLogger,
) -> Steps[Restored | None]:
    """The newest intact snapshot, or None if there are no snapshots; one step per blob.

    `on_foreign` says what happens to one whose fingerprint differs: refuse, rewarm (forget all but open alerts; resume
    at the same offset) or adopt (keep all, if the model is the same). `complain` is called for each damaged one.

    Raises StateDamaged if there are snapshots but none is intact, StateForeign, StateNewer.
    """
    try:
        return (yield from newest(blobs, partition, fields, fingerprint, complain))
    except StateForeign as exc:
        foreign = exc
    where = partition_name(partition)
    log.warning("stored state is foreign", partition=where, difference=str(foreign), on_foreign=on_foreign)
    try:
        if on_foreign == "adopt":
            return (yield from newest(blobs, partition, fields, {"model": fingerprint["model"]}, complain))
        if on_foreign == "rewarm":
            return (yield from emptied(blobs, partition, fields, complain))
    except StateForeign as exc:
        foreign = exc
    raise StateForeign(
        f"{where}: the stored state does not fit this process: {foreign}. Set state.on_foreign to rewarm (streams "
        "start over at the same offset) or, if the model is the same, to adopt (they keep it), or remove the state"
    ) from foreign
