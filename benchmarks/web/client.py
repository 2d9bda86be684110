"""A client that costs next to nothing: requests made beforehand, on connections that stay open, answers counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LENGTH = b"\r\nContent-Length: "


@dataclass(slots=True)
class Slice:
    """What was answered in one go, and how long each answer took."""

    took_s: float
    times_us: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return len(self.times_us) / self.took_s


class _Connection(asyncio.Protocol):
    """Asks again as soon as it is answered, until it is told to stop."""

    def __init__(self, requests: Iterator[bytes], status: bytes, done: Callable[[float], bool]) -> None:
        self._requests = requests
        self._status = b"HTTP/1.1 " + status
        self._done = done
        self._received = bytearray()
        self._left = -1
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._left < 0:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._received[:end])
            if not head.startswith(self._status):
                self._fail(RuntimeError(bytes(self._received[:1000]).decode(errors="replace")))
                return
            at = head.find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._left = end + 4 + length
        if len(self._received) < self._left:
            return
        self._received.clear()
        self._left = -1
        if self._done(1e6 * (time.perf_counter() - self._began)):
            self.ask()
        elif not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server hung up"))

    def _fail(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)


def request(url: str, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def ask(url: str, requests: Iterator[bytes], *, connections: int, for_s: float, status: int = 200) -> Slice:
    """Ask for this long on so many connections, each with one request at a time.

    Raises:
        RuntimeError: An answer has another status; the message begins as the answer does.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    times: list[float] = []
    end = float("inf")

    def done(took_us: float) -> bool:
        times.append(took_us)
        return time.perf_counter() < end

    opened = [
        await loop.create_connection(
            lambda: _Connection(requests, str(status).encode(), done), parts.hostname or "127.0.0.1", parts.port or 80
        )
        for _ in range(connections)
    ]
    began = time.perf_counter()
    end = began + for_s
    for _, connection in opened:
        connection.ask()
    try:
        await asyncio.gather(*(connection.ended for _, connection in opened))
        return Slice(time.perf_counter() - began, times)
    finally:
        for transport, _ in opened:
            transport.close()
