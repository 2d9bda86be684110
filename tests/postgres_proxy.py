"""A way to PostgreSQL that cuts connections where a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import parse_qs, urlsplit

COMMIT = b"COMMIT;\0"
COMMITTED = b"COMMIT\0"


class Cut(Enum):
    """Where a connection is cut, once."""

    BEFORE_COMMIT = auto()
    """COMMIT never reaches the server."""
    BEFORE_ANSWER = auto()
    """The server has committed; its answer never reaches us."""


@dataclass(slots=True)
class Proxy:
    """Relays between 127.0.0.1 and the Unix socket of the tests' PostgreSQL."""

    socket: str
    url: str = ""
    cut: Cut | None = None
    cuts: int = 0
    down: bool = False
    """While it is set, nobody is let through."""
    after_cut_down: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self.socket)
        ends = (writer, server_writer)
        self._open.update(ends)
        forth = asyncio.ensure_future(self._pump(reader, server_writer, COMMIT, Cut.BEFORE_COMMIT))
        back = asyncio.ensure_future(self._pump(server_reader, writer, COMMITTED, Cut.BEFORE_ANSWER))
        await asyncio.wait({forth, back}, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.close()
        await asyncio.wait({forth, back})
        self._open.difference_update(ends)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes, where: Cut) -> None:
        try:
            while data := await reader.read(65_536):
                if self.cut is where and words in data:
                    self.cut = None
                    self.cuts += 1
                    self.down = self.after_cut_down
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return

    def close(self) -> None:
        """Cut all connections."""
        for end in self._open:
            end.close()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    """A proxy to the tests' own PostgreSQL, at `Proxy.url`."""
    folder = parse_qs(urlsplit(url).query)["host"][0]
    proxy = Proxy(f"{folder}/.s.PGSQL.5432")
    server = await asyncio.start_server(proxy.relay, "127.0.0.1", 0)
    proxy.url = f"postgresql://postgres@127.0.0.1:{server.sockets[0].getsockname()[1]}/postgres"
    async with server:
        yield proxy
        proxy.close()
