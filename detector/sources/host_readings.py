"""What the operating system says of itself at one moment, through psutil."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import psutil

UNREADABLE = (OSError, psutil.Error, NotImplementedError)
"""What psutil raises for a part of the machine that a container or a sandbox hides."""
MOST_CPUS = 8
"""Machines with more are described by their sum."""
MOST_DEVICES = 2
"""Disks, network interfaces and file systems that are described one by one: the busiest since boot."""

_CPU_MODES = ("user", "system", "idle", "iowait", "softirq", "steal")
_MEMORY_PARTS = ("used", "free", "cached", "buffers")


class Reading(NamedTuple):
    """One number of one moment."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    is_running: bool = False
    """A running total, of which the rate per second is wanted."""


Group = Callable[[], Iterator[Reading]]


def groups() -> list[Group]:
    """Functions that each read one part of the machine; the devices they describe are chosen now."""
    disks: list[str] = []
    nics: list[str] = []
    mounts: list[str] = []
    with suppress(*UNREADABLE):
        disks = _busiest(
            {name: io.read_bytes + io.write_bytes for name, io in psutil.disk_io_counters(perdisk=True).items()}
        )
    with suppress(*UNREADABLE):
        nics = _busiest(
            {name: io.bytes_sent + io.bytes_recv for name, io in psutil.net_io_counters(pernic=True).items()}
        )
    with suppress(*UNREADABLE):
        mounts = [part.mountpoint for part in psutil.disk_partitions(all=False)][:MOST_DEVICES]
    return [
        _cpu,
        _memory,
        _load,
        _kernel,
        lambda: _disks(disks),
        lambda: _networks(nics),
        lambda: _file_systems(mounts),
    ]


def _busiest(work: dict[str, int]) -> list[str]:
    return sorted((name for name in work if work[name]), key=lambda name: -work[name])[:MOST_DEVICES]


def _cpu() -> Iterator[Reading]:
    each = psutil.cpu_times(percpu=True)
    cpus = {str(number): times for number, times in enumerate(each)}
    if len(each) > MOST_CPUS:
        cpus = {"all": psutil.cpu_times()}
    for cpu, times in cpus.items():
        for mode in _CPU_MODES:
            if hasattr(times, mode):
                seconds = getattr(times, mode) / (len(each) if cpu == "all" else 1)
                yield Reading("host_cpu_utilization_ratio", (("cpu", cpu), ("mode", mode)), seconds, is_running=True)


def _memory() -> Iterator[Reading]:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    for part in _MEMORY_PARTS:
        if hasattr(memory, part):
            yield Reading("host_memory_bytes", (("state", part),), getattr(memory, part))
    yield Reading("host_memory_utilization_ratio", (), 1.0 - memory.available / max(1, memory.total))
    yield Reading("host_swap_used_bytes", (), swap.used)
    yield Reading("host_swap_in_bytes_per_second", (), swap.sin, is_running=True)
    yield Reading("host_swap_out_bytes_per_second", (), swap.sout, is_running=True)


def _load() -> Iterator[Reading]:
    for minutes, load in zip(("1m", "5m", "15m"), psutil.getloadavg(), strict=True):
        yield Reading("host_load_average", (("window", minutes),), load)
    yield Reading("host_processes", (), len(psutil.pids()))


def _kernel() -> Iterator[Reading]:
    stats = psutil.cpu_stats()
    yield Reading("host_context_switches_per_second", (), stats.ctx_switches, is_running=True)
    yield Reading("host_interrupts_per_second", (), stats.interrupts, is_running=True)


def _disks(names: list[str]) -> Iterator[Reading]:
    counters = psutil.disk_io_counters(perdisk=True)
    for name in names:
        if name in counters:
            io, device = counters[name], ("device", name)
            for way, count, size in (("read", io.read_count, io.read_bytes), ("write", io.write_count, io.write_bytes)):
                labels = (device, ("direction", way))
                yield Reading("host_disk_bytes_per_second", labels, size, is_running=True)
                yield Reading("host_disk_operations_per_second", labels, count, is_running=True)
            busy_ms = getattr(io, "busy_time", None)
            if busy_ms is not None:
                yield Reading("host_disk_utilization_ratio", (device,), busy_ms / 1e3, is_running=True)


def _networks(names: list[str]) -> Iterator[Reading]:
    counters = psutil.net_io_counters(pernic=True)
    for name in names:
        if name in counters:
            io, device = counters[name], ("device", name)
            ways = (
                ("receive", io.bytes_recv, io.packets_recv, io.errin, io.dropin),
                ("transmit", io.bytes_sent, io.packets_sent, io.errout, io.dropout),
            )
            for way, size, packets, errors, drops in ways:
                labels = (device, ("direction", way))
                yield Reading("host_network_bytes_per_second", labels, size, is_running=True)
                yield Reading("host_network_packets_per_second", labels, packets, is_running=True)
                yield Reading("host_network_errors_per_second", labels, errors, is_running=True)
                yield Reading("host_network_drops_per_second", labels, drops, is_running=True)


def _file_systems(mounts: list[str]) -> Iterator[Reading]:
    for mount in mounts:
        usage = psutil.disk_usage(mount)
        yield Reading("host_filesystem_utilization_ratio", (("mountpoint", mount),), usage.percent / 100.0)
