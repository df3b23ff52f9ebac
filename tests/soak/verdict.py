"""The result of a run: a table, the same as JSON, and the list of violations."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.soak.faults import MEANING
from tests.soak.oracle import Comparison


@dataclass
class Verdict:
    """The result of the run with this commit, seed and minutes."""

    commit: str
    seed: int
    fault_seconds: float
    streams: int
    partitions: int
    faults: dict[str, int] = field(default_factory=dict)
    """Kind -> how many happened."""
    daemons: int = 0
    starts: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    """How processes ended -> how many."""
    records: int = 0
    samples: dict[str, int] = field(default_factory=dict)
    """Outcome -> samples, by the oracle."""
    groups: dict[str, Comparison] = field(default_factory=dict)
    longest_standstill_seconds: dict[str, float] = field(default_factory=dict)
    """Group -> longest time in which a partition with something to read had no commit."""
    catch_up_seconds: float = 0.0
    """From the last fault's end until everything was committed."""
    most_resident_bytes: int = 0
    connections: int = 0
    problems: list[str] = field(default_factory=list)
    """Beside those of the groups."""

    @property
    def findings(self) -> list[str]:
        """Violations; empty when the run passed."""
        groups = [f"{name}: {problem}" for name, group in self.groups.items() for problem in group.problems]
        return [*self.problems, *groups]

    def json(self) -> str:
        return json.dumps({**asdict(self), "findings": self.findings}, indent=2)

    def markdown(self) -> str:
        lines = [
            f"Commit `{self.commit}`, seed {self.seed}, {self.fault_seconds / 60:.1f} minutes of faults, 3 brokers.",
            f"{self.daemons} daemons, {self.partitions} partitions, {self.streams} streams.",
            "",
            *_table(["fault", "times"], [[MEANING[kind], count] for kind, count in self.faults.items()]),
            "",
            *_table(["", *self.groups], self._rows()),
            "",
            *_table(["of the run", ""], self._run_rows()),
        ]
        if self.findings:
            lines += ["", f"{len(self.findings)} findings:", "", *(f"- {finding}" for finding in self.findings[:50])]
        return "\n".join(lines) + "\n"

    def _rows(self) -> list[list[Any]]:
        groups = self.groups.values()
        return [
            ["alerts", *(group.alerts for group in groups)],
            ["alerts that the webhook got", *(group.posted for group in groups)],
            ["alerts and dead letters lost, on either way", *(len(group.lost) for group in groups)],
            ["alerts and dead letters invented, on either way", *(len(group.invented) for group in groups)],
            ["alerts delivered again to the topic, same id and bytes", *(group.alerts_twice for group in groups)],
            ["alerts posted again, same id and bytes", *(group.posted_twice for group in groups)],
            ["streams whose alerts were posted out of order", *(len(group.disordered) for group in groups)],
            ["the same id with other bytes", *(len(group.other_bytes) for group in groups)],
            ["dead letters", *(group.dead_letters for group in groups)],
            ["dead letters delivered again", *(group.dead_letters_twice for group in groups)],
            ["differences in state, offsets, watermarks", *(len(group.state) for group in groups)],
            [
                "longest time without a commit",
                *(f"{self.longest_standstill_seconds[name]:.0f} s" for name in self.groups),
            ],
        ]

    def _run_rows(self) -> list[list[Any]]:
        samples = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.samples.items()))
        return [
            ["records read", f"{self.records:,}"],
            ["samples by outcome", samples],
            ["daemons started", self.starts],
            *([f"ended {how}", count] for how, count in sorted(self.ends.items())),
            ["connections through the proxy", f"{self.connections:,}"],
            ["everything committed after the last fault", f"{self.catch_up_seconds:.0f} s"],
            ["most resident memory of a daemon", f"{self.most_resident_bytes / 2**20:.0f} MiB"],
            ["findings", len(self.findings)],
        ]


def _table(head: list[str], rows: list[list[Any]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "| " + " | ".join(["---"] * len(head)) + " |",
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
    ]
