"""The news that a list has changed, pushed to the page or the gadget that shows it: server-sent events.

Nothing of a board is in them. An event `changed` has the list's new version as its id and its data; whoever hears it
asks again for what they show, as themselves. Whoever comes back with Last-Event-ID, or with the version that they
show, hears at once whether that is still the one.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from homeserver.errors import NotSignedIn
from homeserver.web.boards import default_period
from homeserver.web.event_streams import Event, Listener, of_session, of_visitor, push
from homeserver.web.keys import CHANGES, GADGET_SESSIONS, LEADERBOARDS, PAGE_SESSIONS
from homeserver.web.security import PAGE_COOKIE, bearer, cookie
from homeserver.web.visitors import board_reader, gadget_session

_VERSION: Final = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


async def page_events(request: web.Request) -> web.StreamResponse:
    """`GET /boards/{board}/events?period=&version=`: tells the board's page when to ask for its rows again."""
    session = (await board_reader(request)).session

    async def may_listen() -> bool:
        if session is None:
            return True
        found = await request.app[PAGE_SESSIONS].find(cookie(request, PAGE_COOKIE))
        return found is not None and found.player == session.player

    listener = of_session(session.key) if session else of_visitor(request)
    return await _push(request, request.match_info["board"], listener, may_listen)


async def gadget_events(request: web.Request) -> web.StreamResponse:
    """`GET /gadget/v1/events?board=&period=&version=`: the same for the gadget, which reads it by `fetch()`."""
    await gadget_session(request)

    async def may_listen() -> bool:
        try:
            await request.app[GADGET_SESSIONS].check(bearer(request))
        except NotSignedIn:
            return False
        return True

    listener = of_session(f"gadget {bearer(request)}")
    return await _push(request, request.query.get("board", ""), listener, may_listen)


async def _push(
    request: web.Request, board: str, listener: Listener, may_listen: Callable[[], Awaitable[bool]]
) -> web.StreamResponse:
    of = await request.app[LEADERBOARDS].board(board)
    period = request.query.get("period") or default_period(of)
    changes = request.app[CHANGES]
    await changes.version(board, period)  # what is wrong with them is said while it can be
    heard = request.headers.get("Last-Event-ID") or request.query.get("version", "")
    known = heard if _VERSION.fullmatch(heard) else None
    return await push(request, listener, changes.watch(board, period, known), _event, may_listen)


def _event(version: str) -> Event:
    return Event("changed", version, version)
