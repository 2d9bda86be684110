"""What changes about somebody's uploads, told to those who look on: the pages that are open.

Whoever changes a row, in whatever process, moves its `updated_ms`; one look at the newest of these, `LOOK_S` apart and
only while somebody looks on, finds them all. So nothing has to be told to anybody, and nothing can be missed: a reader
that comes back says how far it has heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import structlog

from homeserver.model import Upload
from homeserver.services.onlookers import Bell, Onlookers
from homeserver.storage import uploads
from homeserver.storage.database import Database

LOOK_S: Final = 0.25

OVERLAP_MS: Final = 2_000
"""How far each look goes back: a change may be committed later than one that came after it, or by a slower clock."""

_MOST: Final = 10_000
_SNAPSHOT: Final = 50

_log = structlog.get_logger(__name__)


class Notices:
    """The changes of all uploads, handed to those whom they concern."""

    def __init__(self, database: Database, look_s: float = LOOK_S) -> None:
        self._database = database
        self._look_s = look_s
        self._readers: Onlookers[str, _Reader] = Onlookers()
        self._seen: dict[str, Upload] = {}
        self._until_ms = 0

    async def watch(self, storage_user: str, after_ms: int | None = None) -> AsyncGenerator[Upload | None, None]:
        """A user's uploads: the newest as they are now, or those that changed at `after_ms` or later; then each change.

        Of several changes that come together only the last is told. None now and then, where nothing changed. Ends when
        the server does.
        """
        try:
            with self._readers.one(storage_user, _Reader()) as reader:
                now = await self._database.look(lambda rows: uploads.of_user(rows, storage_user, _SNAPSHOT))
                for upload in reversed(now):
                    if after_ms is None or upload.updated_ms >= after_ms:
                        reader.put(upload)
                while not self._readers.is_over:
                    for upload in reader.take():
                        yield upload
                    if not await reader.heard():
                        yield None
        finally:
            if not self._readers:
                self._until_ms, self._seen = 0, {}

    def close(self) -> None:
        """Let all readers go: the server ends."""
        self._readers.close()

    async def run(self) -> None:
        """Look for changes, without end, while anybody looks on."""
        while True:
            await self._readers.somebody()
            try:
                await self.look()
            except Exception:
                _log.exception("upload_changes_not_seen")
            await asyncio.sleep(self._look_s)

    async def look(self) -> None:
        """Tell what changed since the last time."""
        since_ms = self._until_ms - OVERLAP_MS
        if not self._until_ms:
            since_ms = await self._database.look(uploads.newest_change_ms) - OVERLAP_MS
        found = await self._database.read(lambda reader: uploads.changed(reader, since_ms, _MOST))
        for upload in found:
            if self._seen.get(upload.id) != upload:
                for reader in self._readers.of(upload.storage_user):
                    reader.put(upload)
        self._seen = {upload.id: upload for upload in found}
        if found:
            self._until_ms = max(self._until_ms, found[-1].updated_ms)


class _Reader(Bell):
    """What one reader has still to hear: at most each upload once."""

    def __init__(self) -> None:
        super().__init__()
        self._news: dict[str, Upload] = {}

    def put(self, upload: Upload) -> None:
        self._news[upload.id] = upload
        self.ring()

    def take(self) -> list[Upload]:
        news, self._news = list(self._news.values()), {}
        return news
