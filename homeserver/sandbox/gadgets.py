"""What the container does for a gadget in a frame: fetch and render its specification, call its home server for it, and
tell that server who added or removed the application.

The frame shows a security token; identity comes from there and never from the gadget's script. Calls are signed anew
each time, follow no redirect, and reach this machine only. Sources: OpenSocial 0.8 `gadgets.io.makeRequest`, 0.9
"Lifecycle Events", Apache Shindig's answers for the form of what comes back.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from yarl import URL

from homeserver.sandbox.container import ContainerStandIn
from homeserver.sandbox.oauth import FORM, HttpMethod, ReservedParameter
from homeserver.sandbox.rendering import Renderer
from homeserver.sandbox.security_token import Opened, SecurityTokens
from homeserver.sandbox.spec import MAX_SPEC_BYTES, BadSpec, Link, Spec, parse_spec, substitute

UNPARSEABLE_PREFIX: Final = "throw 1; < don't be evil' >"
"""Stands before the JSON of makeRequest, so that no page can read it as a script."""
MAX_ANSWER_BYTES: Final = 1024 * 1024
SPEC_LIFETIME_MS: Final = 60_000
VIEWS: Final = ("canvas", "profile", "home")

_NO_STORE: Final = {"Cache-Control": "no-store"}
_TIMEOUT: Final = ClientTimeout(total=10, sock_connect=3)
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE")
_KEPT_FROM_GADGETS: Final = frozenset(
    {"host", "cookie", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
    | {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "origin", "referer"}
)


class CallRefused(Exception):
    """A call that the container does not make: `rc` and `text` are what the gadget sees."""

    def __init__(self, rc: int, text: str) -> None:
        super().__init__(text)
        self.rc = rc
        self.text = text


@dataclass(frozen=True, slots=True)
class Answer:
    """What the home server said, read whole. Header names are in lower case; Set-Cookie is kept back."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Told:
    """An event that the home server was told of. `status` is None where no answer came, and `problem` says why."""

    event: str
    person_id: str
    status: int | None
    problem: str = ""


