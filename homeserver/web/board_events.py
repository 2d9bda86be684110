"""The news that a list has changed, pushed to the page or the gadget that shows it: server-sent events.

Nothing of a board is in them. An event `changed` has the list's new version as its id and its data; whoever hears it
asks again for what they show, as themselves. Whoever comes back with Last-Event-ID, or with the version that they
show, hears at once whether that is still the one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final

from aiohttp import web
from aiohttp_sse import sse_response

from homeserver.errors import NotSignedIn
from homeserver.web.boards import default_period
from homeserver.web.file_events import HEARTBEAT_S, PER_SESSION, RETRY_MS, STREAMS
from homeserver.web.keys import CHANGES, GADGET_SESSIONS, LEADERBOARDS, PAGE_SESSIONS
from homeserver.web.security import PAGE_COOKIE, bearer, cookie, peer
from homeserver.web.visitors import board_reader, gadget_session

VISITORS_PER_PEER: Final = 200
"""Streams of visitors without a session from one address, which may be a whole school's, or our own proxy's."""

_VERSION: Final = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


async def page_events(request: web.Request) -> web.StreamResponse:
    """`GET /boards/{board}/events?period=&version=`: tells the board's page when to ask for its rows again."""
    session = (await board_reader(request)).session

    async def may_listen() -> bool:
        if session is None:
            return True
        found = await request.app[PAGE_SESSIONS].find(cookie(request, PAGE_COOKIE))
        return found is not None and found.player == session.player

    key, most = (session.key, PER_SESSION) if session else (f"peer {peer(request)}", VISITORS_PER_PEER)
    return await _push(request, request.match_info["board"], key, most, may_listen)


async def gadget_events(request: web.Request) -> web.StreamResponse:
    """`GET /gadget/v1/events?board=&period=&version=`: the same for the gadget, which reads it by `fetch()`."""
    await gadget_session(request)

    async def may_listen() -> bool:
        try:
            await request.app[GADGET_SESSIONS].check(bearer(request))
        except NotSignedIn:
            return False
        return True

    return await _push(request, request.query.get("board", ""), f"gadget {bearer(request)}", PER_SESSION, may_listen)


async def _push(
    request: web.Request, board: str, listener: str, most: int, may_listen: Callable[[], Awaitable[bool]]
) -> web.StreamResponse:
    of = await request.app[LEADERBOARDS].board(board)
    period = request.query.get("period") or default_period(of)
    await request.app[CHANGES].version(board, period)  # what is wrong with them is said while it can be
    heard = request.headers.get("Last-Event-ID") or request.query.get("version", "")
    known = heard if _VERSION.fullmatch(heard) else None
    with request.app[STREAMS].one(listener, most):
        async with sse_response(request, ping_interval=HEARTBEAT_S) as response:
            with suppress(ConnectionError, TimeoutError):  # the page was closed
                await response.send("hello", event="open", retry=RETRY_MS)
                async with aclosing(request.app[CHANGES].watch(board, period, known)) as versions:
                    async for version in _while_allowed(request, versions, may_listen):
                        await response.send(version, id=version, event="changed")
    return response


async def _while_allowed(
    request: web.Request, versions: AsyncIterator[str | None], may_listen: Callable[[], Awaitable[bool]]
) -> AsyncIterator[str]:
    """What changes, until the reader goes or signs out."""
    now = asyncio.get_running_loop().time
    looked_s = now()
    async for version in versions:
        if request.transport is None or request.transport.is_closing():
            return
        if now() - looked_s >= HEARTBEAT_S:
            looked_s = now()
            if not await may_listen():
                return
        if version is not None:
            yield version
