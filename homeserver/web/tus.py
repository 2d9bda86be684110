"""The browser's leg by the tus protocol: a file is declared, comes in parts, and goes on where it stopped.

What the storage refuses outright is known before a byte travels, and answered by a status that no client tries again.
What its owner can put right (activation, consent, signing in) is no refusal: the upload is made, and its state says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import orjson
from aiohttp import hdrs, web

from homeserver.errors import BadInput, Conflict, Forbidden, HomeServerError, NotSignedIn, TooLarge
from homeserver.model import BrowserLeg, Upload
from homeserver.protocol import tus
from homeserver.web.bodies import json_answer, read_body
from homeserver.web.files import members, owner_mark
from homeserver.web.keys import PAGE_SESSIONS, SITE, UPLOADS
from homeserver.web.visitors import storage_session

PATH: Final = "/files/tus/"

_RESUMABLE: Final = "Tus-Resumable"

_PIECE_BYTES: Final = 64 * 1024
"""As much as comes at once on uvloop: more would lie in memory twice where many upload at the same time."""


async def say_version(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer names the version, a refusal too (a signal of aiohttp)."""
    if request.path.startswith(PATH):
        response.headers[_RESUMABLE] = tus.VERSION
        if response.status == 412:
            response.headers["Tus-Version"] = tus.VERSION


async def offer(request: web.Request) -> web.Response:
    """`OPTIONS /files/tus/`: what is offered. Anybody may know."""
    return web.Response(status=204, headers=tus.capabilities(request.app[SITE].max_upload_bytes))


async def create(request: web.Request) -> web.Response:
    """`POST /files/tus/`: declare a file, perhaps with its first bytes. The body of the answer is the upload.

    Our page says in `Upload-Owner` (no header of tus) whose files it holds: they never go to whoever signs in later.
    """
    headers = _headers(request)
    tus.check_version(headers)
    session, user = await storage_session(request)
    if headers.get("upload-owner", owner_mark(user)) != owner_mark(user):
        raise NotSignedIn("Somebody else is signed in here by now.")
    token = await request.app[PAGE_SESSIONS].storage_token(session)
    limit = request.app[SITE].max_upload_bytes
    wanted = tus.parse_creation(headers, max_bytes=limit, has_body=request.can_read_body)
    uploads = request.app[UPLOADS]
    upload = await uploads.declare(user, token, wanted.name, wanted.media_type, wanted.size_bytes)
    if wanted.first_part is not None:
        try:
            await _take(request, upload, user, wanted.first_part)
        except HomeServerError:
            # Whoever is refused is told no address, so nobody would ever send the rest.
            with suppress(Conflict):
                await uploads.cancel(upload.id, user)
            raise
        upload = await uploads.find(upload.id, user)
    answer = json_answer(orjson.dumps(members(upload)), status=201)
    answer.headers[hdrs.LOCATION] = f"{PATH}{upload.id}"
    answer.headers.update(_progress(request, upload))
    return answer


async def show(request: web.Request) -> web.Response:
    """`HEAD /files/tus/{upload}`: how many bytes are here for good."""
    tus.check_version(_headers(request))
    _, user = await storage_session(request)
    return await _show(request, user)


async def append(request: web.Request) -> web.Response:
    """`PATCH /files/tus/{upload}`: the next bytes. However the line breaks, what has come stays."""
    headers = _headers(request)
    tus.check_version(headers)
    _, user = await storage_session(request)
    return await _append(request, user)


async def terminate(request: web.Request) -> web.Response:
    """`DELETE /files/tus/{upload}`: give it up, and keep nothing."""
    tus.check_version(_headers(request))
    _, user = await storage_session(request)
    return await _terminate(request, user)


async def override(request: web.Request) -> web.Response:
    """`POST /files/tus/{upload}` with X-HTTP-Method-Override, from where PATCH and DELETE cannot be sent."""
    headers = _headers(request)
    tus.check_version(headers)
    _, user = await storage_session(request)
    match tus.method_of(request.method, headers):
        case "PATCH":
            return await _append(request, user)
        case "DELETE":
            return await _terminate(request, user)
        case "HEAD":
            return await _show(request, user)
        case _:
            raise web.HTTPMethodNotAllowed(request.method, [hdrs.METH_HEAD, hdrs.METH_PATCH, hdrs.METH_DELETE])


async def _show(request: web.Request, user: str) -> web.Response:
    id_ = request.match_info["upload"]
    await request.app[UPLOADS].offset(id_, user)  # raises for one that is over, or lies elsewhere
    upload = await request.app[UPLOADS].find(id_, user)
    described = tus.description(upload.size_bytes, upload.name, upload.media_type)
    return web.Response(status=200, headers={**_progress(request, upload), **described, hdrs.CACHE_CONTROL: "no-store"})


async def _append(request: web.Request, user: str) -> web.Response:
    id_ = request.match_info["upload"]
    part = tus.parse_part(_headers(request))
    upload = await request.app[UPLOADS].find(id_, user)
    await _take(request, upload, user, part)
    return web.Response(status=204, headers=_progress(request, await request.app[UPLOADS].find(id_, user)))


async def _terminate(request: web.Request, user: str) -> web.Response:
    id_ = request.match_info["upload"]
    await request.app[UPLOADS].offset(id_, user)
    try:
        await request.app[UPLOADS].cancel(id_, user)
    except Conflict as error:
        # 409 and 423 ask tus clients to try again, which changes nothing here.
        raise Forbidden(str(error)) from error
    return web.Response(status=204)


async def _take(request: web.Request, upload: Upload, user: str, part: tus.Part) -> None:
    """Hand a part's bytes on as they come; one with a checksum only when it is whole and known to be good."""
    chunks = _pieces(request) if part.checksum is None else _checked(request, part.checksum)
    await request.app[UPLOADS].receive_part(upload.id, user, part.offset_bytes, chunks)


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes in.

    Raises:
        BadInput: It broke off. Nobody reads that any more, but it must end the part.
    """
    try:
        async for piece in request.content.iter_chunked(_PIECE_BYTES):
            yield piece
    except (ConnectionError, web.RequestPayloadError):
        raise BadInput("The line broke before the part was whole.") from None


async def _checked(request: web.Request, checksum: tus.Checksum) -> AsyncIterator[bytes]:
    try:
        content = await read_body(request, tus.MAX_CHECKED_BYTES)
    except TooLarge:
        raise TooLarge(
            f"A part with a checksum may have {tus.MAX_CHECKED_BYTES:,} bytes. Send smaller ones.",
            limit_bytes=tus.MAX_CHECKED_BYTES,
        ) from None
    checksum.check(content)
    yield content


def _progress(request: web.Request, upload: Upload) -> dict[str, str]:
    """How far an upload is, and until when the rest is waited for."""
    is_whole = upload.browser is BrowserLeg.RECEIVED
    return tus.progress(upload.received_bytes, None if is_whole else request.app[UPLOADS].expires_ms(upload))


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}
