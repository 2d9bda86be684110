"""A line between the sender and the storage that is cut where a test says, in the request or in the answer."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_PIECE_BYTES: Final = 64 * 1024


class Place(StrEnum):
    """Where a line is cut: every class of byte offsets of step two."""

    CONNECTED = "before the headers"
    IN_HEADERS = "in the headers"
    HEADERS = "after the headers"
    IN_HEAD = "in the head of the part"
    HEAD = "before the first byte"
    FIRST = "after the first byte"
    MIDDLE = "in the middle"
    LAST = "before the last byte"
    FILE = "after the last byte"
    IN_BOUNDARY = "in the closing boundary"
    REQUEST = "before the answer"
    IN_ANSWER = "in the answer"
    ANSWER = "after the answer"


NOTHING_STORED: Final = frozenset(Place) - {Place.REQUEST, Place.IN_ANSWER, Place.ANSWER}


@dataclass
class Cutter:
    """Hands connections on to the storage; each takes the next of `plan`, and is whole where there is none."""

    target: tuple[str, int]
    plan: deque[Place] = field(default_factory=deque)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = self.plan.popleft() if self.plan else None
        onward: asyncio.StreamWriter | None = None
        try:
            if place is Place.CONNECTED:
                return
            answers, onward = await asyncio.open_connection(*self.target)
            answering = asyncio.create_task(self._answer(answers, writer, place))
            if await self._request(reader, onward, place):
                await answering
            else:
                answering.cancel()
                await asyncio.wait({answering})
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            for side in (writer, onward):
                if side is not None:
                    side.transport.abort()

    async def _request(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter, place: Place | None) -> bool:
        """Hand the request on as far as it goes; whether that was all of it."""
        headers = await reader.readuntil(b"\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = _length(headers)
        boundary = head.split(b"\r\n", 1)[0]
        tail_bytes = len(b"\r\n" + boundary + b"--\r\n")
        begins, ends = len(headers) + len(head), len(headers) + length - tail_bytes
        most = {
            Place.IN_HEADERS: len(headers) // 2,
            Place.HEADERS: len(headers),
            Place.IN_HEAD: len(headers) + len(head) // 2,
            Place.HEAD: begins,
            Place.FIRST: begins + 1,
            Place.MIDDLE: (begins + ends) // 2,
            Place.LAST: ends - 1,
            Place.FILE: ends,
            Place.IN_BOUNDARY: ends + tail_bytes - 3,
        }.get(place or Place.ANSWER, len(headers) + length)
        given = 0
        piece = headers + head
        while piece:
            piece = piece[: most - given]
            onward.write(piece)
            await onward.drain()
            given += len(piece)
            if given == most:
                break
            piece = await reader.read(_PIECE_BYTES)
        if place in NOTHING_STORED:
            onward.close()  # what was handed on arrives
            return False
        return True

    async def _answer(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter, place: Place | None) -> None:
        answer = await answers.readuntil(b"\r\n\r\n")
        answer += await answers.readexactly(_length(answer))
        if place is Place.REQUEST:
            return
        writer.write(answer[: len(answer) // 2] if place is Place.IN_ANSWER else answer)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()
        await writer.wait_closed()


def _length(headers: bytes) -> int:
    named = [line for line in headers.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return int(named[0].partition(b":")[2])


@asynccontextmanager
async def cutting(host: str, port: int) -> AsyncIterator[Cutter]:
    """A cutter in front of a server."""
    cutter = Cutter((host, port))
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await cutter.serve(reader, writer)
        finally:
            connections.discard(task)

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE_BYTES)  # or the kernel would hold many megabytes
    listener.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(serve, sock=listener)
    cutter.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield cutter
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        if connections:
            await asyncio.wait(connections)
        await server.wait_closed()
