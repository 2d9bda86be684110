"""Room for files: who may keep how much here, and what is thrown away in time.

Room is taken when a file is declared, for all of it, in the database: so no two processes promise the same room. What
the disk says counts too, because it is not ours alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from homeserver.errors import Locked, SpoolFull
from homeserver.model import NowMs, Upload
from homeserver.storage import uploads, uploads_kept
from homeserver.storage.database import Database, Transaction
from homeserver.storage.spool import Spool

LEFTOVER_S: Final = 3600.0
"""How long nothing must have been written to a file that no upload needs before it is taken for a crash's leftover."""

_BATCH: Final = 100

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """`keep_ms`: how long a file waits here; `history_ms`: how long what became of it is told."""

    user_bytes: int = 10 << 30
    user_files: int = 500
    keep_ms: int = 72 * 3_600_000
    history_ms: int = 90 * 24 * 3_600_000


class Room:
    """Gives room, and takes it back."""

    def __init__(self, database: Database, spool: Spool, now_ms: NowMs, limits: RoomLimits, node: str) -> None:
        self._database = database
        self._spool = spool
        self._now_ms = now_ms
        self._limits = limits
        self._node = node

    @property
    def keep_ms(self) -> int:
        """How long a file waits here, from its declaration."""
        return self._limits.keep_ms

    async def left_to(self, storage_user: str) -> int:
        """How many bytes a user may add now."""
        kept_bytes = await self._database.look(lambda reader: uploads_kept.kept_bytes(reader, storage_user))
        return max(0, self._limits.user_bytes - kept_bytes)

    async def capacity_bytes(self) -> int:
        """What all files of this machine may take together, as the disk is now. Ask before `add`."""
        return await self._spool.capacity_bytes()

    async def add(self, tx: Transaction, upload: Upload, sealed: str, capacity_bytes: int) -> None:
        """Write down a new upload, if there is room for it.

        Raises:
            SpoolFull: There is none: for this user, or for anybody.
        """
        await tx.lock("room for uploads")
        kept_bytes = await uploads_kept.kept_bytes(tx, upload.storage_user)
        kept_files = await uploads_kept.kept_files(tx, upload.storage_user)
        if kept_bytes + upload.size_bytes > self._limits.user_bytes or kept_files >= self._limits.user_files:
            raise SpoolFull("Too many of your files wait here already: let some be stored first, or cancel them.")
        if await uploads_kept.kept_bytes_on(tx, self._node) + upload.size_bytes > capacity_bytes:
            raise SpoolFull("There is no room here for more files at the moment. Try again later.")
        await uploads.add(tx, upload, sealed)

    async def tidy(self) -> None:
        """Give up what waits too long, and remove what nobody needs: old history, and what a crash left behind."""
        now_ms = self._now_ms()
        while batch := await self._database.read(
            lambda reader: uploads_kept.outdated(reader, self._node, now_ms - self._limits.keep_ms, _BATCH)
        ):
            for id_ in batch:
                await self._expire(id_)
        await self._database.write(lambda tx: uploads.prune(tx, now_ms - self._limits.history_ms))
        await self._remove_leftovers()

    async def _expire(self, id_: str) -> None:
        if await self._database.write(lambda tx: uploads.expire(tx, id_, self._now_ms())):
            _log.info("upload_expired", upload=id_)
            await self._spool.delete(id_)

    async def _remove_leftovers(self) -> None:
        for id_ in await self._spool.ids(untouched_s=LEFTOVER_S):
            if await self._is_needed(id_):
                continue
            try:
                async with self._spool.appending(id_):  # nobody receives it, so look again: it may be new
                    if not await self._is_needed(id_):
                        await self._spool.delete(id_)
            except Locked:
                continue

    async def _is_needed(self, id_: str) -> bool:
        upload = await self._database.look(lambda reader: uploads.find(reader, id_))
        return upload is not None and upload.storage in uploads.KEPT
