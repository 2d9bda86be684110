"""Hints between the processes that share a PostgreSQL: something has changed, look again. By LISTEN and NOTIFY.

A NOTIFY takes a lock of the whole database at its commit, so it is never part of a transaction that does something: it
is sent afterwards, alone, and at most once in `HINT_S`. One that is lost costs nothing but time, as whoever listens
also looks by themselves now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import structlog

from homeserver.storage.database import HINT_S

# How a connection is lost, or not to be had: by the network, by a server that ends or begins, or that has no more.
LOST_CONNECTIONS: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
)
AGAIN_S: Final = 2.0
"""After a connection was lost."""

_log = structlog.get_logger(__name__)


class Hints:
    """Sends hints of this process, and hears those of all."""

    def __init__(self, pool: Any, connect: Callable[[], Awaitable[Any]], key: int, pause_s: float = HINT_S) -> None:
        """
        Args:
            connect: Opens a connection of its own to listen on: one of the pool may be handed to others.
            key: Names the schema: channels are one for a database, whatever schemas it has.
        """
        self._pool = pool
        self._connect = connect
        self._channel = f"homeserver_{key & (1 << 64) - 1:016x}"
        self._pause_s = pause_s
        self._wanted = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    def announce(self) -> None:
        """Tell everybody, as soon as the last time is long enough ago. Returns at once."""
        self._wanted.set()
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="hints")

    async def _send(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._pool.execute("SELECT pg_notify($1, '')", self._channel)
            except (*LOST_CONNECTIONS, asyncpg.PostgresError) as error:
                _log.warning("hint_not_sent", error=str(error))
            await asyncio.sleep(self._pause_s)

    async def close(self) -> None:
        """Send nothing more."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait({self._sender})

    async def listen(self, told: Callable[[], None]) -> None:
        """Hear hints, without end. What may have been missed while the line was broken counts as one."""
        while True:
            try:
                await self._hear(told)
            except (*LOST_CONNECTIONS, asyncpg.PostgresError) as error:
                _log.warning("hints_not_heard", error=str(error))
            await asyncio.sleep(AGAIN_S)

    async def _hear(self, told: Callable[[], None]) -> None:
        connection = await self._connect()
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(self._channel, lambda *_: told())
            told()
            await ended.wait()
        finally:
            connection.terminate()
