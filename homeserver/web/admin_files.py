"""What operators see on their pages as files, CSV or NDJSON, from its beginning to its end: streamed, however long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import hdrs, web

from homeserver.model import Role
from homeserver.web.admin_boards import wanted
from homeserver.web.admin_frame import operator_who_may
from homeserver.web.boards import default_period
from homeserver.web.keys import EXPORTS, LEADERBOARDS, PLAYERS

_TYPES: Final = {"csv": "text/csv", "ndjson": "application/x-ndjson"}


async def entries(request: web.Request) -> web.StreamResponse:
    """`GET /admin/boards/{board}/export`: the list that the board's page shows with the same query."""
    await operator_who_may(request, Role.VIEW)
    board = await request.app[LEADERBOARDS].board(request.match_info["board"])
    asked = wanted(request.query, default_period(board))
    return await _file(request, request.app[EXPORTS].entries(board.id, asked, _form(request)), board.id)


async def changes(request: web.Request) -> web.StreamResponse:
    """`GET /admin/players/{player}/export`: what their values became."""
    await operator_who_may(request, Role.VIEW)
    public_id = request.match_info["player"]
    player = await request.app[PLAYERS].find(public_id)
    return await _file(request, request.app[EXPORTS].changes(player, _form(request)), public_id)


async def review(request: web.Request) -> web.StreamResponse:
    """`GET /admin/review/export`: the claims that wait on a board, or its scores that are far from the others."""
    await operator_who_may(request, Role.VIEW)
    board, exports = request.query.get("board", ""), request.app[EXPORTS]
    if request.query.get("what") == "scores":
        return await _file(request, exports.suspects(board, _form(request)), f"{board}-far")
    return await _file(request, exports.claims(board, _form(request)), f"{board}-claims")


async def log(request: web.Request) -> web.StreamResponse:
    """`GET /admin/audit/export`: what operators did, on one board or everywhere."""
    await operator_who_may(request, Role.VIEW)
    board = request.query.get("board") or None
    return await _file(request, request.app[EXPORTS].log(_form(request), board_id=board), "audit")


def _form(request: web.Request) -> str:
    return request.query.get("format", "csv")


async def _file(request: web.Request, texts: AsyncIterator[str], name: str) -> web.StreamResponse:
    """Send it piece by piece. What cannot be exported is an error before anything is sent."""
    form = _form(request)
    first = await anext(texts, "")
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: f"{_TYPES[form]}; charset=utf-8",
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}.{form}"',
        }
    )
    await response.prepare(request)
    await response.write(first.encode())
    async for text in texts:
        await response.write(text.encode())
    await response.write_eof()
    return response
