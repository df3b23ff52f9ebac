"""A KRaft cluster of real brokers in temporary folders, for tests that stop, kill or freeze them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.kafka.broker import BASE_PROPERTIES, HOST, Broker, PortTaken, free_ports, random_id
from tests.kafka.endpoint import Endpoint, eventually

_ATTEMPTS = 4


class Cluster:
    """`with Cluster(folder, brokers=3) as cluster:` - brokers are gone afterwards, what they logged stays in `folder`.

    Their topics are in `data`, or else in `folder`, too, and are removed.
    `properties` are added to each broker's configuration. `client_protocol` may be SASL_PLAINTEXT and so on, with
    `client_options` (librdkafka's names) for the administration; `java_options` go to Java.

    Each of the `links` is one more listener a broker, of which clients are told another port than it has: for a proxy
    to stand between. `links[link][broker]` is the port that they are told, and the broker's own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        data: Path | None = None,
        brokers: int = 1,
        properties: Mapping[str, str | int] | None = None,
        client_protocol: str = "PLAINTEXT",
        client_options: Mapping[str, Any] | None = None,
        java_options: Sequence[str] = (),
        links: int = 0,
    ) -> None:
        self.folder = folder
        self.data = data or folder
        self.brokers: list[Broker] = []
        self.links: list[list[tuple[int, int]]] = []
        self._size = brokers
        self._link_count = links
        self._properties = dict(properties or {})
        self._client_protocol = client_protocol
        self._client_options = client_options
        self._java_options = java_options
        self._endpoint: Endpoint | None = None

    @property
    def endpoint(self) -> Endpoint:
        assert self._endpoint is not None, "not started"
        return self._endpoint

    @property
    def bootstrap(self) -> str:
        """`host:port,host:port,...` of every broker."""
        return self.endpoint.bootstrap

    def start(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(_ATTEMPTS):
            try:
                self._start_once()
                return self
            except PortTaken:
                self.close()
                if attempt == _ATTEMPTS - 1:
                    raise
            except BaseException:
                self.close()
                raise
        raise AssertionError("unreachable")

    def wait_joined(self) -> None:
        """Wait until every broker is a member: one that was frozen for some seconds is not, for a moment."""
        eventually(lambda: self.endpoint.brokers() == self._size, f"{self._size} brokers have joined")

    def close(self) -> None:
        """End every broker at once and remove their data, not their logs."""
        for broker in self.brokers:
            broker.kill()
        for broker in self.brokers:
            shutil.rmtree(broker.folder, ignore_errors=True)

    def _start_once(self) -> None:
        ports = iter(free_ports(2 * self._size * (1 + self._link_count)))
        client, controller = list(islice(ports, self._size)), list(islice(ports, self._size))
        self.links = [[(next(ports), next(ports)) for _ in client] for _ in range(self._link_count)]
        cluster_id = random_id()
        self.brokers = [
            Broker(node_id, self.data / f"node-{node_id}", self.folder / f"node-{node_id}.log", self._java_options)
            for node_id in range(1, self._size + 1)
        ]
        for broker in self.brokers:
            broker.format(cluster_id, self._configuration(broker.node_id, client, controller))
        for broker in self.brokers:
            broker.start()
        for broker in self.brokers:
            broker.wait_started()
        self._endpoint = Endpoint(",".join(f"{HOST}:{port}" for port in client), self._client_options)
        self.wait_joined()

    def _configuration(self, node_id: int, client: list[int], controller: list[int]) -> dict[str, str | int]:
        own, voters = client[node_id - 1], [f"{i}@{HOST}:{port}" for i, port in enumerate(controller, start=1)]
        copies = min(3, self._size)
        links = {f"LINK{number}": ports[node_id - 1] for number, ports in enumerate(self.links)}
        told = [f"CLIENT://{HOST}:{own}", *(f"{name}://{HOST}:{front}" for name, (front, _) in links.items())]
        bound = [f"CLIENT://{HOST}:{own}", *(f"{name}://{HOST}:{back}" for name, (_, back) in links.items())]
        protocols = [
            f"CLIENT:{self._client_protocol}",
            "CONTROLLER:PLAINTEXT",
            *(f"{name}:PLAINTEXT" for name in links),
        ]
        return {
            **BASE_PROPERTIES,
            "node.id": node_id,
            "controller.quorum.voters": ",".join(voters),
            "listeners": ",".join([*bound, f"CONTROLLER://{HOST}:{controller[node_id - 1]}"]),
            "advertised.listeners": ",".join(told),
            "listener.security.protocol.map": ",".join(protocols),
            "default.replication.factor": copies,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "share.coordinator.state.topic.replication.factor": copies,
            "min.insync.replicas": 2 if copies == 3 else 1,
            "transaction.state.log.min.isr": 2 if copies == 3 else 1,
            "share.coordinator.state.topic.min.isr": 1,
            **self._properties,
        }

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
