"""Shindig, our whole server, and an address that writes down what Shindig sends, all on loopback and joined."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from aiohttp import ClientSession, web

from homeserver import config
from homeserver.clients.container import ContainerClient
from homeserver.model import HttpReply, HttpRequest, NowMs
from homeserver.protocol.dialects import SHINDIG, Dialect
from homeserver.protocol.oauth1 import Credentials, Verified, verify
from homeserver.protocol.opensocial import Call
from homeserver.protocol.trusted_signers import TrustedSigner
from homeserver.web import keys as app_keys
from homeserver.web.bodies import as_it_travelled
from tests.interop.shindig import Shindig
from tests.interop.society import APP_ID, CONSUMER_KEY, CONTAINER_KEY, JANE, KEY_NAME, Keys
from tests.saml_kit import metadata_file

UNPARSEABLE: Final = "throw 1; < don't be evil' >"
"""Stands before every answer of makeRequest, lest another site load it as a script."""
OTHER_SPEC: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Module><ModulePrefs title="Another gadget"/><Content type="html"><![CDATA[<p>another</p>]]></Content></Module>
"""
_PAGE: Final = '<!doctype html><title>container</title><iframe src="{}" width="835" height="600"></iframe>'


@dataclass(frozen=True, slots=True)
class Answer:
    """What makeRequest brought back."""

    status: int
    text: str


@dataclass(slots=True)
class Capture:
    """Answers everything, and writes it down as it travelled. `/other.xml` is somebody else's gadget."""

    origin: str
    calls: list[HttpRequest] = field(default_factory=list)

    @property
    def other_gadget(self) -> str:
        return f"{self.origin}/other.xml"

    @property
    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/other.xml", self._other)
        app.router.add_get("/container.html", self._container)
        app.router.add_route("*", "/{tail:.*}", self._write_down)
        return app

    def page(self, frame_url: str) -> str:
        """The address of a page that shows `frame_url` in a frame, as a container's page shows a gadget."""
        return f"{self.origin}/container.html?{urlencode({'frame': frame_url})}"

    async def _other(self, request: web.Request) -> web.Response:
        return web.Response(text=OTHER_SPEC, content_type="text/xml")

    async def _container(self, request: web.Request) -> web.Response:
        frame = request.query["frame"].replace("&", "&amp;").replace('"', "&quot;")
        return web.Response(text=_PAGE.format(frame), content_type="text/html")

    async def _write_down(self, request: web.Request) -> web.Response:
        self.calls.append(await as_it_travelled(request, 1 << 20))
        return web.json_response({"ok": True})


