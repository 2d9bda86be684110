"""`GET /metrics`: figures of all processes together, for whoever has the token, or is on this machine."""

from __future__ import annotations

from aiohttp import hdrs, web

from homeserver.errors import NotSignedIn
from homeserver.services.sync_report import CONTENT_TYPE
from homeserver.web.keys import METRICS_GATE, SYNC_REPORT
from homeserver.web.security import bearer, peer

_LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


async def metrics(request: web.Request) -> web.Response:
    """`GET /metrics`."""
    if not _is_from_here(request) and not _has_token(request):
        raise NotSignedIn("This needs the token of server.metrics_token.")
    body = await request.app[SYNC_REPORT].metrics()
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


def _has_token(request: web.Request) -> bool:
    return hdrs.AUTHORIZATION in request.headers and request.app[METRICS_GATE].admits(bearer(request))


def _is_from_here(request: web.Request) -> bool:
    """Whether a program on this machine asks by itself: what a proxy passes on comes from this machine, too."""
    forwarded = any(name.lower() == "forwarded" or name.lower().startswith("x-forwarded-") for name in request.headers)
    host = request.headers.get(hdrs.HOST, "").rsplit(":", 1)
    named = host[0] if len(host) == 2 and host[1].isdigit() else ":".join(host)
    return not forwarded and peer(request) in _LOOPBACK and named.lower() in _LOOPBACK_HOSTS
