"""Who holds this browser's session: the link from the gadget, the storage's sign-in, the way out."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from homeserver.model import StorageLeg
from homeserver.protocol.saml import MAX_ANSWER_CHARS
from homeserver.web.bodies import read_form
from homeserver.web.keys import PAGE_SESSIONS, SIGN_IN, SITE, UPLOADS
from homeserver.web.rendering import render
from homeserver.web.security import PAGE_COOKIE, cookie, drop_cookie, local_path, set_cookie
from homeserver.web.visitors import visitor

PRIVACY_PATH: Final = "/privacy"
RETURN_PATH: Final = "/sign-in/return"
METADATA_PATH: Final = "/sign-in/metadata"
MAX_ANSWER_BYTES: Final = 2 * MAX_ANSWER_CHARS
"""Of the form: base64 in a form may have each third character percent-encoded."""


# --- from the gadget to the pages -----------------------------------------------------------------------------------


async def show_link(request: web.Request) -> web.Response:
    """`GET /page-link/{token}`: whose pages the link opens, and a button. Nothing is used up by looking."""
    card = await request.app[PAGE_SESSIONS].peek_link(request.match_info["token"])
    await visitor(request)
    response = render(request, "page_link.html", card=card)
    response.headers[hdrs.REFERRER_POLICY] = "no-referrer"  # the address still opens the pages
    return response


async def redeem_link(request: web.Request) -> web.Response:
    """`POST /page-link/{token}`: the player is signed in, by a new session id, and the link is used up.

    `?to=privacy` leads on to that page, anything else to the boards.
    """
    value = await request.app[PAGE_SESSIONS].redeem_link(request.match_info["token"], cookie(request, PAGE_COOKIE))
    return see_other(request, PRIVACY_PATH if request.query.get("to") == "privacy" else "/", value)


# --- the storage's sign-in ------------------------------------------------------------------------------------------


async def show_sign_in(request: web.Request) -> web.Response:
    """`GET /sign-in`: what signing in means, and a button."""
    await visitor(request)
    return render(request, "sign_in.html", back=local_path(request.query.get("back"), "/files"))


async def start_sign_in(request: web.Request) -> web.Response:
    """`POST /sign-in`: off to the storage's sign-in, with a state that only this browser's session knows."""
    back = local_path((await read_form(request)).get("back"), "/files")
    value, url = await request.app[PAGE_SESSIONS].start_sign_in(cookie(request, PAGE_COOKIE), back)
    return see_other(request, url, value)


async def take_answer(request: web.Request) -> web.Response:
    """`POST /sign-in/answer`: the storage's sign-in has browsers bring its answer here, without any cookie of ours."""
    ticket = await request.app[SIGN_IN].receive(await read_form(request, MAX_ANSWER_BYTES))
    return see_other(request, f"{RETURN_PATH}?ticket={ticket}")


async def sign_in_metadata(request: web.Request) -> web.Response:
    """`GET /sign-in/metadata`: what those who run the storage's sign-in have to know about this site."""
    return web.Response(body=request.app[SIGN_IN].metadata, content_type="application/samlmetadata+xml")


async def finish_sign_in(request: web.Request) -> web.Response:
    """`GET /sign-in/return`: with a ticket for what the answer said, and now with our cookie.

    Files that waited for the sign-in go on.
    """
    query = {name: request.query.getall(name)[-1] for name in request.query}
    sessions = request.app[PAGE_SESSIONS]
    value, back = await sessions.finish_sign_in(cookie(request, PAGE_COOKIE), query)
    session = await sessions.find(value)
    if session is not None and session.storage_user is not None:
        token = await sessions.storage_token(session)
        await request.app[UPLOADS].send_waiting(session.storage_user, token, StorageLeg.NEEDS_SIGN_IN)
    return see_other(request, local_path(back, "/files"), value)


async def sign_out(request: web.Request) -> web.Response:
    """`POST /sign-out`: the session's row is deleted, so a copied cookie is worth nothing any more."""
    session = (await visitor(request)).session
    await request.app[PAGE_SESSIONS].sign_out(cookie(request, PAGE_COOKIE))
    if session is not None and session.storage_user is not None:
        await request.app[UPLOADS].sign_out(session.storage_user)
    response = see_other(request, "/")
    response.headers["Clear-Site-Data"] = '"storage"'  # what the files page kept of files that had not come whole
    drop_cookie(response, request.app[SITE], PAGE_COOKIE)
    return response


def see_other(request: web.Request, place: str, cookie_value: str | None = None) -> web.Response:
    """Send the browser on, perhaps with a new page cookie."""
    response = web.Response(status=303, headers={hdrs.LOCATION: place})
    if cookie_value is not None:
        set_cookie(response, request.app[SITE], PAGE_COOKIE, cookie_value)
    return response