@dataclass(slots=True)
class World:
    """All of it, running."""

    shindig: Shindig
    home_url: str
    app: web.Application = field(repr=False)
    capture: Capture
    keys: Keys = field(repr=False)
    session: ClientSession = field(repr=False)
    """For tests that act as a browser or as Shindig's page."""
    signed_session: ClientSession = field(repr=False)
    """A session of `transport.open_session`, for clients."""
    handshakes: list[HttpRequest]
    """Every signed call that reached our server, as it travelled."""
    writers: Iterator[str]
    """People whom no other test touches."""

    @property
    def gadget_url(self) -> str:
        return f"{self.home_url}/gadget.xml"

    @property
    def credentials(self) -> Credentials:
        return Credentials(CONSUMER_KEY, self.keys.consumer_secret)

    @property
    def signers(self) -> tuple[TrustedSigner, TrustedSigner]:
        return (
            TrustedSigner.from_key(CONTAINER_KEY, self.keys.public_pem, container="shindig", key_name=KEY_NAME),
            TrustedSigner.from_secret(CONSUMER_KEY, self.keys.consumer_secret, container="shindig"),
        )

    def client(
        self,
        *,
        dialect: Dialect = SHINDIG,
        credentials: Credentials | None = None,
        now_ms: NowMs | None = None,
        **more: Any,
    ) -> ContainerClient:
        """Our client, signed as our application unless `credentials` are others, by the true time unless `now_ms`."""
        return ContainerClient(
            self.signed_session,
            self.shindig.base_url,
            dialect,
            credentials or self.credentials,
            now_ms=now_ms or true_now_ms,
            **more,
        )

    async def synced(self) -> None:
        """Wait until our server has read whatever a handshake made it want to read."""
        await self.app[app_keys.SYNC].settled()

    # --- the container's browser side ---------------------------------------------------------------------------------

    def token(self, owner: str, viewer: str, *, app_url: str | None = None) -> str:
        """The sample container's security token: who looks at whose gadget."""
        parts = (owner, viewer, APP_ID, CONTAINER_KEY, app_url or self.gadget_url, "0", "default")
        return ":".join(quote(part, safe="") for part in parts)

    async def make_request(
        self,
        url: str,
        method: str = "GET",
        body: str = "",
        *,
        owner: str,
        viewer: str | None = None,
        app_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        **parameters: str,
    ) -> Answer:
        """What `gadgets.io.makeRequest` posts for a signed call, and what it brings back."""
        form = {
            "url": url,
            "httpMethod": method,
            "postData": body,
            "headers": urlencode(dict(headers or {}), quote_via=quote),
            "authz": "signed",
            "contentType": "TEXT",
            "signOwner": "true",
            "signViewer": "true",
            "nocache": "1",
            "bypassSpecCache": "",  # 2.5.0-beta1 breaks without it
            "gadget": app_url or self.gadget_url,
            "container": "default",
            "st": self.token(owner, viewer or owner, app_url=app_url),
            **parameters,
        }
        async with self.session.post(f"{self.shindig.origin}/gadgets/makeRequest", data=form) as response:
            text = await response.text()
        assert response.status == 200, text
        assert text.startswith(UNPARSEABLE), repr(text)
        [answer] = json.loads(text.removeprefix(UNPARSEABLE)).values()
        return Answer(answer["rc"], answer.get("body", ""))

    async def captured(self, url: str, method: str = "GET", body: str = "", **parameters: Any) -> HttpRequest:
        """The call that Shindig made of a makeRequest to the capturing address."""
        before = len(self.capture.calls)
        answer = await self.make_request(url, method, body, **parameters)
        assert answer.status == 200, answer
        [call] = self.capture.calls[before:]
        return call

    def verified(self, call: HttpRequest, **changed: Any) -> Verified:
        """Our verdict about a captured call."""
        arguments: dict[str, Any] = {
            "public_url": self.capture.origin,
            "signers": self.signers,
            "now_s": time.time(),
            **changed,
        }
        return verify(call, **arguments)

    def frame_url(self, owner: str, viewer: str, view: str = "canvas") -> str:
        """Where Shindig renders our gadget."""
        query = {
            "url": self.gadget_url,
            "container": "default",
            "view": view,
            "mid": "0",
            "nocache": "1",
            "country": "ALL",
            "lang": "ALL",
            "parent": self.capture.origin,
            "st": self.token(owner, viewer),
        }
        return f"{self.shindig.origin}/gadgets/ifr?{urlencode(query)}"


def true_now_ms() -> int:
    """Shindig has no clock that a test could move, so here the machine's counts."""
    return time.time_ns() // 1_000_000


def settings(folder: Path, home_url: str, shindig: Shindig, keys: Keys) -> config.Settings:
    """Our server's, joined to Shindig as an operator would join it."""
    public_key = folder / "container.pem"
    public_key.write_text(keys.public_pem)
    signer = {"container": "shindig", "consumer_key": CONTAINER_KEY, "key_name": KEY_NAME, "certificate": public_key}
    by_secret = {
        "container": "shindig",
        "consumer_key": CONSUMER_KEY,
        "method": "HMAC-SHA1",
        "secret": keys.consumer_secret,
        "own_app_only": True,
    }
    return config.load(
        None,
        server={"public_url": home_url, "secret_key": "interoperability " * 3, "boards_visible_to": "everyone"},
        database={"url": f"sqlite:///{folder / 'homeserver.sqlite3'}"},
        container={
            "name": "shindig",
            "base_url": shindig.base_url,
            "consumer_key": CONSUMER_KEY,
            "consumer_secret": keys.consumer_secret,
            "dialect": "shindig",
        },
        gadget={
            "allowed_origins": [shindig.origin],
            "trusted_signers": [signer, by_secret],
            "translations": {"fr": {"title": "Lettres"}},
        },
        # Nothing here sends a file: nobody listens at these.
        mesdonnees={
            "base_url": "http://127.0.0.1:9",
            "service_id": "none",
            "service_password": "none",
            "upload_hosts": ["localhost"],
            "portal_hosts": ["localhost"],
            "allow_http_loopback": True,
            "spool_dir": folder / "spool",
        },
        sign_in={"metadata": metadata_file(folder)},
        boards=({"id": "letters", "title": "Letters written", "field": "letters"},),
    )


async def send(client: ContainerClient, call: Call, requestor_id: str | None = JANE) -> HttpReply:
    """A call that our client would never make, signed and sent by it all the same."""
    return await client._send(call, requestor_id)  # type: ignore[arg-type]  # nobody is somebody here
