"""A container that answers at once, or after a while, and costs next to nothing: a process of its own.

It knows one question: the AppData of a player's fifty friends, those with the next numbers. One value in twenty is
another one in each round.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Final

FRIENDS: Final = 50
PEOPLE: Final = 100_000
APART: Final = 25
"""Asking every so many brings everybody twice, as the plans of a refresh nearly do."""
_ASKED: Final = re.compile(rb"GET /rest/appdata/p(\d+)/@friends/")
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def friends_of(asker: int) -> list[int]:
    """The numbers of a player's friends."""
    return [(asker + step) % PEOPLE for step in range(1, FRIENDS + 1)]


def value_of(friend: int, round_: int) -> int:
    """What a friend's value is in a round."""
    return 100 + (friend + round_) // 20


class _Protocol(asyncio.Protocol):
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._asked: dict[bytes, int] = {}
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            found = _ASKED.match(head)
            answer = _answer(int(found[1]) if found else 0)
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._send, answer)
            else:
                self._send(answer)

    def _send(self, answer: bytes) -> None:
        if isinstance(self._transport, asyncio.WriteTransport) and not self._transport.is_closing():
            self._transport.write(answer)


_rounds: dict[int, int] = {}


def _answer(asker: int) -> bytes:
    round_ = _rounds[asker] = _rounds.get(asker, -1) + 1
    items = [b'"p%d":{"letters":"%d"}' % (friend, value_of(friend, round_)) for friend in friends_of(asker)]
    body = b'{"entry":{' + b",".join(items) + b"}}"
    return _HEAD % len(body) + body


async def _serve(delay_s: float, ready: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(delay_s), "127.0.0.1", 0, backlog=1_000)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _main(delay_s: float, ready: Connection) -> None:
    asyncio.run(_serve(delay_s, ready))


@contextmanager
def container(delay_s: float) -> Iterator[str]:
    """The base address of such a container, as long as the context lasts."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_main, args=(delay_s, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/rest"
    finally:
        process.terminate()
        process.join()
