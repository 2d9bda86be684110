"""Operators' pages of boards: all of them, and one with its entries."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from homeserver.model import Role
from homeserver.protocol.gadget_queries import ENTRIES_QUERY_NAMES, parse_entries_query
from homeserver.web.admin_frame import operator_who_may, page
from homeserver.web.boards import default_period, entries
from homeserver.web.keys import BOARD_VIEWS, HEALTH, LEADERBOARDS

_PERIODS: Final = 30


async def overview(request: web.Request) -> web.Response:
    """`GET /admin`: every board in a line, and how fresh the data is."""
    who = await operator_who_may(request, Role.VIEW)
    leaderboards = request.app[LEADERBOARDS]
    pages = [
        await leaderboards.entries(board.id, period=default_period(board), reader=None, limit=1)
        for board in await leaderboards.boards()
    ]
    return await page(request, who, "admin.html", pages=pages, sync=await request.app[HEALTH].sync())


async def board_page(request: web.Request) -> web.Response:
    """`GET /admin/boards/{board}`: a page of entries, chosen as in the gadget's call; empty fields count as absent."""
    who = await operator_who_may(request, Role.VIEW)
    leaderboards, views = request.app[LEADERBOARDS], request.app[BOARD_VIEWS]
    board = await leaderboards.board(request.match_info["board"])
    wanted = ENTRIES_QUERY_NAMES - {"friends", "around"}
    given = [(name, value) for name, value in request.query.items() if value.strip() and name in wanted]
    if not any(name == "period" for name, _ in given):
        given.append(("period", default_period(board)))
    asked = parse_entries_query(given)
    return await page(
        request,
        who,
        "admin_board.html",
        board=board,
        asked=asked,
        page=await entries(leaderboards, board.id, asked, None),
        spread=await views.distribution(board.id, period=asked.period, reader=None),
        listed=await views.periods(board.id, limit=_PERIODS),
    )
