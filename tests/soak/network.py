"""The network between a daemon and the brokers: a TCP proxy that can cut, stall and slow it down."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

from tests.kafka.broker import HOST

_CHUNK_BYTES = 65_536


class Link:
    """The connections of one daemon to every broker. Changed only on the loop's thread."""

    def __init__(self, ports: list[tuple[int, int]]) -> None:
        """`ports` are (port to listen on, port to connect to)."""
        self.ports = ports
        self.up = True
        self.bytes_per_second: float | None = None
        self.connections = 0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset every connection, also new ones."""
        self.up = False
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Pass and close nothing, as behind a dead router."""
        self.flowing.clear()

    def slow(self, bytes_per_second: float) -> None:
        self.bytes_per_second = bytes_per_second

    def mend(self) -> None:
        self.up, self.bytes_per_second = True, None
        self.flowing.set()

    async def serve(self) -> list[asyncio.Server]:
        return [await asyncio.start_server(partial(self._connect, back), HOST, front) for front, back in self.ports]

    async def _connect(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if not self.up:
                raise ConnectionResetError
            await self.flowing.wait()
            far_reader, far_writer = await asyncio.open_connection(HOST, port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers -= pair
            for end in pair:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self.bytes_per_second is not None:
                    await asyncio.sleep(len(chunk) / self.bytes_per_second)
                await self.flowing.wait()
                writer.write(chunk)
                await writer.drain()
        writer.close()


class Network:
    """Links on a thread of their own: `with Network(cluster.links) as network: network.do(2, "cut")`."""

    def __init__(self, links: list[list[tuple[int, int]]]) -> None:
        self._loop = asyncio.new_event_loop()
        self._links = [Link(ports) for ports in links]
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._ready = threading.Event()

    @property
    def connections(self) -> int:
        """The number of connections so far."""
        return sum(link.connections for link in self._links)

    def bootstrap(self, link: int) -> list[str]:
        """Addresses of the brokers through this link."""
        return [f"{HOST}:{front}" for front, _ in self._links[link].ports]

    def do(self, link: int, name: str, *arguments: float) -> None:
        """Call `Link.cut`, `stall`, `slow` or `mend`."""
        self._loop.call_soon_threadsafe(getattr(self._links[link], name), *arguments)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._servers = [server for link in self._links for server in self._loop.run_until_complete(link.serve())]
        self._ready.set()
        self._loop.run_forever()
        for server in self._servers:
            server.close()
        rest = asyncio.all_tasks(self._loop)
        for task in rest:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        self._loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60), "the network does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
