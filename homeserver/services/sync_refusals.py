"""What a 401 means, where the container answers for players who are not there.

For one player while others are answered: they removed the application. They are marked; when they are refused again
after a grace time, with others answered again, they are taken off the lists. Nothing of theirs is lost, and everything
comes back, with its old rank, when they do.

For everybody: our credentials or our clock are wrong. Then the container is not asked any more but for a probe now and
then, an operator has to look, and nobody is marked.

A refusal counts only when an answer came that was asked for *after* it. Where several in a row are refused, players who
were answered for last are asked first, to find out which of the two it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog

from homeserver.errors import RemoteError, RemoteUnauthorized
from homeserver.model import NowMs
from homeserver.services.pace import Pace
from homeserver.storage import freshness
from homeserver.storage.database import Database, Transaction

SUSPICIOUS: Final = 3
"""So many different players in a row."""
CANARIES: Final = 2

_log = structlog.get_logger(__name__)

Probe = Callable[[str], Awaitable[object]]
"""Asks the container for one person's profile, by user id; raises a RemoteError."""
Delist = Callable[[Collection[int]], Awaitable[None]]
"""Takes players off the lists who removed the application."""


class Refusals:
    """Tells those who left from a container that knows us no more."""

    def __init__(
        self,
        database: Database,
        container: str,
        pace: Pace,
        now_ms: NowMs,
        *,
        probe: Probe,
        delist: Delist,
        grace_ms: int,
    ) -> None:
        self._database = database
        self._container = container
        self._pace = pace
        self._now_ms = now_ms
        self._probe = probe
        self._delist = delist
        self._grace_ms = grace_ms
        self._begun = 0
        self._pending: dict[int, int] = {}
        """Refused players, and which number their question had."""
        self._halts = 0
        self._finding_out = asyncio.Lock()

    def begin(self) -> int:
        """The number of a question that is about to be asked."""
        self._begun += 1
        return self._begun

    async def refused(self, player: int, number: int) -> None:
        """The container answered 401 for this player, to question `number`."""
        self._pending[player] = number
        async with self._finding_out:
            if player in self._pending and await self._is_suspicious():
                await self._find_out()

    async def answered(self, number: int) -> None:
        """The container answered question `number`: who was refused before it was asked, was refused alone."""
        self._halts = 0
        alone = [player for player, refused in self._pending.items() if refused < number]
        if not alone:
            return
        for player in alone:
            del self._pending[player]
        now_ms = self._now_ms()

        async def work(tx: Transaction) -> list[int]:
            await freshness.mark_refused(tx, alone, now_ms)
            return await freshness.refused_since(tx, alone, now_ms - self._grace_ms)

        gone = await self._database.write(work)
        _log.info("players_refused", players=len(alone), delisted=len(gone))
        if gone:
            await self._delist(gone)

    async def probe(self) -> bool | None:
        """Try whether the container answers, by a player for whom it should.

        Returns:
            Whether it did; None where there is nobody to ask for.
        """
        if not (canaries := await self._canaries()):
            return None
        number = self.begin()
        try:
            await self._probe(canaries[0])
        except RemoteUnauthorized:
            await self._halt()
            return False
        except RemoteError:
            return False
        await self._pace.opened()
        await self.answered(number)
        return True

    async def _is_suspicious(self) -> bool:
        return len(self._pending) >= SUSPICIOUS or not await self._canaries()

    async def _canaries(self) -> list[str]:
        return await self._database.read(
            lambda reader: freshness.canaries(reader, self._container, self._pending.keys(), CANARIES)
        )

    async def _find_out(self) -> None:
        for user_id in await self._canaries():
            number = self.begin()
            try:
                await self._probe(user_id)
            except RemoteUnauthorized:
                continue
            except RemoteError:
                return  # it says nothing of either
            await self.answered(number)
            return
        await self._halt()

    async def _halt(self) -> None:
        self._pending.clear()
        await self._pace.halt(self._halts)
        self._halts += 1
