"""The storage stand-in: Orange's Personal Content API as its guide has it, over HTTP.

Step one (`/mesdonnees/PersonalContent/V1?action=getContentUploadURL`) checks the service's Basic pair and the person's
token and gives a one-time URL; step two (`/mesdonnees/upload/{ticket}`) takes one file. What the guide leaves open is
answered strictly here: a missing Content-Length, a wrong or quoted cookie, a size that differs from the announced one
and a body without its closing boundary store nothing. The people's pages are in `mesdonnees_pages.py`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import deque
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

from aiohttp import ClientPayloadError, web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from homeserver.model import NowMs
from homeserver.sandbox import mesdonnees_xml as xml
from homeserver.sandbox.faults import Fault, Faults, effect_of
from homeserver.sandbox.mesdonnees_pages import StoragePages
from homeserver.sandbox.mesdonnees_space import (
    Consent,
    Standing,
    StorageSpace,
    StorageUser,
    StoredFile,
    Ticket,
)
from homeserver.sandbox.mesdonnees_upload import ReceivedFile, UploadBody, UploadRefused
from homeserver.sandbox.multipart import boundary_of
from homeserver.sandbox.saml import IdentityProviderStandIn
from homeserver.sandbox.tokens import Tokens

ACTION: Final = "getContentUploadURL"
COOKIE: Final = "downloadUploadKey"
PART: Final = "file_content"

_STEP_ONE_LINE: Final = "GET /mesdonnees/PersonalContent/V1"
_STEP_TWO_LINE: Final = "POST /mesdonnees/upload/*"
# The words that a fault's `effect` may begin with.
_ERROR: Final = "error="
_DROP_AFTER: Final = "drop_after_bytes="
_URL_EXPIRED: Final = "upload_url_expired"

_ENVELOPE_BYTES: Final = 16_384
"""The most that a multipart body may be longer than its file."""


class _Dropped(Exception):
    """A script wants this connection cut."""


class StorageStandIn:
    """A storage service under `/mesdonnees`, with people for every answer it can give.

    Args:
        public_url: Where browsers and clients reach the application that serves `routes()`, without a slash at the end.
        service_id, service_password: The pair that step one asks for.
        home_url: The site that people come from: the only origin that they are sent back to, unless more are added to
            `return_origins`.
        token_key: Tokens of an earlier run with the same key stay good, and people keep their identifiers.
        saml_key: Signs what sites are told of people; made at the first use where it is None.
        quota_bytes: How much each person may keep.
        faults: Where the scripts below are put; `fault_middleware` of the application makes them happen.

    Attributes:
        files, received, users, urls_issued: See `StorageSpace`.
        md804_url_inside: Put MD804's address inside `<error>`, as the guide's note has it, not after it as its sample.
    """

    def __init__(
        self,
        *,
        public_url: str,
        service_id: str,
        service_password: str,
        home_url: str,
        token_key: bytes,
        now_ms: NowMs,
        faults: Faults,
        saml_key: RSAPrivateKey | None = None,
        url_lifetime_ms: int = 300_000,
        token_lifetime_ms: int = 8 * 3_600_000,
        quota_bytes: int = 1 << 30,
    ) -> None:
        self.public_url = public_url
        self.space = StorageSpace(now_ms=now_ms, quota_bytes=quota_bytes, url_lifetime_ms=url_lifetime_ms)
        self.tokens = Tokens(key=token_key, now_ms=now_ms, lifetime_ms=token_lifetime_ms)
        self.identity_provider = IdentityProviderStandIn(
            public_url, self.tokens, key=saml_key, secret=token_key, now_ms=now_ms
        )
        self.md804_url_inside = False
        self._service = (service_id, service_password)
        self._pages = StoragePages(self.space, self.identity_provider, home_url=home_url, service_id=service_id)
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """Everything below `/mesdonnees`."""
        return [
            web.route("*", "/mesdonnees/PersonalContent/V1", self._step_one),
            web.route("*", "/mesdonnees/upload/{ticket}", self._step_two),
            *self._pages.routes(),
        ]

    # --- for tests and scripts ----------------------------------------------------------------------------------------

    @property
    def users(self) -> dict[str, StorageUser]:
        return self.space.users

    @property
    def files(self) -> dict[str, StoredFile]:
        return self.space.files

    @property
    def received(self) -> deque[StoredFile]:
        return self.space.received

    @property
    def urls_issued(self) -> int:
        return self.space.urls_issued

    @property
    def return_origins(self) -> set[str]:
        return self._pages.return_origins

    def activate(self, user: str) -> None:
        """What the button on the portal does."""
        self.users[user].standing = Standing.ACTIVE

    def consent(self, user: str, consent: Consent) -> None:
        """What the buttons on the consent page do."""
        self.users[user].consent = consent

    def token_for(self, user: str) -> str:
        """What signing in gives a site that asks for it."""
        return self.tokens.issue(self.users[user].id)

    def expire_tokens(self, user: str) -> None:
        """Refuse every token that `user` has by now with 401."""
        self.tokens.expire(user)

    def fail_next(self, code: str, detail: str | None = None, *, inner: str = "500", times: int = 1) -> None:
        """Answer the next `times` calls of step one with `code`, if their token is good.

        `detail` is the guide's text where none is given; `inner` fills the blank in PA900's.
        """
        text = detail if detail is not None else xml.STEP_ONE_DETAILS.get(code, "").format(inner=inner)
        self._faults.add(Fault(_STEP_ONE_LINE, times=times, effect=f"{_ERROR}{code} {text}"))

    def fail_next_upload(self, message: str, *, inner: str = "", where: str = "request", times: int = 1) -> None:
        """Answer the next `times` uploads, received whole, with HTTP 400 and `message`; nothing is stored."""
        text = message.format(inner=inner, where=where)
        self._faults.add(Fault(_STEP_TWO_LINE, times=times, effect=f"{_ERROR}{text}"))

    def expire_next_upload_url(self) -> None:
        """Treat the next URL that is used as one that was used too late."""
        self._faults.add(Fault(_STEP_TWO_LINE, effect=_URL_EXPIRED))

    def drop_next_upload_after(self, *, bytes_: int) -> None:
        """Cut the next upload's connection once `bytes_` of its body, envelope included, have come.

        Its URL is used up.
        """
        self._faults.add(Fault(_STEP_TWO_LINE, effect=f"{_DROP_AFTER}{bytes_}"))

    def lose_next_upload_answer(self) -> None:
        """Store the next upload, then cut the connection where the answer was due."""
        self._faults.add(Fault(_STEP_TWO_LINE, drop_after=True))

    # --- step one -----------------------------------------------------------------------------------------------------

    async def _step_one(self, request: web.Request) -> web.Response:
        if not self._is_the_service(request):
            return _unauthorized()
        if request.method != "GET":
            return web.Response(status=405, headers={"Allow": "GET"}, text="Only GET is allowed here.\n")
        parameters = _parameters_of(request)
        user = self.users.get(self.tokens.user_of(parameters.get("token", "")) or "")
        if user is None:
            return web.Response(status=401, text="The user token is unknown or has expired.\n")
        if (effect := effect_of(request)).startswith(_ERROR):
            code, _, detail = effect.removeprefix(_ERROR).partition(" ")
            return self._step_one_error(user, code, detail)
        if parameters.get("action") != ACTION:
            return self._step_one_error(user, "PA900", xml.STEP_ONE_DETAILS["PA900"].format(inner="unknown action"))
        name, size_text = parameters.get("content_name", ""), parameters.get("content_size", "")
        if (refusal := self.space.refusal(user, name, size_text)) is not None:
            return self._step_one_error(user, refusal, xml.STEP_ONE_DETAILS[refusal])
        ticket = self.space.issue(user, name, int(size_text))
        url = f"{self.public_url}/mesdonnees/upload/{ticket.id}"
        return _xml_reply(200, xml.upload_url(url, ticket.cookie), headers={"Content-Language": "en-US"})

    def _step_one_error(self, user: StorageUser, code: str, detail: str) -> web.Response:
        if code == "-3":
            # The captured address, the odd comma of its attributes included; the person is told by a parameter here.
            service_id = self._service[0]
            query = urlencode({"family": "content", "serviceId": service_id, "attributes": ",add", "user": user.id})
            return _xml_reply(500, xml.consent_needed(f"{self.public_url}/mesdonnees/consent?{query}"))
        portal = f"{self.public_url}/mesdonnees/portal?{urlencode({'user': user.id})}" if code == "MD804" else None
        return _xml_reply(500, xml.error(code, detail, url=portal, url_inside=self.md804_url_inside))

    # --- step two -----------------------------------------------------------------------------------------------------

    async def _step_two(self, request: web.Request) -> web.Response:
        parameters = f"content_name={self.space.peek_name(request.match_info['ticket'])}"
        try:
            return await self._upload(request)
        except UploadRefused as refused:
            return _xml_reply(400, xml.upload_error(refused.message, parameters))
        except (_Dropped, ConnectionError, ClientPayloadError, web.RequestPayloadError):
            return _cut(request)  # a script wants it so, or the sender has hung up

    async def _upload(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            raise UploadRefused(xml.NOT_POST)
        ticket = self.space.take(request.match_info["ticket"])  # before the first byte: one URL, one attempt
        if ticket is None or effect_of(request) == _URL_EXPIRED:
            raise UploadRefused(xml.UPLOADING)
        received = await self._receive(request, ticket)
        if (effect := effect_of(request)).startswith(_ERROR):
            raise UploadRefused(effect.removeprefix(_ERROR))
        file = self.space.store(
            ticket, sha256=received.sha256, media_type=received.media_type, filename=received.filename
        )
        if file is None:
            raise UploadRefused(xml.CANNOT_CREATE)
        answer = xml.stored(
            content_id=file.content_id,
            folder_id=ticket.user.folder_id,
            name=file.name,
            size_bytes=file.size_bytes,
            received_ms=file.received_ms,
        )
        return _xml_reply(200, answer)

    async def _receive(self, request: web.Request, ticket: Ticket) -> ReceivedFile:
        """Read the body through, keeping nothing of it.

        Raises:
            UploadRefused: It is not the one file that was announced.
            _Dropped: A script cuts it.
        """
        effect = effect_of(request)
        drop_after_bytes = int(effect.removeprefix(_DROP_AFTER)) if effect.startswith(_DROP_AFTER) else None
        cookie = _cookie_of(request)
        if cookie is None:
            raise UploadRefused(xml.PARAMETER_MISSING.format(inner=COOKIE, where="cookie"))
        if not hmac.compare_digest(cookie.encode(errors="surrogateescape"), ticket.cookie.encode()):
            raise UploadRefused(xml.UPLOADING)
        boundary = boundary_of(request.headers.get("Content-Type", ""))
        if boundary is None:
            raise UploadRefused(xml.PARAMETER_MISSING.format(inner=PART, where="request"))
        if request.content_length is None or request.content_length > ticket.size_bytes + _ENVELOPE_BYTES:
            raise UploadRefused(xml.UPLOADING)

        upload = UploadBody(boundary, PART)
        body_bytes = 0
        while chunk := await request.content.readany():
            if drop_after_bytes is not None and body_bytes + len(chunk) >= drop_after_bytes:
                raise _Dropped
            body_bytes += len(chunk)
            upload.feed(chunk)
        return upload.finish(ticket.size_bytes)

    def _is_the_service(self, request: web.Request) -> bool:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        right = ":".join(self._service).encode()
        return hmac.compare_digest(given, right) and scheme.lower() == "basic"


def _parameters_of(request: web.Request) -> dict[str, str]:
    """The query as it was sent; a parameter that comes twice counts as missing. "+" is a blank, as in any form."""
    query = request.raw_path.partition("?")[2]
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=32)
    except ValueError:
        return {}
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


def _cookie_of(request: web.Request) -> str | None:
    """The upload cookie exactly as sent: quotes round it belong to the value, and make it wrong."""
    for pair in request.headers.get("Cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def _xml_reply(status: int, text: str, *, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text, content_type="text/xml", charset="utf-8", headers=headers)


def _unauthorized() -> web.Response:
    return web.Response(
        status=401,
        headers={"WWW-Authenticate": 'Basic realm="Personal APIs"'},
        text="Service id and password needed.\n",
    )


def _cut(request: web.Request) -> web.Response:
    """Cut the connection. The response is for the framework alone: it finds nobody to send it to."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=400)
