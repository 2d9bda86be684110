"""How operators sign in and out."""

from __future__ import annotations

from aiohttp import hdrs, web

from homeserver.errors import NotSignedIn
from homeserver.web.bodies import read_form
from homeserver.web.keys import OPERATORS, SITE
from homeserver.web.rendering import render
from homeserver.web.security import ADMIN_COOKIE, cookie, drop_cookie, peer, set_cookie


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
