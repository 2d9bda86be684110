"""The operators' view: sign-in, the boards with their entries, recent uploads, how fresh the data is."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from homeserver.errors import NotSignedIn
from homeserver.web.boards import default_period
from homeserver.web.bodies import read_form
from homeserver.web.keys import HEALTH, LEADERBOARDS, OPERATORS, SITE, SYNC_REPORT, UPLOADS
from homeserver.web.rendering import render
from homeserver.web.security import ADMIN_COOKIE, cookie, drop_cookie, peer, set_cookie
from homeserver.web.visitors import operator

_ENTRIES: Final = 10
_UPLOADS: Final = 20


async def show_sign_in(request: web.Request) -> web.Response:
    """`GET /admin/sign-in`."""
    return render(request, "admin_sign_in.html", refused=False, name="")


async def sign_in(request: web.Request) -> web.Response:
    """`POST /admin/sign-in`: name and password; wrong ones bring the form back with one sentence for both."""
    form = await read_form(request)
    name, password = form.get("name", ""), form.get("password", "")
    try:
        value = await request.app[OPERATORS].sign_in(name, password, peer(request))
    except NotSignedIn:
        return render(request, "admin_sign_in.html", status=401, refused=True, name=name)
    response = web.Response(status=303, headers={hdrs.LOCATION: "/admin"})
    set_cookie(response, request.app[SITE], ADMIN_COOKIE, value)
    return response


async def sign_out(request: web.Request) -> web.Response:
    """`POST /admin/sign-out`."""
    await request.app[OPERATORS].sign_out(cookie(request, ADMIN_COOKIE))
    response = web.Response(status=303, headers={hdrs.LOCATION: "/admin/sign-in"})
    drop_cookie(response, request.app[SITE], ADMIN_COOKIE)
    return response


async def overview(request: web.Request) -> web.Response:
    """`GET /admin`."""
    who = await operator(request)
    leaderboards = request.app[LEADERBOARDS]
    pages = [
        await leaderboards.entries(board.id, period=default_period(board), reader=None, limit=_ENTRIES)
        for board in await leaderboards.boards()
    ]
    return render(
        request,
        "admin.html",
        operator=who,
        pages=pages,
        uploads=await request.app[UPLOADS].all_recent(_UPLOADS),
        sync=await request.app[HEALTH].sync(),
        sync_table=await request.app[SYNC_REPORT].table(),
    )
