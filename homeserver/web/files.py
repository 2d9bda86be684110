"""Sending files to the storage: the page, the plain form, and what a script asks for while they travel."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from typing import Final

import orjson
from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from homeserver.errors import BadInput, TooLarge
from homeserver.model import StorageLeg, Upload
from homeserver.protocol.gadget import iso
from homeserver.web.bodies import json_answer, read_form, wants_json
from homeserver.web.keys import PAGE_SESSIONS, SITE, UPLOADS
from homeserver.web.rendering import render
from homeserver.web.visitors import storage_session
from homeserver.web.words import WAITING_WORDS, upload_words, waiting_words

_PIECE_BYTES: Final = 256 * 1024
_ENVELOPE_BYTES: Final = 16 * 1024
"""What the multipart envelope may add to a file of the largest size."""

_UNREADABLE: Final = (ValueError, AssertionError, RuntimeError, HttpProcessingError)
"""What aiohttp's reader raises on an envelope that is none, or whose headers are too long or too many."""

ANSWERED_PATH: Final = "/files/answered"

_ENDED: Final = frozenset({StorageLeg.STORED, StorageLeg.CANCELLED, StorageLeg.EXPIRED, StorageLeg.REFUSED})
_ELSEWHERE: Final = frozenset({StorageLeg.NEEDS_ACTIVATION, StorageLeg.NEEDS_CONSENT})
"""Legs in which a browser is sent to a page of the storage at once."""


def owner_mark(storage_user: str) -> str:
    """What a page calls the user whose it is: files that it holds are for nobody who signs in later."""
    return hashlib.sha256(storage_user.encode()).hexdigest()[:16]


async def files_page(request: web.Request) -> web.Response:
    """`GET /files`: the form, what is under way, what was sent."""
    session, user = await storage_session(request)
    uploads = await request.app[UPLOADS].history(user)
    if wants_json(request):
        return json_answer(orjson.dumps({"uploads": [members(upload) for upload in uploads]}))
    now = [upload for upload in uploads if upload.storage not in _ENDED]
    return render(
        request,
        "files.html",
        now=now,
        waiting={upload.storage: upload for upload in now if upload.storage in WAITING_WORDS},
        still=request.query.get("still"),
        minutes_left=await request.app[PAGE_SESSIONS].storage_minutes_left(session),
        sent=[upload for upload in uploads if upload.storage in _ENDED],
        max_bytes=request.app[SITE].max_upload_bytes,
        owner=owner_mark(user),
    )


async def receive_file(request: web.Request) -> web.Response:
    """`POST /files`: one file as multipart/form-data, handed on piece by piece, never whole in memory.

    A browser is sent to the storage's portal when the space there is not active yet (MD804), to its consent page when
    the user has not allowed this yet (-3), else back to the page. A script gets 201 and the upload: it says the same.
    """
    session, user = await storage_session(request)
    token = await request.app[PAGE_SESSIONS].storage_token(session)
    limit = request.app[SITE].max_upload_bytes
    if (request.content_length or 0) > limit + _ENVELOPE_BYTES:
        raise _too_large(limit)
    name, media_type, pieces = await _file_part(request, limit)
    upload = await request.app[UPLOADS].receive(user, token, name, media_type, pieces)
    if wants_json(request):
        answer = json_answer(orjson.dumps(members(upload)), status=201)
        answer.headers[hdrs.LOCATION] = f"/files/{upload.id}"
        return answer
    portal = upload.portal_url if upload.storage in _ELSEWHERE else None
    return _see_other(portal or "/files")


async def _file_part(request: web.Request, limit: int) -> tuple[str, str, AsyncIterator[bytes]]:
    """Name, media type and bytes of the one file in the request."""
    if request.content_type != "multipart/form-data":
        raise BadInput("This address takes a file from a form (multipart/form-data).", field="file")
    try:
        reader = await request.multipart()
        part = await reader.next()
    except _UNREADABLE:
        raise BadInput("The form cannot be read.", field="file") from None
    name = file_name(part.headers.get(hdrs.CONTENT_DISPOSITION, "")) if isinstance(part, BodyPartReader) else ""
    if not isinstance(part, BodyPartReader) or not name:
        raise BadInput("Choose a file first.", field="file")
    return name, part.headers.get(hdrs.CONTENT_TYPE, ""), _pieces(reader, part, limit)


_FILE_PART: Final = re.compile(r'form-data; *name="file"; *filename="(.*)" *', re.IGNORECASE | re.DOTALL)
_ESCAPED: Final = re.compile(r'%22|\\(["\\])', re.IGNORECASE)


def file_name(disposition: str) -> str:
    r"""The name in the Content-Disposition of the part `file`; empty where there is none.

    Read by hand, because names are people's: two semicolons, a backslash or a slash in front are part of one. Browsers
    write `"` as `%22` and everything else as it is; other clients write `\"` and `\\`.
    """
    match = _FILE_PART.fullmatch(disposition.strip())
    return _ESCAPED.sub(lambda found: found[1] or '"', match[1]) if match else ""


