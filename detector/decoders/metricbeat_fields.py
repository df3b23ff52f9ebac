"""What the fields of Metricbeat events are: values, labels, or neither.

Follows Metricbeat's reference of exported fields, by dotted path: what Elastic's schema has for host, container, cloud
and so on, and what modules tell their series apart by. A `*` in a pattern also matches dots.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from detector.decoders.general import number_of
from detector.decoders.identity import matching
from detector.errors import DecodeError

LABELS = (
    "agent.name",
    "cloud.account.id",
    "cloud.instance.id",
    "cloud.region",
    "container.id",
    "container.name",
    "event.dataset",
    "fields.*",
    "host.name",
    "labels.*",
    "orchestrator.cluster.name",
    "process.name",
    "process.pid",
    "service.address",
    "service.name",
    # of modules
    "aws.*.namespace",
    "aws.cloudwatch.dimensions.*",
    "aws.dimensions.*",
    "azure.dimensions.*",
    "azure.namespace",
    "azure.resource.group",
    "docker.network.interface",
    "gcp.labels.*",
    "haproxy.stat.service_name",
    "kafka.consumergroup.partition",
    "kafka.consumergroup.topic",
    "kubernetes.namespace",
    "kubernetes.resourcequota.resource",
    "kubernetes.resourcequota.type",
    "kubernetes.system.container",
    "mongodb.*.collection",
    "mongodb.*.db",
    "openmetrics.labels.*",
    "prometheus.labels.*",
    "rabbitmq.*.vhost",
    "sql.query",
    "system.filesystem.mount_point",
    "windows.perfmon.instance",
    "windows.perfmon.object",
)
"""In addition to fields called `name` or `id`."""
PASSED_OVER = (
    "@*",
    "agent.*",
    "client.*",
    "cloud.*",
    "container.*",
    "data_stream.*",
    "destination.*",
    "ecs.*",
    "error.*",
    "event.*",
    "file.*",
    "group.*",
    "host.*",
    "http.request.*",
    "http.response.*",
    "log.*",
    "metricset.*",
    "observer.*",
    "orchestrator.*",
    "organization.*",
    "process.*",
    "server.*",
    "service.*",
    "source.*",
    "trace.*",
    "url.*",
    "user.*",
    "user_agent.*",
    # of modules
    "docker.container.labels.*",
    "kafka.consumergroup.broker.*",
    "kafka.consumergroup.client.*",
    "kubernetes.*annotations.*",
    "kubernetes.*labels.*",
    "system.process.cgroup.*id",
)
"""Neither values nor labels, unless listed in LABELS or VALUES."""
VALUES = (
    "container.cpu.*",
    "container.disk.*",
    "container.memory.*",
    "container.network.*",
    "host.cpu.*",
    "host.disk.*",
    "host.network.*",
    "host.uptime",
    "process.cpu.*",
    "process.memory.*",
)
COUNTERS = (
    "apache.status.total_*",
    "docker.*.ticks",
    "docker.diskio.*.bytes",
    "docker.diskio.*.ops",
    "docker.diskio.*_time",
    "docker.memory.fail.count",
    "docker.network.inbound.*",
    "docker.network.outbound.*",
    "kafka.consumergroup.offset",
    "kafka.partition.offset.*",
    "kubernetes.*.cpu.usage.core.ns",
    "kubernetes.*.memory.majorpagefaults",
    "kubernetes.*.memory.pagefaults",
    "kubernetes.*.network.rx.*",
    "kubernetes.*.network.tx.*",
    "mongodb.status.network.*",
    "mongodb.status.ops.counters.*",
    "mysql.status.aborted.*",
    "mysql.status.bytes.*",
    "mysql.status.command.*",
    "mysql.status.connections",
    "mysql.status.handler.*",
    "mysql.status.queries",
    "mysql.status.questions",
    "nginx.stubstatus.accepts",
    "nginx.stubstatus.dropped",
    "nginx.stubstatus.handled",
    "nginx.stubstatus.requests",
    "openmetrics.*.counter",
    "postgresql.database.blocks.*",
    "postgresql.database.conflicts",
    "postgresql.database.deadlocks",
    "postgresql.database.rows.*",
    "postgresql.database.temporary.*",
    "postgresql.database.transactions.*",
    "prometheus.*.counter",
    "redis.info.cpu.used.*",
    "redis.info.stats.commands_processed",
    "redis.info.stats.connections.*",
    "redis.info.stats.keys.*",
    "redis.info.stats.keyspace.*",
    "redis.info.stats.net.*.bytes",
    "system.core.*.ticks",
    "system.cpu.*.ticks",
    "system.diskio.io.time",
    "system.diskio.read.*",
    "system.diskio.write.*",
    "system.memory.page_stats.*.pages",
    "system.memory.swap.in.pages",
    "system.memory.swap.out.pages",
    "system.network.in.*",
    "system.network.out.*",
    "system.process.cgroup.blkio.total.*",
    "system.process.cgroup.cpu.stats.*.ns",
    "system.process.cgroup.cpu.stats.*periods",
    "system.process.cgroup.cpuacct.*.ns",
    "system.process.cgroup.cpuacct.percpu.*",
    "system.process.cpu.*.ticks",
    "system.process.cpu.total.value",
)
"""Names of series that only grow."""

_CLOUDS = ("aws.", "azure.", "gcp.")
_IDENTIFIES = (".name", ".id")
_IDENTIFIES_FOR_A_WHILE = (".pid", ".ppid", ".pgid", ".oid", ".port", "_id", "_port")
_LONGEST_PATH = 512
_LARGEST = (1 << 63) - 1
_MOST_FIELDS = 65_536
_MOST_CHARACTERS = 1 << 24

Label = tuple[str, str | float]
"""(path, text or a number used as one)"""


class Role(Enum):
    """What a number in a field is; a text is a label or nothing."""

    VALUE = auto()
    LABEL = auto()
    NEITHER = auto()


class _Field:
    __slots__ = ("inner", "path", "role")

    def __init__(self, path: str, role: Role) -> None:
        self.path = path
        self.role = role
        self.inner: dict[str, _Field] = {}


class Fields:
    """The fields seen so far, as a tree, so that the role of each is determined once."""

    def __init__(self, labels: list[str], ignore: list[str]) -> None:
        self._asked, self._ignored = matching(labels), matching(ignore)
        self._labels, self._passed_over, self._values = map(matching, (LABELS, PASSED_OVER, VALUES))
        self._forget()

    def _forget(self) -> None:
        self._known: dict[str, _Field] = {}
        self._count = self._characters = 0

    def read(self, name: str, content: Any, labels: list[Label], values: list[tuple[str, float]]) -> None:
        """Add the labels and values in the field `name` of an event. Raises DecodeError, RecursionError."""
        if self._count > _MOST_FIELDS or self._characters > _MOST_CHARACTERS:  # ever new names
            self._forget()
        self._read({name: content}, self._known, "", labels, values)

    def _read(
        self,
        found: dict[str, Any],
        known: dict[str, _Field],
        above: str,
        labels: list[Label],
        values: list[tuple[str, float]],
    ) -> None:
        for name, content in found.items():
            field = known.get(name)
            if field is None:
                field = known[name] = self._field(above + name)
            kind = content.__class__
            if kind is dict:
                self._read(content, field.inner, field.path + ".", labels, values)
            elif kind is str:
                if field.role is Role.LABEL:
                    labels.append((field.path, content))
            elif kind is float or kind is int or kind is bool:
                if field.role is Role.VALUE:
                    values.append((field.path, _writable(content)))
                elif field.role is Role.LABEL:
                    labels.append((field.path, _writable(content)))

    def _field(self, path: str) -> _Field:
        if len(path) > _LONGEST_PATH:
            raise DecodeError("labels", f"a field's path has {len(path)} characters, more than {_LONGEST_PATH}")
        self._count += 1
        self._characters += len(path)
        return _Field(path, self.role(path))

    def role(self, path: str) -> Role:
        """What a number in the field is; the configuration comes first."""
        if self._ignored.fullmatch(path):
            return Role.NEITHER
        if self._asked.fullmatch(path) or self._labels.fullmatch(path):
            return Role.LABEL
        if self._passed_over.fullmatch(path) and not self._values.fullmatch(path):
            return Role.NEITHER
        if path.endswith(_IDENTIFIES_FOR_A_WHILE):
            return Role.NEITHER
        return Role.LABEL if path.endswith(_IDENTIFIES) else Role.VALUE

    def identity(self, labels: list[Label]) -> Mapping[str, str | float]:
        """The labels that identify a series.

        Of a name and an id side by side only the name counts, because it survives when the thing is recreated. Cloud
        fields count only in events of cloud modules: they may be missing when an agent starts, and its host has a name.
        """
        found = dict(labels)
        of_cloud = str(found.get("event.dataset", "")).startswith(_CLOUDS)

        def is_needed(path: str) -> bool:
            if self._asked.fullmatch(path):
                return True
            if path == "agent.name":
                return "host.name" not in found
            if path.startswith("cloud."):
                return of_cloud
            return not path.endswith(".id") or path.removesuffix(".id") + ".name" not in found

        return {path: value for path, value in found.items() if is_needed(path)}


def _writable(number: Any) -> float:
    """The number as JSON and numpy can hold it: an integer beyond 64 bits becomes the nearest float64."""
    is_large = number.__class__ is int and not -_LARGEST <= number <= _LARGEST
    return (number_of(number) or 0.0) if is_large else number