class GadgetHost:
    """Serves `/gadgets/...` and makes the container's calls. Needs `running` in the application's cleanup contexts.

    Attributes:
        told: The last lifecycle events, oldest first.
    """

    def __init__(self, container: ContainerStandIn, renderer: Renderer) -> None:
        settings = container.settings
        self._container = container
        self._settings = settings
        self._renderer = renderer
        self._tokens = SecurityTokens(key=secrets.token_bytes(32), now_ms=settings.now_ms)
        self._own_port = urlsplit(settings.public_url).port
        self._session: ClientSession | None = None
        self._spec: tuple[int, Spec] | None = None
        self.told: deque[Told] = deque(maxlen=100)

    async def running(self, app: web.Application) -> AsyncIterator[None]:  # noqa: ARG002 - the signature of a context
        """Holds the connections to the home server while the application runs."""
        async with ClientSession(
            timeout=_TIMEOUT,
            cookie_jar=DummyCookieJar(),
            # aiohttp repeats a request whose kept connection was gone; with one nonce that would be a replay.
            connector=TCPConnector(force_close=True),
        ) as session:
            self._session = session
            yield
        self._session = None

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/gadgets/ifr", self._frame), web.post("/gadgets/makeRequest", self._make_request)]

    def token_for(self, owner: str | None, viewer: str | None) -> str:
        """The security token with which `viewer` opens the application on `owner`'s page."""
        viewer = viewer if viewer is not None and self._container.has_app(viewer) else None
        return self._tokens.issue(Opened(owner, viewer, self._settings.app_id, self._settings.gadget_url))

    async def tell(self, event: str, person_id: str) -> Told:
        """Tell the home server of `event.addapp` or `event.removeapp`, signed; a server that is away is no error.

        The specification's Link says where; without one it is `/gadget/lifecycle` of the home server.
        """
        try:
            link = (await self._read_spec(fresh=False)).link_for(event)
        except (BadSpec, CallRefused):
            link = None
        link = link or Link(f"{self._settings.home_url}/gadget/lifecycle")
        query = urlencode({"eventtype": event, "id": person_id})
        try:
            if link.method == "POST":
                answer = await self._signed_call("POST", link.href, None, None, body=query.encode())
            else:
                separator = "&" if "?" in link.href else "?"
                answer = await self._signed_call("GET", f"{link.href}{separator}{query}", None, None)
            told = Told(event, person_id, answer.status)
        except CallRefused as refusal:
            told = Told(event, person_id, None, refusal.text)
        self.told.append(told)
        return told

    # --- the frame ----------------------------------------------------------------------------------------------------

    async def _frame(self, request: web.Request) -> web.Response:
        opened = self._tokens.read(request.query.get("st", ""))
        if opened is None or request.query.get("url") != opened.app_url:
            return self._renderer.gadget_error(
                "This opening of the gadget has ended. Reload the page around it.", status=403
            )
        view = request.query.get("view", "canvas")
        language, country = _short(request, "lang", "en"), _short(request, "country", "ALL")
        try:
            spec = await self._read_spec(fresh=request.query.get("nocache") == "1")
            content = spec.content_for(view)
        except (BadSpec, CallRefused) as problem:
            return self._renderer.gadget_error(f"The gadget cannot be shown: {problem}", status=502)
        if opened.viewer is not None:
            self._container.open_gadget(opened.viewer)
        if content.href is not None:
            raise web.HTTPSeeOther(content.href)
        messages = spec.messages_for(language, country)
        html, title = (
            substitute(text, preferences=spec.preferences, messages=messages, module_id=0)
            for text in (content.html, spec.title)
        )
        told_to_script = {
            "token": request.query["st"],
            "view": view,
            "views": VIEWS,
            "language": language,
            "country": country,
            "preferences": spec.preferences,
            "messages": messages,
        }
        return self._renderer.gadget(title=title, language=language, content=html, settings=told_to_script)

    async def _read_spec(self, *, fresh: bool) -> Spec:
        """The specification, at most `SPEC_LIFETIME_MS` old.

        Raises:
            BadSpec, CallRefused: It cannot be used, or not be had.
        """
        now_ms = self._settings.now_ms()
        if self._spec is not None and not fresh and 0 <= now_ms - self._spec[0] < SPEC_LIFETIME_MS:
            return self._spec[1]
        answer = await self._call("GET", self._settings.gadget_url, {}, b"", limit_bytes=MAX_SPEC_BYTES)
        if answer.status != 200:
            raise BadSpec(f"{self._settings.gadget_url} answered {answer.status}")
        spec = parse_spec(answer.body)
        self._spec = (now_ms, spec)
        return spec

    # --- calls to the home server -------------------------------------------------------------------------------------

    async def _make_request(self, request: web.Request) -> web.Response:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        opened = self._tokens.read(form.get("st", ""))
        if opened is None:
            raise web.HTTPForbidden(text="The security token is missing, wrong or expired.")
        if opened.viewer is not None and self._container.has_app(opened.viewer):
            self._container.open_gadget(opened.viewer)
        url = form.get("url", "")
        try:
            answer = await self._call_as_asked(form, opened)
            body = answer.body.decode(errors="replace")
            shown: dict[str, object] = {"rc": answer.status, "body": body, "headers": answer.headers}
        except CallRefused as refusal:
            shown = {"rc": refusal.rc, "body": "", "headers": {}, "errors": [refusal.text]}
        return web.Response(
            text=UNPARSEABLE_PREFIX + json.dumps({url: shown}), content_type="application/json", headers=_NO_STORE
        )

    async def _call_as_asked(self, form: Mapping[str, str], opened: Opened) -> Answer:
        method = form.get("httpMethod", "GET").upper()
        if method not in _METHODS:
            raise CallRefused(400, f"the method {method[:20]} is not one of {', '.join(_METHODS)}")
        http_method = cast("HttpMethod", method)
        headers = {
            name: value
            for name, value in parse_qsl(form.get("headers", ""), keep_blank_values=True)
            if name.lower() not in _KEPT_FROM_GADGETS
        }
        if any(not name.isascii() or not name.replace("-", "").isalnum() for name in headers):
            raise CallRefused(400, "a header has a name that HTTP does not allow")
        if any(not value.isprintable() for value in headers.values()):
            raise CallRefused(400, "a header has a value that HTTP does not allow")
        content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        body = form.get("postData", "").encode() if method in ("POST", "PUT") else b""
        url = form.get("url", "")
        authorization = form.get("authz", "none").lower()
        if authorization == "none":
            if content_type or body:
                headers["Content-Type"] = content_type or FORM
            return await self._call(http_method, url, headers, body)
        if authorization != "signed":
            raise CallRefused(501, "AUTHORIZATION may be NONE or SIGNED here")
        service = form.get("OAUTH_SERVICE_NAME", "")
        if service not in ("", "HMAC"):
            raise CallRefused(403, "Unable to retrieve consumer key")
        owner = opened.owner if form.get("signOwner", "true") == "true" else None
        viewer = opened.viewer if form.get("signViewer", "true") == "true" else None
        method_name = "HMAC-SHA1" if service == "HMAC" else "RSA-SHA1"
        return await self._signed_call(
            http_method, url, owner, viewer, headers=headers, body=body, content_type=content_type,
            signature_method=method_name,
        )  # fmt: skip

    async def _signed_call(
        self,
        method: HttpMethod,
        url: str,
        owner: str | None,
        viewer: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        content_type: str = "",
        signature_method: str = "RSA-SHA1",
    ) -> Answer:
        self._check_target(url)
        try:
            signed, more = self._container.sign_request(
                method, url, owner=owner, viewer=viewer, signature_method=signature_method, body=body,
                content_type=content_type,
            )  # fmt: skip
        except (ReservedParameter, ValueError) as error:
            raise CallRefused(403, str(error)) from None
        return await self._call(method, signed, {**(headers or {}), **more}, body)

    async def _call(
        self,
        method: HttpMethod,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        limit_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """One exchange with something on this machine. Raises CallRefused where there is no answer that can be used."""
        self._check_target(url)
        if self._session is None:
            raise CallRefused(503, "the sandbox is not running")
        try:
            async with self._session.request(
                method, URL(url, encoded=True), headers=headers, data=body or None, allow_redirects=False
            ) as response:
                received = await _read_at_most(response, limit_bytes)
                names = {name.lower() for name in response.headers} - {"set-cookie"}
                kept = {name: response.headers.getall(name) for name in sorted(names)}
                return Answer(response.status, kept, received)
        except (ClientError, TimeoutError, ValueError) as error:
            place = urlsplit(url).netloc
            raise CallRefused(502, f"no usable answer from {place} ({type(error).__name__})") from error

    def _check_target(self, url: str) -> None:
        """Only this machine is called, and not this sandbox itself: what it signs would be believed here too."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise CallRefused(400, "the URL cannot be read") from None
        if parts.scheme not in ("http", "https") or not is_loopback(parts.hostname or "") or "@" in parts.netloc:
            raise CallRefused(403, "the sandbox calls http and https on this machine only")
        if port == self._own_port:
            raise CallRefused(403, "the sandbox does not call itself")


def is_loopback(host: str) -> bool:
    """Whether a host name or address, without port and brackets, is this machine by its own word."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _read_at_most(response: ClientResponse, limit_bytes: int) -> bytes:
    received = bytearray()
    async for chunk in response.content.iter_any():
        received += chunk
        if len(received) > limit_bytes:
            raise CallRefused(502, f"the answer is larger than {limit_bytes} bytes")
    return bytes(received)


def _short(request: web.Request, name: str, default: str) -> str:
    value = request.query.get(name, default)
    return value if len(value) <= 8 and value.isascii() and value.isalnum() else default
