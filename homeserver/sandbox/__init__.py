"""The sandbox: a container and a storage service that are faithful on the wire and need no account anywhere.

One application on one loopback port. Its code shares nothing with the home server's but plain values, so that the two
cannot agree on a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from homeserver.model import NowMs
from homeserver.sandbox.container import ContainerStandIn
from homeserver.sandbox.faults import CannedReply, Fault, Faults, fault_middleware
from homeserver.sandbox.gadgets import GadgetHost, is_loopback
from homeserver.sandbox.mesdonnees import StorageStandIn
from homeserver.sandbox.pages import Pages
from homeserver.sandbox.rendering import Renderer
from homeserver.sandbox.rest import RestService
from homeserver.sandbox.settings import SandboxSettings

__all__ = ["CannedReply", "ContainerStandIn", "Fault", "Faults", "Sandbox", "SandboxSettings", "StorageStandIn"]

MAX_BODY_BYTES: Final = 1024 * 1024
"""Of requests that are read whole; what is stored is streamed and has limits of its own."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:[0-9]{1,5})?", re.ASCII)


class Sandbox:
    """Both stand-ins, ready to serve.

    Attributes:
        app: To be served once, on a loopback address, where `settings.public_url` says.
        container, storage: The stand-ins, to look into and to change.
        gadgets: The container's browser side; `gadgets.told` holds the lifecycle events sent.
        faults: What goes wrong next.
        certificate_pem: The certificate of the container's signing key.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.faults = Faults()
        self.container = ContainerStandIn(settings)
        self.certificate_pem = self.container.certificate_pem
        self.storage = StorageStandIn(
            public_url=settings.public_url,
            service_id=settings.service_id,
            service_password=settings.service_password,
            home_url=settings.home_url,
            token_key=settings.derive_key("storage tokens"),
            now_ms=settings.now_ms,
            faults=self.faults,
            saml_key=settings.saml_key,
            url_lifetime_ms=settings.upload_url_lifetime_ms,
            token_lifetime_ms=settings.token_lifetime_ms,
            quota_bytes=settings.quota_bytes,
        )
        renderer = Renderer(home_url=settings.home_url)
        self.gadgets = GadgetHost(self.container, renderer)
        self.app = web.Application(
            client_max_size=MAX_BODY_BYTES,
            middlewares=[_dated(settings.now_ms), _only_loopback, fault_middleware(self.faults)],
        )
        self.app.add_routes(RestService(self.container).routes())
        self.app.add_routes(self.gadgets.routes())
        self.app.add_routes(Pages(self.container, self.gadgets, renderer).routes())
        self.app.add_routes(self.storage.routes())
        self.app.cleanup_ctx.append(self.gadgets.running)
        self.app.on_response_prepare.append(_add_headers)
        self.app.on_shutdown.append(_let_go(self.faults))


def _dated(now_ms: NowMs) -> Middleware:
    """Answers bear the sandbox's own time, as signatures are checked by it; a fault may have given them another."""

    @web.middleware
    async def dated(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            answer.headers.setdefault("Date", formatdate(now_ms() / 1000, usegmt=True))
            raise
        if not response.prepared:
            response.headers.setdefault("Date", formatdate(now_ms() / 1000, usegmt=True))
        return response

    return dated


@web.middleware
async def _only_loopback(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep other sites out: their pages may reach this port by a name of theirs, or by a form that they send here."""
    match = _HOST.fullmatch(request.host)
    if match is None or not is_loopback(match[1].strip("[]")):
        raise web.HTTPForbidden(text="The sandbox answers to names of this machine only, such as localhost.")
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin is not None and origin != f"{request.scheme}://{request.host}":
        raise web.HTTPForbidden(text="The sandbox takes forms from its own pages only.")
    return await handler(request)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001 - a signal
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")


def _let_go(faults: Faults) -> Callable[[web.Application], Awaitable[None]]:
    """Requests that a fault holds would hold up the shutdown."""

    async def let_go(app: web.Application) -> None:  # noqa: ARG001 - a signal
        faults.clear()

    return let_go
