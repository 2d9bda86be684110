"""What surrounds every handler: errors become answers here and nowhere else, unsafe requests are checked."""

from __future__ import annotations

import secrets
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from homeserver import errors
from homeserver.web import problems, security
from homeserver.web.board_cache import KeptResponse
from homeserver.web.bodies import wants_json
from homeserver.web.keys import SITE
from homeserver.web.problems import Problem
from homeserver.web.rendering import render
from homeserver.web.statics import PREFIX as STATIC_PREFIX
from homeserver.web.statics import STATIC_FILES
from homeserver.web.words import heading

GADGET_PREFIX: Final = "/gadget/"
CORS_PREFIX: Final = "/gadget/v1/"
API_PREFIX: Final = "/admin/api/"

_log = structlog.get_logger(__name__)
_MAX_AGE_S: Final = 600


# --- errors ---------------------------------------------------------------------------------------------------------


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem document or a page in words. Nothing of a bug leaves the house."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _answer(request, problems.of_http(error))
    except errors.HomeServerError as error:
        _note(request, error)
        if isinstance(error, errors.NotSignedIn) and (place := _sign_in_place(request)):
            raise web.HTTPSeeOther(place) from error
        return _answer(request, problems.of_error(error))
    except Exception:
        error_id = secrets.token_hex(8)
        _log.exception("unexpected error", error_id=error_id, method=request.method, route=_route(request))
        return _answer(request, problems.of_bug(error_id))


def _note(request: web.Request, error: errors.HomeServerError) -> None:
    """Write down what the operator should know; what a caller did wrong is their own affair."""
    match error:
        case errors.RemoteError(service=service):
            _log.warning("remote service failed", service=service, code=error.code, message=str(error))
        case errors.SignInRefused(check=check, detail=detail):
            _log.warning("sign_in_refused", check=check, detail=detail)
        case _ if problems.of_error(error).status >= 500:
            _log.error("request failed", code=error.code, message=str(error), route=_route(request))


def _route(request: web.Request) -> str:
    """The route's pattern: a path may hold a one-time token."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def _sign_in_place(request: web.Request) -> str | None:
    """Where a page that needs a sign-in sends a browser; None where words are better."""
    if wants_json(request):
        return None
    if request.path == security.ADMIN_PATH or request.path.startswith(f"{security.ADMIN_PATH}/"):
        return "/admin/sign-in"
    if request.path == "/files" or request.path.startswith("/files/"):
        return "/sign-in?back=/files"
    return None


def _answer(request: web.Request, problem: Problem) -> web.Response:
    headers = dict(problem.headers)
    if problem.status == 401 and request.path.startswith((CORS_PREFIX, API_PREFIX)):
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if wants_json(request):
        return web.Response(
            status=problem.status, body=problem.dump(), content_type=problems.PROBLEM_TYPE, headers=headers
        )
    response = render(request, "error.html", status=problem.status, problem=problem, heading=heading(problem.status))
    response.headers.update(headers)
    return response


# --- requests -------------------------------------------------------------------------------------------------------


@web.middleware
async def check_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer OPTIONS for every address, and refuse unsafe requests that another site made a browser send.

    Calls under /gadget/, the sign-in's answer and calls of operators' programs are let through: they carry a signature
    or a bearer token, never a cookie.
    """
    if request.method == hdrs.METH_OPTIONS:
        refusal = request.match_info.http_exception
        if isinstance(refusal, web.HTTPMethodNotAllowed):
            return web.Response(
                status=204, headers={hdrs.ALLOW: ", ".join(sorted({*refusal.allowed_methods, "OPTIONS"}))}
            )
    signed = (
        request.path.startswith(GADGET_PREFIX)
        or request.path == security.ANSWER_PATH
        or (request.path.startswith(API_PREFIX) and hdrs.AUTHORIZATION in request.headers)
    )
    if request.method not in security.SAFE_METHODS and not signed:
        security.check_same_site(request, request.app[SITE])
    return await handler(request)


# --- answers --------------------------------------------------------------------------------------------------------


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer its security headers, and the gadget's answers their CORS headers (a signal of aiohttp)."""
    if isinstance(response, KeptResponse):
        return
    if request.path.startswith(f"{STATIC_PREFIX}/") and response.status < 400:
        response.headers[hdrs.CACHE_CONTROL] = request.app[STATIC_FILES].cache_control(request)
    for name, value in request.app[security.FIXED_HEADERS].items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = security.SERVER
    if request.path.startswith(CORS_PREFIX):
        _allow_origin(request, response)


def _allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    """CORS without credentials: the token travels in a header that the gadget sets, so no cookie is ever meant."""
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or origin not in request.app[SITE].allowed_origins:
        return
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    if request.method == hdrs.METH_OPTIONS:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = response.headers.get(hdrs.ALLOW, "GET")
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "Authorization, Content-Type"
        response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(_MAX_AGE_S)
    else:
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "Retry-After"
