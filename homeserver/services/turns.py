"""Turns: what only one may do at a time, among all processes. A turn ends by itself when its holder dies."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from homeserver.errors import DatabaseUnavailable
from homeserver.model import NowMs
from homeserver.storage import leases
from homeserver.storage.database import Database, Transaction, WriteWork

_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.3

Sleep = Callable[[float], Awaitable[object]]


@dataclass(slots=True)
class Turn:
    """A turn that somebody holds."""

    leave: WriteWork[None]
    """Gives it back with a transaction that is to be written anyway, if that is committed. Whoever sees that it is says
    so by `is_over`: otherwise the turn is given back at its end, once more perhaps."""
    settle_s: float = 0.0
    """Set it to keep others out for so long after the end."""
    is_over: bool = False


class Turns:
    """Gives turns out, as leases in the database."""

    def __init__(self, database: Database, now_ms: NowMs, sleep: Sleep = asyncio.sleep) -> None:
        """`sleep` waits for so many seconds between two looks at a turn that another process has."""
        self._database = database
        self._now_ms = now_ms
        self._sleep = sleep

    @asynccontextmanager
    async def hold(
        self, name: str, *, lease_s: float, wait_s: float = 0.0, first: WriteWork[object] | None = None
    ) -> AsyncIterator[Turn | None]:
        """Have the turn inside the context, for `lease_s` at most: whoever holds it stops in time by itself.

        Gives None where others still have it after waiting for `wait_s`.

        Args:
            first: Done once, in the transaction that asks for the turn for the first time, got or not. If it raises,
                the turn is not asked for.
        """
        holder = secrets.token_hex(8)
        try:
            is_ours = await self._acquired(name, holder, lease_s, wait_s, first)
        except asyncio.CancelledError:  # it may be ours all the same: what is being written is written
            with suppress(DatabaseUnavailable):
                await to_the_end(self._leave(name, holder, settle_s=0.0))
            raise
        if not is_ours:
            yield None
            return
        turn = Turn(lambda tx: leases.release(tx, name, holder))
        try:
            yield turn
        finally:
            if not turn.is_over:
                await to_the_end(self._leave(name, holder, turn.settle_s))

    async def _acquired(
        self, name: str, holder: str, lease_s: float, wait_s: float, first: WriteWork[object] | None
    ) -> bool:
        pause_s = _FIRST_PAUSE_S
        while not await self._prolong(name, holder, lease_s, first):
            if wait_s <= 0:
                return False
            first = None
            await self._sleep(pause_s)
            wait_s -= pause_s
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
        return True

    async def _prolong(self, name: str, holder: str, lease_s: float, first: WriteWork[object] | None = None) -> bool:
        async def work(tx: Transaction) -> bool:
            if first is not None:
                await first(tx)
            now_ms = self._now_ms()
            return await leases.acquire(tx, name, holder, now_ms=now_ms, until_ms=now_ms + int(lease_s * 1000))

        return await self._database.write(work)

    async def _leave(self, name: str, holder: str, settle_s: float) -> None:
        if settle_s:
            await self._prolong(name, holder, settle_s)
        else:
            await self._database.write(lambda tx: leases.release(tx, name, holder))


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await something short that must happen, cancelled or not; a cancellation takes effect afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
