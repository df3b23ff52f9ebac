"""Events of some of Metricbeat's modules, written after its documentation, and what they mean."""

from __future__ import annotations

from typing import Any

COMMON: dict[str, Any] = {
    "@timestamp": "2023-11-14T22:13:20.853Z",
    "@metadata": {"beat": "metricbeat", "type": "_doc", "version": "8.15.0"},
    "agent": {
        "ephemeral_id": "0a1b2c3d-0000-4000-8000-000000000001",
        "id": "0a1b2c3d-0000-4000-8000-000000000002",
        "name": "web-1",
        "type": "metricbeat",
        "version": "8.15.0",
    },
    "cloud": {"account": {"id": "1234"}, "instance": {"id": "i-1"}, "provider": "aws", "region": "eu-west-1"},
    "ecs": {"version": "8.0.0"},
    "host": {
        "architecture": "x86_64",
        "containerized": False,
        "geo": {"location": {"lat": 48.1, "lon": 11.5}},
        "hostname": "web-1",
        "id": "b0455f3c7d5f4b2f8d4b6b9e5a5b1c11",
        "ip": ["10.0.0.7", "fe80::1"],
        "mac": ["02-42-AC-11-00-02"],
        "name": "web-1",
        "os": {"family": "debian", "kernel": "6.1.0", "name": "Debian GNU/Linux", "version": "12 (bookworm)"},
    },
    "tags": ["production"],
}


def event(dataset: str, **fields: Any) -> dict[str, Any]:
    module, metricset = dataset.split(".")
    return {
        **COMMON,
        "event": {"dataset": dataset, "duration": 115_000, "module": module},
        "metricset": {"name": metricset, "period": 10_000},
        "service": {"type": module},
        **fields,
    }


NETWORK = event(
    "system.network",
    system={"network": {"in": {"bytes": 2595, "errors": 0}, "name": "eth0", "out": {"bytes": 1184, "errors": 1}}},
)
CONTAINER = {"id": "b9f9e931fdf5", "image": {"name": "redis:7"}, "name": "cache", "runtime": "docker"}

Expected = tuple[dict[str, str], dict[str, float], dict[str, float]]
"""(labels beside host.name and event.dataset, gauges, counters) of an event."""

