"""Throws away what has ended: sessions, links, nonces, leases, counters, and what is left of people who were erased.

Any number of processes may do it at once.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from homeserver.model import NowMs
from homeserver.services.eraser import Eraser
from homeserver.services.turns import Sleep
from homeserver.storage import appdata_writes, leases, limits, nonces, operators, sessions
from homeserver.storage.database import Database, Transaction

EVERY_S: Final = 600.0

_log = structlog.get_logger(__name__)


class Upkeep:
    """The clean-up, as a job."""

    def __init__(self, database: Database, now_ms: NowMs, *, sleep: Sleep = asyncio.sleep) -> None:
        self._database = database
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
            stores = (sessions, operators, nonces, leases, limits, appdata_writes)
            return sum([await store.prune(tx, now_ms) for store in stores])

        return await self._database.write(work)

    async def run(self) -> None:
        """Tidy at the start and then every ten minutes, without end: a database that is away comes back."""
        while True:
            try:
                await self.tidy()
                await self._eraser.go_on()
            except Exception:
                _log.exception("not_tidied")
            await self._sleep(EVERY_S)
