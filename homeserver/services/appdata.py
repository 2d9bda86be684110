"""Writing a player's AppData in their container: one writer of a player at a time, among all processes.

PUT replaces the whole item, so two who read, change and put it back at the same time would undo each other. A lock lets
one through in this process, a lease in the database one among all processes. The lease ends by itself when its holder
dies, and the work inside is cut off before it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from homeserver.clients.container import ContainerClient
from homeserver.errors import NotFound, RemoteUnavailable, TooMany
from homeserver.model import AppData, NowMs
from homeserver.services.limits import SCORES, refuse
from homeserver.services.turns import Sleep, Turn, Turns
from homeserver.storage import limits, people
from homeserver.storage.database import Database, Transaction

LEASE_S: Final = 45.0
WORK_S: Final = 30.0
"""For reading, changing and putting back. Shorter than the lease by more than clocks of two machines may differ."""
TURN_S: Final = 15.0
"""How long one waits for those who write the same player's AppData."""
SETTLE_S: Final = 2.0
"""How long a player is left alone after a write without an answer: it may still arrive, after the next one's."""


@dataclass(frozen=True, slots=True)
class AppDataWrite:
    """What one update found and left. Times are by our clock: before the first read was sent, after the last answer."""

    before: AppData
    after: AppData
    read_at_ms: int
    written_at_ms: int
    turn: Turn
    """Of this player."""


class AppDataWriter:
    """Updates AppData of one container's players."""

    def __init__(
        self,
        database: Database,
        client: ContainerClient,
        container: str,
        now_ms: NowMs,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """
        Args:
            container: Our name for the client's container, as players have it.
            sleep: Waits for so many seconds, between two looks at a turn that another process has.
        """
        self._database = database
        self._client = client
        self._container = container
        self._now_ms = now_ms
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._turns = Turns(database, now_ms, sleep)

    @asynccontextmanager
    async def updating(self, player: int, changes: Mapping[str, str | None]) -> AsyncIterator[AppDataWrite]:
        """Set these keys (None removes one) and leave all others as they are. Nothing is kept in our database.

        Inside the context the player is still ours alone: what is kept there of this write, no other write overtakes.

        Raises:
            NotFound: No such player, or not one of this container.
            BadInput: A key or value that cannot be stored.
            TooMany: This player is written too often, or others are writing them all the time.
            RemoteError: The container failed, and may or may not have taken it where it is RemoteUnavailable.
        """
        container, user_id = await self._database.glance(lambda reader: people.user_of(reader, player))
        if container != self._container:
            raise NotFound("The player's container is not connected.")
        async with self._alone(player) as turn:
            read_at_ms = self._now_ms()
            try:
                async with asyncio.timeout(WORK_S):
                    updated = await self._client.update_appdata(user_id, changes)
            except TimeoutError:
                raise RemoteUnavailable("no answer in time", service="container") from None
            yield AppDataWrite(updated.before, updated.after, read_at_ms, max(read_at_ms, self._now_ms()), turn)

    @asynccontextmanager
    async def _alone(self, player: int) -> AsyncIterator[Turn]:
        """Count one write of this player's AppData, and be the only one, among all processes, who does it."""

        async def counted(tx: Transaction) -> None:
            refuse(await limits.take(tx, SCORES, str(player), self._now_ms()))

        lock = self._locks.setdefault(player, asyncio.Lock())
        waits = lock.locked()
        if waits:  # too many are refused at once, not when it would be their turn
            await self._database.write(counted)
        try:
            async with asyncio.timeout(TURN_S):
                await lock.acquire()
        except TimeoutError:
            raise _busy() from None
        try:
            async with self._turns.hold(
                f"appdata:{player}", lease_s=LEASE_S, wait_s=TURN_S, first=None if waits else counted
            ) as turn:
                if turn is None:
                    raise _busy()
                try:
                    yield turn
                except (RemoteUnavailable, asyncio.CancelledError):
                    turn.settle_s = SETTLE_S
                    raise
        finally:
            lock.release()


def _busy() -> TooMany:
    return TooMany("This player's data is being written. Try again in a moment.", wait_s=1.0)
