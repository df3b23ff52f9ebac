"""What a replay did, in numbers and in a line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from detector.records import Outcome


@dataclass(slots=True)
class Summary:
    """What a replay did."""

    files: int = 0
    rows: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """What became of the rows that could be read."""
    alerts: int = 0
    malformed_rows: int = 0

    @property
    def scored(self) -> int:
        """Rows with a score."""
        return self.outcomes[Outcome.SCORED]

    def line(self) -> str:
        """One line: `1 file, 1000 rows (880 scored, 120 warmup), 2 alerts`."""
        counts = [(f"{outcome.name.lower()}", self.outcomes[outcome]) for outcome in Outcome]
        counts.append(("malformed", self.malformed_rows))
        shares = ", ".join(f"{count} {word}" for word, count in counts if count or word == "scored")
        return f"{plural(self.files, 'file')}, {plural(self.rows, 'row')} ({shares}), {plural(self.alerts, 'alert')}"


def plural(count: float, word: str) -> str:
    """A count with its word.

    >>> plural(1, "alert"), plural(2.5, "sample"), plural(1_000_000, "row")
    ('1 alert', '2.5 samples', '1000000 rows')
    """
    return f"{count:.10g} {word}{'' if count == 1 else 's'}"