MODULES: dict[str, tuple[dict[str, Any], Expected]] = {
    "system.cpu": (
        event(
            "system.cpu",
            host={**COMMON["host"], "cpu": {"usage": 0.0457}, "uptime": 3600},
            system={"cpu": {"cores": 24, "user": {"norm": {"pct": 0.03}, "pct": 0.71, "ticks": 41097150}}},
        ),
        (
            {},
            {
                "host.cpu.usage": 0.0457,
                "host.uptime": 3600,
                "system.cpu.cores": 24,
                "system.cpu.user.norm.pct": 0.03,
                "system.cpu.user.pct": 0.71,
            },
            {"system.cpu.user.ticks": 41097150},
        ),
    ),
    "system.network": (
        NETWORK,
        (
            {"system.network.name": "eth0"},
            {},
            {
                "system.network.in.bytes": 2595,
                "system.network.in.errors": 0,
                "system.network.out.bytes": 1184,
                "system.network.out.errors": 1,
            },
        ),
    ),
    "system.filesystem": (
        event(
            "system.filesystem",
            system={
                "filesystem": {
                    "device_name": "/dev/sda1",
                    "mount_point": "/",
                    "type": "ext4",
                    "used": {"bytes": 13832937472, "pct": 0.2053},
                }
            },
        ),
        (
            {"system.filesystem.mount_point": "/"},
            {"system.filesystem.used.bytes": 13832937472, "system.filesystem.used.pct": 0.2053},
            {},
        ),
    ),
    "system.core": (
        event("system.core", system={"core": {"id": 3, "idle": {"pct": 0.98, "ticks": 900}}}),
        ({"system.core.id": "3"}, {"system.core.idle.pct": 0.98}, {"system.core.idle.ticks": 900}),
    ),
    "system.process": (
        event(
            "system.process",
            process={
                "args": ["/usr/bin/dockerd", "-H"],
                "cpu": {"pct": 0.01},
                "name": "dockerd",
                "parent": {"pid": 1},
                "pgid": 2080,
                "pid": 2080,
            },
            system={
                "process": {
                    "cgroup": {"cpuacct": {"id": "docker.service", "total": {"ns": 28}}, "id": "docker.service"},
                    "cmdline": "/usr/bin/dockerd -H",
                    "cpu": {"start_time": "2023-11-14T17:06:39.000Z", "total": {"pct": 0.0195, "value": 27704100}},
                    "state": "sleeping",
                }
            },
            user={"name": "root"},
        ),
        (
            {"process.name": "dockerd", "process.pid": "2080"},
            {"process.cpu.pct": 0.01, "system.process.cpu.total.pct": 0.0195},
            {"system.process.cgroup.cpuacct.total.ns": 28, "system.process.cpu.total.value": 27704100},
        ),
    ),
    "docker.network": (
        event(
            "docker.network",
            container=CONTAINER,
            docker={
                "container": {"labels": {"com_docker_compose_container-number": 1, "name": "x"}},
                "network": {"inbound": {"bytes": 1055}, "interface": "eth0"},
            },
            service={"address": "/var/run/docker.sock", "type": "docker"},
        ),
        (
            {
                "container.name": "cache",
                "docker.network.interface": "eth0",
                "service.address": "/var/run/docker.sock",
            },
            {},
            {"docker.network.inbound.bytes": 1055},
        ),
    ),
    "kubernetes.container": (
        event(
            "kubernetes.container",
            kubernetes={
                "annotations": {"revision": 7},
                "container": {
                    "cpu": {"usage": {"core": {"ns": 83347618953}, "nanocores": 4741228}},
                    "id": "docker://9d87",
                    "image": "dns:1.14",
                    "name": "dns",
                    "start_time": "2018-06-20T10:07:19Z",
                    "status": {"phase": "running", "ready": True, "restarts": 5},
                },
                "labels": {"app": {"kubernetes": {"io/name": "dns"}}, "pod-template-hash": "6f4f", "shard": 3},
                "namespace": "kube-system",
                "pod": {"name": "dns-0", "uid": "d4f5-11e8"},
            },
        ),
        (
            {
                "kubernetes.container.name": "dns",
                "kubernetes.namespace": "kube-system",
                "kubernetes.pod.name": "dns-0",
            },
            {
                "kubernetes.container.cpu.usage.nanocores": 4741228,
                "kubernetes.container.status.ready": 1,
                "kubernetes.container.status.restarts": 5,
            },
            {"kubernetes.container.cpu.usage.core.ns": 83347618953},
        ),
    ),
    "kafka.consumergroup": (
        event(
            "kafka.consumergroup",
            kafka={
                "broker": {"address": "kafka0:9092", "id": 0},
                "consumergroup": {
                    "broker": {"id": 2},
                    "client": {"host": "127.0.0.1", "id": "client0", "member_id": "client0-d20b"},
                    "consumer_lag": 17,
                    "id": "billing",
                    "offset": 1200,
                    "partition": 3,
                    "topic": "orders",
                },
            },
        ),
        (
            {
                "kafka.broker.id": "0",
                "kafka.consumergroup.id": "billing",
                "kafka.consumergroup.partition": "3",
                "kafka.consumergroup.topic": "orders",
            },
            {"kafka.consumergroup.consumer_lag": 17},
            {"kafka.consumergroup.offset": 1200},
        ),
    ),
    "prometheus.collector": (
        event(
            "prometheus.collector",
            prometheus={
                "labels": {"instance": "10.0.0.7:9100", "job": "node", "quantile": 0.5},
                "metrics": {"items_count": 4, "queue": 7, "requests_total": 12},
                "requests": {"counter": 12, "rate": 0},
            },
        ),
        (
            {
                "prometheus.labels.instance": "10.0.0.7:9100",
                "prometheus.labels.job": "node",
                "prometheus.labels.quantile": "0.5",
            },
            {"prometheus.metrics.queue": 7, "prometheus.requests.rate": 0},
            {
                "prometheus.metrics.items_count": 4,
                "prometheus.metrics.requests_total": 12,
                "prometheus.requests.counter": 12,
            },
        ),
    ),
    "aws.cloudwatch": (
        event(
            "aws.cloudwatch",
            aws={
                "cloudwatch": {"namespace": "AWS/RDS"},
                "dimensions": {"DBInstanceIdentifier": "test1"},
                "rds": {"metrics": {"CPUUtilization": {"avg": 3}}},
            },
        ),
        (
            {
                "aws.cloudwatch.namespace": "AWS/RDS",
                "aws.dimensions.DBInstanceIdentifier": "test1",
                "cloud.account.id": "1234",
                "cloud.instance.id": "i-1",
                "cloud.region": "eu-west-1",
            },
            {"aws.rds.metrics.CPUUtilization.avg": 3},
            {},
        ),
    ),
    "redis.info": (
        event(
            "redis.info",
            redis={
                "info": {
                    "clients": {"connected": 1},
                    "cluster": {"enabled": False},
                    "server": {"process_id": 1, "run_id": "3dfb", "tcp_port": 6379, "version": "7.2"},
                    "stats": {"commands_processed": 3, "instantaneous": {"ops_per_sec": 1}},
                }
            },
            service={"address": "redis:6379", "type": "redis"},
            labels={"env": "prod", "rack": 12},
            fields={"team": "shop"},
        ),
        (
            {"fields.team": "shop", "labels.env": "prod", "labels.rack": "12", "service.address": "redis:6379"},
            {
                "redis.info.clients.connected": 1,
                "redis.info.cluster.enabled": 0,
                "redis.info.stats.instantaneous.ops_per_sec": 1,
            },
            {"redis.info.stats.commands_processed": 3},
        ),
    ),
}
"""Dataset -> (an event of it, its meaning)."""
