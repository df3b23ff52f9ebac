"""Which faults happen when: drawn from a seed, in seconds since the first."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

DECK = {
    "kill": 22,
    "terminate": 3,
    "freeze": 2,
    "replace": 1,
    "cut": 2,
    "stall": 2,
    "slow": 1,
    "clock": 2,
    "disk_full": 1,
    "disk_failing": 1,
    "broker_kill": 1,
    "broker_freeze": 1,
    "sink_refuses": 1,
    "hook_fails": 1,
    "hook_hangs": 1,
    "hook_dies": 1,
    "scale": 1,
}
"""Kind -> how often among the sum of them."""
MEANING = {
    "kill": "`kill -9` of a daemon",
    "terminate": "SIGTERM of a daemon, which is started again",
    "freeze": "SIGSTOP of a daemon for 2 to 12 s",
    "replace": "a daemon frozen, another started in its place, the first one woken up",
    "cut": "connections of a daemon to all brokers reset, new ones refused, for 1 to 8 s",
    "stall": "nothing passes between a daemon and the brokers for 2 to 15 s",
    "slow": "20 to 200 kB/s between a daemon and the brokers for 5 to 15 s",
    "clock": "a daemon's clock jumps by up to a day, forth or back, and returns after 5 to 30 s",
    "disk_full": "no space left for a daemon's state for 2 to 8 s",
    "disk_failing": "fsync fails for a daemon for 2 to 8 s",
    "broker_kill": "`kill -9` of a broker, started again after 2 to 10 s",
    "broker_freeze": "SIGSTOP of a broker for 2 to 12 s",
    "sink_refuses": "the alert topics refuse every record for 2 to 8 s",
    "hook_fails": "the webhook answers a group's alerts with 503 for 2 to 12 s",
    "hook_hangs": "the webhook does not answer a group for 2 to 12 s",
    "hook_dies": "nobody listens at a group's webhook for 2 to 20 s",
    "scale": "from the usual number of daemons to 1, to all, and back, within 20 to 40 s",
}
SECONDS = {
    "freeze": (2, 12),
    "replace": (8, 14),
    "cut": (1, 8),
    "stall": (2, 15),
    "slow": (5, 15),
    "clock": (5, 30),
    "disk_full": (2, 8),
    "disk_failing": (2, 8),
    "broker_kill": (2, 10),
    "broker_freeze": (2, 12),
    "sink_refuses": (2, 8),
    "hook_fails": (2, 12),
    "hook_hangs": (2, 12),
    "hook_dies": (2, 20),
    "scale": (20, 40),
}
JUMPS_SECONDS = (-86_400, -3_600, -30, 90, 1_800, 86_400)
BROKER_REST_SECONDS = 25.0
"""Between the end of one broker's fault and the next: until its copies have caught up."""
ONE_AT_A_TIME = {"broker_kill", "broker_freeze"}


@dataclass(frozen=True)
class Fault:
    """A fault with its start and duration."""

    at: float
    kind: str
    target: int
    """A daemon by number, or a broker."""
    seconds: float = 0.0
    amount: float = 0.0
    """How far the clock is ahead, how many bytes a second pass."""


def schedule(seed: int, seconds: float, mean_gap_seconds: float, daemons: int, brokers: int) -> list[Fault]:
    """Faults that begin and end within `seconds`; kinds come from one shuffled deck after the other.

    >>> schedule(1, 60, 2, 5, 3) == schedule(1, 60, 2, 5, 3)
    True
    """
    rng = random.Random(seed)
    faults: list[Fault] = []
    at, brokers_rest_until = 0.0, 0.0
    for kind in _kinds(rng):
        at += rng.uniform(0.2, 1.8) * mean_gap_seconds
        if at >= seconds:
            return faults
        first, last = SECONDS.get(kind, (0, 0))
        fault = Fault(
            at=round(at, 2),
            kind=kind,
            target=rng.randrange(brokers if kind in ONE_AT_A_TIME else daemons),
            seconds=round(rng.uniform(first, last), 2),
            amount=_amount(rng, kind),
        )
        if at + fault.seconds > seconds:
            continue
        if kind in ONE_AT_A_TIME:
            if at < brokers_rest_until:
                continue
            brokers_rest_until = at + fault.seconds + BROKER_REST_SECONDS
        faults.append(fault)
    raise AssertionError("unreachable")


def _amount(rng: random.Random, kind: str) -> float:
    if kind == "clock":
        return rng.choice(JUMPS_SECONDS)
    return round(rng.uniform(20e3, 200e3)) if kind == "slow" else 0.0


def _kinds(rng: random.Random) -> Iterator[str]:
    deck = [kind for kind, count in DECK.items() for _ in range(count)]
    while True:
        rng.shuffle(deck)
        yield from deck