async def _pieces(reader: MultipartReader, part: BodyPartReader, limit: int) -> AsyncIterator[bytes]:
    """The bytes of the part as they come in.

    Raises:
        TooLarge: More than `limit`. BadInput: The request broke off, or brought a second part.
    """
    received = 0
    while True:
        try:
            piece = b"" if part.at_eof() else await part.read_chunk(_PIECE_BYTES)
            another = part.at_eof() and await reader.next() is not None
        except (*_UNREADABLE, ConnectionError, web.RequestPayloadError):
            raise BadInput("The file did not arrive whole.", field="file") from None
        received += len(piece)
        if received > limit:
            raise _too_large(limit)
        if another:
            raise BadInput("Send one file at a time.", field="file")
        if piece:
            yield piece
        if part.at_eof():
            return


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"A file may have {limit:,} bytes.", limit_bytes=limit, field="file")


async def show_upload(request: web.Request) -> web.Response:
    """`GET /files/{upload}`: one upload, for a script."""
    _, user = await storage_session(request)
    return json_answer(orjson.dumps(members(await request.app[UPLOADS].find(request.match_info["upload"], user))))


async def send_again(request: web.Request) -> web.Response:
    """`POST /files/{upload}/send`: the user says that the obstacle is gone, or accepts that it may be there twice."""
    session, user = await storage_session(request)
    token = await request.app[PAGE_SESSIONS].storage_token(session)
    upload = await request.app[UPLOADS].send_again(request.match_info["upload"], user, token)
    return _changed(request, upload)


async def send_waiting(request: web.Request) -> web.Response:
    """`POST /files/send`: what all files that wait for `waiting` (a leg's name) were waiting for is done now."""
    session, user = await storage_session(request)
    wanted = (await read_form(request)).get("waiting")
    leg = next((leg for leg in WAITING_WORDS if leg == wanted), None)
    if leg is None:
        raise BadInput("Say what the files were waiting for.", field="waiting")
    token = await request.app[PAGE_SESSIONS].storage_token(session)
    still = await request.app[UPLOADS].send_waiting(user, token, leg)
    if wants_json(request):
        return json_answer(orjson.dumps({"still": waiting_words(leg).still if still else None}))
    return _see_other(f"/files?still={leg}" if still else "/files")


async def answered(request: web.Request) -> web.Response:
    """`GET /files/answered`: the storage's consent page sends people back here. It says nothing, so ask once more.

    Whoever still has not allowed it is told so, and never sent there again without a word of theirs.
    """
    session, user = await storage_session(request)
    token = await request.app[PAGE_SESSIONS].storage_token(session)
    still = await request.app[UPLOADS].send_waiting(user, token, StorageLeg.NEEDS_CONSENT)
    return _see_other(f"/files?still={StorageLeg.NEEDS_CONSENT}" if still else "/files")


async def rename(request: web.Request) -> web.Response:
    """`POST /files/{upload}/rename`: another name (the form's `name`) for a file whose name the storage refused."""
    session, user = await storage_session(request)
    id_ = request.match_info["upload"]
    await request.app[UPLOADS].find(id_, user)  # whoever asks for a file of somebody else hears of nothing but that
    name = (await read_form(request)).get("name", "")
    token = await request.app[PAGE_SESSIONS].storage_token(session)
    upload = await request.app[UPLOADS].rename_and_send(id_, user, token, name)
    return _changed(request, upload)


async def cancel(request: web.Request) -> web.Response:
    """`POST /files/{upload}/cancel`: stop, and keep nothing."""
    _, user = await storage_session(request)
    return _changed(request, await request.app[UPLOADS].cancel(request.match_info["upload"], user))


def _changed(request: web.Request, upload: Upload) -> web.Response:
    return json_answer(orjson.dumps(members(upload))) if wants_json(request) else _see_other("/files")


def _see_other(place: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: place})


def members(upload: Upload) -> dict[str, object]:
    """An upload as a script sees it. Whose it is stays here: it is theirs."""
    words = upload_words(upload)
    return {
        "id": upload.id,
        "name": upload.name,
        "media_type": upload.media_type,
        "size_bytes": upload.size_bytes,
        "received_bytes": upload.received_bytes,
        "sent_bytes": upload.sent_bytes,
        "browser": upload.browser,
        "storage": upload.storage,
        "attempts": upload.attempts,
        "code": upload.code,
        "detail": upload.detail,
        "portal_url": upload.portal_url,
        "content_id": upload.content_id,
        "folder_id": upload.folder_id,
        "created": iso(upload.created_ms),
        "updated": iso(upload.updated_ms),
        "state": words.state,
        "line": words.line,
        "moving": words.moving,
    }
