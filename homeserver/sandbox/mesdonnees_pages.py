"""The storage's pages for people: sign-in, the portal that activates a space, consent, and a list of what arrived.

They stand for pages on which the real service knows the browser by its own session. Here an address says who it is for
(`user`), and whoever opens it acts for them: this is a loopback sandbox. What holds all the same is that people are
sent back only to an allowed origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import jinja2
from aiohttp import web
from multidict import MultiMapping

from homeserver.sandbox.faults import effect_of
from homeserver.sandbox.mesdonnees_space import Consent, Standing, StorageSpace, StorageUser
from homeserver.sandbox.saml import PATH, BadRequest, IdentityProviderStandIn, SignInRequest

MAX_ADDRESS_CHARACTERS: Final = 2048
MAX_STATE_CHARACTERS: Final = 512
"""Of a RelayState, which SAML bounds by 80 bytes."""

_TEMPLATES: Final = Path(__file__).parent / "templates"
_CHOICES: Final = {"once": Consent.ONCE, "always": Consent.ALWAYS, "refuse": Consent.REFUSED}


class StoragePages:
    """The pages under `/mesdonnees`.

    Attributes:
        return_origins: Where browsers may be sent, such as `http://127.0.0.1:8080`. Tests add to it.
    """

    def __init__(
        self, space: StorageSpace, provider: IdentityProviderStandIn, *, home_url: str, service_id: str
    ) -> None:
        self._space = space
        self._provider = provider
        self._home_url = home_url
        self._service_id = service_id
        self.return_origins = {origin} if (origin := _origin_of(home_url)) else set()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["size"] = readable_size
        self._templates.filters["when"] = _readable_time
        self._style = (_TEMPLATES / "mesdonnees_style.css").read_text(encoding="utf-8")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/mesdonnees/", self._arrived),
            web.get("/mesdonnees/style.css", self._style_sheet),
            web.get("/mesdonnees/post.js", self._script),
            web.get("/mesdonnees/metadata", self._metadata),
            web.get(PATH, self._sign_in),
            web.post(PATH, self._signed_in),
            web.get("/mesdonnees/portal", self._portal),
            web.post("/mesdonnees/portal", self._activated),
            web.get("/mesdonnees/consent", self._consent),
            web.post("/mesdonnees/consent", self._decided),
        ]

    # --- what arrived -------------------------------------------------------------------------------------------------

    async def _arrived(self, _request: web.Request) -> web.Response:
        return self._page(
            "arrived", title="What arrived", files=reversed(self._space.received), users=self._space.users
        )

    async def _style_sheet(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css", charset="utf-8")

    # --- sign-in ------------------------------------------------------------------------------------------------------

    async def _script(self, _request: web.Request) -> web.Response:
        return web.Response(text="document.forms[0].submit();\n", content_type="text/javascript", charset="utf-8")

    async def _metadata(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._provider.metadata(), content_type="application/samlmetadata+xml")

    async def _sign_in(self, request: web.Request) -> web.Response:
        given = {name: request.query[name] for name in request.query}
        asked = self._asked(given)
        if isinstance(asked, web.Response):
            return asked
        return self._page(
            "sign_in", title="Sign in", given=given, site=_host_of(asked.acs_url), users=self._space.users
        )

    async def _signed_in(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = {name: value for name in form if isinstance(value := form[name], str)}
        asked = self._asked(given)
        if isinstance(asked, web.Response):
            return asked
        user = self._space.users.get(given.get("user", ""))
        if user is None:
            return self._refused("Nobody here has that name.")
        wrong = effect_of(request).removeprefix("saml=")
        fields = self._provider.answer(asked, user, given.get("RelayState"), wrong)
        return self._page("answer", title="Signed in", target=asked.acs_url, fields=fields, user=user)

    def _asked(self, given: Mapping[str, str]) -> SignInRequest | web.Response:
        """What a site asks for; or what is wrong with it, as a page."""
        try:
            asked = self._provider.read(given)
        except BadRequest as error:
            return self._refused(f"A site has sent you here with a request that does not work: {error}.")
        if not self._is_allowed(asked.acs_url) or len(given.get("RelayState", "")) > MAX_STATE_CHARACTERS:
            return self._refused("This sign-in does not lead back to a site that we know.")
        return asked

    # --- activation ---------------------------------------------------------------------------------------------------

    async def _portal(self, request: web.Request) -> web.Response:
        return self._portal_page(_one(request.query, "user"))

    async def _activated(self, request: web.Request) -> web.Response:
        user_id = _one(await request.post(), "user")
        user = self._space.users.get(user_id)
        if user is not None and user.standing is Standing.NOT_ACTIVATED:
            user.standing = Standing.ACTIVE
        return self._portal_page(user_id)

    def _portal_page(self, user_id: str) -> web.Response:
        user = self._space.users.get(user_id)
        if user is None:
            return self._refused("This link does not say whose space it is about.")
        return self._page("portal", title="Your space", user=user, home_url=self._home_url, standings=Standing)

    # --- consent ------------------------------------------------------------------------------------------------------

    async def _consent(self, request: web.Request) -> web.Response:
        target = _one(request.query, "urlRetour")
        user = self._space.users.get(_one(request.query, "user"))
        if user is None or _one(request.query, "serviceId") != self._service_id:
            return self._refused("This link does not say who wants to do what.")
        if target and not self._is_allowed(target):
            return self._refused("This link does not lead back to a site that we know.")
        return self._consent_page(user, target, decided=False)

    async def _decided(self, request: web.Request) -> web.Response:
        form = await request.post()
        target, choice = _one(form, "urlRetour"), _one(form, "choice")
        user = self._space.users.get(_one(form, "user"))
        if user is None or choice not in _CHOICES:
            return self._refused("This form does not say who decided what.")
        if target and not self._is_allowed(target):
            return self._refused("This link does not lead back to a site that we know.")
        user.consent = _CHOICES[choice]
        return _see_other(target) if target else self._consent_page(user, "", decided=True)

    def _consent_page(self, user: StorageUser, target: str, *, decided: bool) -> web.Response:
        return self._page(
            "consent",
            title="Your permission",
            user=user,
            target=target,
            site=_host_of(target or self._home_url),
            decided=decided,
        )

    # --- shared -------------------------------------------------------------------------------------------------------

    def _is_allowed(self, address: str) -> bool:
        return len(address) <= MAX_ADDRESS_CHARACTERS and _origin_of(address) in self.return_origins

    def _refused(self, reason: str) -> web.Response:
        return self._page("refused", status=400, title="This does not work", reason=reason)

    def _page(self, name: str, *, status: int = 200, **values: object) -> web.Response:
        # A form's redirect must pass form-action as well, so the sites that people go back to stand there.
        form_action = " ".join(["'self'", *sorted(self.return_origins)])
        return web.Response(
            status=status,
            text=self._templates.get_template(f"mesdonnees_{name}.html").render(values),
            content_type="text/html",
            charset="utf-8",
            headers={
                "Cache-Control": "no-store",
                "Content-Security-Policy": (
                    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; "
                    f"form-action {form_action}; "
                    "base-uri 'none'; frame-ancestors 'none'"
                ),
                # Not no-referrer: browsers then send `Origin: null` with a form, which the sandbox refuses.
                "Referrer-Policy": "same-origin",
                "X-Content-Type-Options": "nosniff",
            },
        )


def readable_size(size_bytes: int) -> str:
    """For people: `31.2 kB`, decimal units as storage is sold."""
    if size_bytes < 1000:
        return f"{size_bytes} bytes" if size_bytes != 1 else "1 byte"
    if size_bytes < 999_950:
        return f"{size_bytes / 1e3:.1f} kB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 999_950_000 else f"{size_bytes / 1e9:.1f} GB"


def _readable_time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%d %b %Y, %H:%M:%S UTC")


def _one(values: MultiMapping[object], name: str) -> str:
    """A parameter that is there exactly once and is text; empty otherwise."""
    found = values.getall(name, [])
    return found[0] if len(found) == 1 and isinstance(found[0], str) else ""


def _origin_of(address: str) -> str:
    """`http://127.0.0.1:8080` of an address that a browser reads as we do; empty for any other."""
    if not address.isascii() or not address.isprintable() or any(character in address for character in ' \\"<>'):
        return ""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        return ""
    default = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port in {None, default} else f":{port}")


def _host_of(address: str) -> str:
    return urlsplit(address).netloc


def _see_other(address: str) -> web.Response:
    # As it is: HTTPSeeOther would have the URL library write it anew, and the site compares what it gets back.
    return web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})
