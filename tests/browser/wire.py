"""A line between a browser and everything on this machine, that a test may make slow, cut, and mend.

A SOCKS5 relay, because a browser asks that for each connection and then speaks as if nobody stood between. What
Chromium itself offers to emulate leaves alone what is already under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

_PIECE_BYTES: Final = 16 * 1024
_TICK_S: Final = 0.02
_HELLO: Final = b"\x05\x00"
_CONNECTED: Final = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


@dataclass(slots=True)
class Wire:
    """`bytes_per_s` is what each connection carries away from the browser; None: as fast as it goes."""

    port: int = 0
    bytes_per_s: int | None = None
    is_cut: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Break every connection, and let none be made until `mend`."""
        self.is_cut = True
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
                await self._relay(reader, writer)
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        if self.is_cut:
            return
        writer.write(_HELLO)
        *_, kind = await reader.readexactly(4)
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        raw = await reader.readexactly(length)
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        host = raw.decode() if kind == 3 else "127.0.0.1"
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1" if host == "localhost" else host, port)
        self._open.add(there_writer)
        try:
            writer.write(_CONNECTED)
            back = asyncio.create_task(_copy(there_reader, writer))
            try:
                await self._copy_slowly(reader, there_writer)
                there_writer.write_eof()
                await back
            finally:
                back.cancel()
                await asyncio.wait({back})
        finally:
            self._open.discard(there_writer)
            there_writer.transport.abort()

    async def _copy_slowly(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(self._piece_bytes()):
            writer.write(piece)
            await writer.drain()
            if self.bytes_per_s is not None:
                await asyncio.sleep(_TICK_S)

    def _piece_bytes(self) -> int:
        return _PIECE_BYTES if self.bytes_per_s is None else max(1, int(self.bytes_per_s * _TICK_S))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def stretched() -> AsyncIterator[Wire]:
    """A wire for a while."""
    wire = Wire()
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0, limit=_PIECE_BYTES)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.cut()
        while wire._open:  # noqa: ASYNC110 - until the last one has noticed
            await asyncio.sleep(_TICK_S)
