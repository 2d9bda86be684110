"""What becomes of somebody's files, pushed to their page: server-sent events.

Each event `upload` is the upload as `GET /files/{upload}` has it; its id is when the upload changed. Whoever comes back
with Last-Event-ID hears of what changed since, that moment included.
"""

from __future__ import annotations

import re

import orjson
from aiohttp import web

from homeserver.model import Upload
from homeserver.web.event_streams import Event, of_session, push
from homeserver.web.files import members
from homeserver.web.keys import PAGE_SESSIONS, UPLOADS
from homeserver.web.security import PAGE_COOKIE, cookie
from homeserver.web.visitors import storage_session


async def events(request: web.Request) -> web.StreamResponse:
    """`GET /files/events`: every change of this user's uploads, as it happens."""
    session, user = await storage_session(request)
    heard = request.headers.get("Last-Event-ID", "")
    after_ms = int(heard) if re.fullmatch(r"[0-9]{1,15}", heard) else None

    async def may_listen() -> bool:
        found = await request.app[PAGE_SESSIONS].find(cookie(request, PAGE_COOKIE))
        return found is not None and found.storage_user == session.storage_user

    changes = request.app[UPLOADS].watch(user, after_ms)
    return await push(request, of_session(session.key), changes, _event, may_listen)


def _event(upload: Upload) -> Event:
    return Event("upload", str(upload.updated_ms), orjson.dumps(members(upload)).decode())
