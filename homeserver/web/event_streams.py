"""Server-sent events: who may hold a stream, how long, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Final, NamedTuple, TypeVar

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from homeserver.errors import TooMany
from homeserver.services.limits import address_group
from homeserver.web.bodies import cut_if_it_fails
from homeserver.web.security import peer

T = TypeVar("T")

PER_SESSION: Final = 6
"""As many connections as a browser opens to one host over HTTP/1.1."""
PER_ADDRESS: Final = 200
"""Of visitors without a session from one address, which may be a whole school's, or our own proxy's."""
IN_ALL: Final = 1000
"""Of one process. A stream costs a connection and little else. Visitors without a session leave the last half free."""

HEARTBEAT_S: Final = 15.0
"""How often something is said even so, and the session looked at: who signs out hears nothing more."""

RETRY_MS: Final = 3000
"""When a browser comes back by itself."""

_WAIT_S: Final = 5.0


class Listener(NamedTuple):
    """Who holds streams: `most` is how many of their own, and only while there are fewer than `in_all`."""

    key: str
    most: int
    in_all: int


def of_session(key: str) -> Listener:
    """Somebody who is signed in."""
    return Listener(key, PER_SESSION, IN_ALL)


def of_visitor(request: web.Request) -> Listener:
    """Somebody who is not: all from their address, or from their network of IPv6, are one."""
    return Listener(f"peer {address_group(peer(request))}", PER_ADDRESS, IN_ALL // 2)


class Streams:
    """Counts the streams of this process."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, listener: Listener) -> Iterator[None]:
        """Hold a place for one stream.

        Raises:
            TooMany: There are too many, of this listener or in all.
        """
        key = listener.key
        if self._open[key] >= listener.most or self._open.total() >= listener.in_all:
            raise TooMany("Too many pages are open: close one, or wait.", wait_s=_WAIT_S)
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


STREAMS: Final = web.AppKey("STREAMS", Streams)


class Event(NamedTuple):
    """What is told: `id` is what a browser says when it comes back, as Last-Event-ID."""

    kind: str
    id: str
    data: str


async def push(
    request: web.Request,
    listener: Listener,
    changes: AsyncGenerator[T | None, None],
    event_of: Callable[[T], Event],
    may_listen: Callable[[], Awaitable[bool]],
) -> web.StreamResponse:
    """Tell what changes, until the reader goes or `may_listen` no longer. None among the changes is none, now and then.

    What goes wrong meanwhile cuts the connection, and the browser comes back by itself.

    Raises:
        TooMany: They hold too many streams; nothing has been answered.
    """
    with request.app[STREAMS].one(listener):
        async with sse_response(request, ping_interval=HEARTBEAT_S) as response:
            with cut_if_it_fails(request), suppress(ConnectionError, TimeoutError):  # the page was closed
                await response.send("hello", event="open", retry=RETRY_MS)
                async with aclosing(changes):
                    async for change in _while_allowed(request, response, changes, may_listen):
                        event = event_of(change)
                        await response.send(event.data, id=event.id, event=event.kind)
    return response


async def _while_allowed(
    request: web.Request,
    response: EventSourceResponse,
    changes: AsyncIterator[T | None],
    may_listen: Callable[[], Awaitable[bool]],
) -> AsyncIterator[T]:
    """What changes, until the reader goes or signs out."""
    now = asyncio.get_running_loop().time
    looked_s = now()
    async for change in changes:
        if request.transport is None or request.transport.is_closing() or not response.is_connected():
            return
        if now() - looked_s >= HEARTBEAT_S:
            looked_s = now()
            if not await may_listen():
                return
        if change is not None:
            yield change
