"""Which language a request is answered in: a visitor's own choice, else what their browser asks for."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from homeserver.errors import BadInput
from homeserver.web.bodies import read_form
from homeserver.web.keys import SITE
from homeserver.web.languages import SOURCE, Language, all_languages, negotiated, speaking
from homeserver.web.security import cookie, cookie_name, local_path

LANGUAGE_PATH: Final = "/language"
LANGUAGE_COOKIE: Final = "language"
_YEAR_S: Final = 365 * 86_400
_FOR_MACHINES: Final = ("/gadget/", "/admin/api/", "/static/", "/metrics", "/healthz", "/readyz", "/openapi.json")
"""What is under these is read by programs, which know codes and English."""


@web.middleware
async def choose_language(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer in the language that the visitor has chosen, or their browser prefers; machines are told in English."""
    with speaking(language_of(request)):
        return await handler(request)


def language_of(request: web.Request) -> Language:
    """The language in which this request is answered."""
    if request.path.startswith(_FOR_MACHINES):
        return all_languages()[SOURCE]
    chosen = all_languages().get(cookie(request, LANGUAGE_COOKIE) or "")
    return chosen or negotiated(",".join(request.headers.getall(hdrs.ACCEPT_LANGUAGE, ())))


async def choose(request: web.Request) -> web.Response:
    """`POST /language`: remember the form's `language` in this browser, and go back to where the form was."""
    form = await read_form(request)
    language = all_languages().get(form.get("language", ""))
    if language is None:
        raise BadInput("Choose one of the languages of this site.", field="language")
    site = request.app[SITE]
    response = web.Response(status=303, headers={hdrs.LOCATION: local_path(form.get("here"), "/")})
    response.set_cookie(
        cookie_name(site, LANGUAGE_COOKIE),
        language.tag,
        max_age=_YEAR_S,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=site.is_https,
    )
    return response
