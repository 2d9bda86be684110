"""What becomes of somebody's files, pushed to their page: server-sent events.

Each event `upload` is the upload as `GET /files/{upload}` has it; its id is when the upload changed. Whoever comes back
with Last-Event-ID hears of what changed since, that moment included.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Final

import orjson
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from homeserver.errors import TooMany
from homeserver.model import PageSession, Upload
from homeserver.web.files import members
from homeserver.web.keys import PAGE_SESSIONS, UPLOADS
from homeserver.web.security import PAGE_COOKIE, cookie
from homeserver.web.visitors import storage_session

PER_SESSION: Final = 6
"""As many connections as a browser opens to one host over HTTP/1.1."""
IN_ALL: Final = 1000
"""Of one process. A stream costs a connection and little else."""

HEARTBEAT_S: Final = 15.0
"""How often something is said even so, and the session looked at: who signs out hears nothing more."""

RETRY_MS: Final = 3000
"""When a browser comes back by itself."""

_WAIT_S: Final = 5.0


class Streams:
    """Counts the streams of this process."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, session: str, most: int | None = None) -> Iterator[None]:
        """Hold a place for one stream.

        Args:
            most: Of this session; `PER_SESSION`, where nothing else is said.

        Raises:
            TooMany: There are too many, of this session or in all.
        """
        most = PER_SESSION if most is None else most
        if self._open[session] >= most or self._open.total() >= IN_ALL:
            raise TooMany("Too many pages are open: close one, or wait.", wait_s=_WAIT_S)
        self._open[session] += 1
        try:
            yield
        finally:
            self._open[session] -= 1
            if not self._open[session]:
                del self._open[session]


STREAMS: Final = web.AppKey("STREAMS", Streams)


async def events(request: web.Request) -> web.StreamResponse:
    """`GET /files/events`: every change of this user's uploads, as it happens."""
    session, user = await storage_session(request)
    heard = request.headers.get("Last-Event-ID", "")
    after_ms = int(heard) if re.fullmatch(r"[0-9]{1,15}", heard) else None
    with request.app[STREAMS].one(session.key):
        async with sse_response(request, ping_interval=HEARTBEAT_S) as response:
            with suppress(ConnectionError, TimeoutError):  # the page was closed
                await response.send("hello", event="open", retry=RETRY_MS)
                async with aclosing(request.app[UPLOADS].watch(user, after_ms)) as changes:
                    await _tell(request, response, session, changes)
    return response


async def _tell(
    request: web.Request,
    response: EventSourceResponse,
    session: PageSession,
    changes: AsyncIterator[Upload | None],
) -> None:
    """Send on what changes, until the reader goes or signs out."""
    now = asyncio.get_running_loop().time
    looked_s = now()
    async for upload in changes:
        if request.transport is None or request.transport.is_closing() or not response.is_connected():
            return
        if now() - looked_s >= HEARTBEAT_S:
            looked_s = now()
            found = await request.app[PAGE_SESSIONS].find(cookie(request, PAGE_COOKIE))
            if found is None or found.storage_user != session.storage_user:
                return
        if upload is not None:
            body = orjson.dumps(members(upload)).decode()
            await response.send(body, id=str(upload.updated_ms), event="upload")
