"""Throws away what has ended: sessions, links, nonces, leases, counters, lists of periods that boards do not keep, and
what is left of people who were erased.

Any number of processes may do it at once.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import structlog

from homeserver.model import NowMs
from homeserver.services.eraser import Eraser
from homeserver.services.sweeping import sweep
from homeserver.services.turns import Sleep
from homeserver.storage import (
    appdata_writes,
    board_tasks,
    bulk,
    field_writes,
    leaderboards,
    leases,
    limits,
    moderation,
    nonces,
    operator_tokens,
    operators,
    rebuild,
    sessions,
    sign_ins,
)
from homeserver.storage.database import Database, Reader, Transaction

EVERY_S: Final = 600.0
DELETED_AT_ONCE: Final = 2_000
"""Entries of a list. Writers of SQLite wait meanwhile: about 60 ms."""

AUDIT_MS: Final = 730 * 86_400_000

_log = structlog.get_logger(__name__)


class Upkeep:
    """The clean-up, as a job."""

    def __init__(
        self,
        database: Database,
        now_ms: NowMs,
        *,
        audit_ms: int = AUDIT_MS,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`audit_ms`: how long the log tells what operators did."""
        self._database = database
        self._audit_ms = audit_ms
        self._now_ms = now_ms
        self._sleep = sleep
        self._eraser = Eraser(database, now_ms)

    async def tidy(self) -> int:
        """Delete what has ended by now.

        Returns:
            How many rows went.
        """

        async def work(tx: Transaction) -> int:
            now_ms = self._now_ms()
            stores = (
                sessions,
                sign_ins,
                operators,
                operator_tokens,
                nonces,
                leases,
                limits,
                appdata_writes,
                bulk,
                board_tasks,
                field_writes,
            )
            return sum([await store.prune(tx, now_ms) for store in stores])

        return await self._database.write(work)

    async def forget_acts(self) -> int:
        """Delete from the log what operators did too long ago, a part at a time.

        Returns:
            How many lines went.
        """
        before_ms = self._now_ms() - self._audit_ms
        forgotten = 0
        while gone := await self._database.write(
            lambda tx: moderation.forget_acts(tx, before_ms=before_ms, limit=DELETED_AT_ONCE)
        ):
            forgotten += gone
        return forgotten

    async def retire(self) -> int:
        """Delete the lists of periods that are older than their boards keep, a part at a time.

        Nobody sees them from the beginning on. What was broken off, here or after a rebuild, is done to the end.

        Returns:
            How many lists went.
        """
        now_ms = self._now_ms()

        async def work(reader: Reader) -> list[str]:
            boards = await leaderboards.boards_in_force(reader)
            return [each.board.id for each in boards if await rebuild.outdated(reader, each, now_ms)]

        for board_id in await self._database.read(work):
            await self._database.write(partial(rebuild.retire, board_id=board_id, now_ms=now_ms))
        return await sweep(self._database, DELETED_AT_ONCE)

    async def run(self) -> None:
        """Tidy at the start and then every ten minutes, without end: a database that is away comes back."""
        while True:
            try:
                await self.tidy()
                await self.forget_acts()
                await self.retire()
                await self._eraser.go_on()
            except Exception:
                _log.exception("not_tidied")
            await self._sleep(EVERY_S)
