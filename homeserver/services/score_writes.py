"""Score writes of one process that wait together share one short transaction.

A transaction records once (see `storage/leaderboards.record`): its blocks are locked in one order, and the counters of
a list are changed once for all who come. So what waits is observed together, recorded together, and committed together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from homeserver.domain.boards import BoardInForce
from homeserver.errors import DatabaseUnavailable
from homeserver.model import Change
from homeserver.storage import appdata, leaderboards
from homeserver.storage.appdata import Observation
from homeserver.storage.blocks import Move
from homeserver.storage.database import Database, Transaction

MAX_WAITING: Final = 4_096

Prepare = Callable[[Transaction, Sequence[BoardInForce]], Awaitable[Sequence[Observation]]]
"""Work in the shared transaction, once the boards are held: what is to be observed. It may write rows of its own, but
none of AppData, events and lists. It is run again when the transaction is, so it changes nothing but the database.

Those that share a transaction come one after the other. So whoever writes rows of several players (a sync: names and
friends) does it for all of them in one `Prepare`, in sorted order: two processes could wait for each other otherwise,
until the database undoes one of them, which is then run again."""


class Counted(NamedTuple):
    """What came of a write: the changes that it made, ordered by key, and the entries of its players that moved.

    Where others that shared the transaction changed values of the same players, their entries moved by both.
    """

    changes: list[Change]
    moves: list[Move]


@dataclass(slots=True)
class _Waiting:
    prepare: Prepare
    fields: frozenset[str] | None
    size: int
    answer: asyncio.Future[Counted]


class ScoreWrites:
    """Takes score writes and runs those that wait at the same time in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._waiting: deque[_Waiting] = deque()
        self._running: asyncio.Task[None] | None = None
        self._last: tuple[set[str] | None, tuple[str, ...]] = (set(), ())
        """The fields of the last transaction, and the boards that had them; see `leaderboards.begin`."""

    async def write(self, prepare: Prepare, *, fields: Collection[str] | None = None, size: int = 1) -> Counted:
        """Let what is observed count; return after it is durable.

        What others share the transaction changes nothing in it, and fails none: if one raises, each is run by itself.
        Whoever is cancelled while the transaction runs is written all the same.

        Args:
            fields: The keys that may be observed; None: those of all boards. Boards of other fields may be held too.
            size: About how many values. A transaction has as many as suits the database, or one write that is larger.

        Raises:
            Exception: What `prepare` raised. Nothing was written of it.
            DatabaseUnavailable: Whether it was written is unknown where it says so.
        """
        async with self._room:
            answer: asyncio.Future[Counted] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(prepare, None if fields is None else frozenset(fields), size, answer))
            if self._running is None:
                self._running = asyncio.ensure_future(self._run())
            return await answer

    async def _run(self) -> None:
        try:
            while batch := self._next():
                await self._write(batch)
        finally:
            self._running = None
            while self._waiting:  # only where the event loop is being closed over it
                self._waiting.popleft().answer.cancel()

    def _next(self) -> list[_Waiting]:
        """What goes into one transaction; empty when nobody waits."""
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0].size <= self._database.most_together):
            one = self._waiting.popleft()
            if not one.answer.done():  # the caller has not gone away
                batch.append(one)
                size += one.size
        return batch

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        try:
            answers = await self._database.write(lambda tx: self._together(tx, batch))
        except asyncio.CancelledError:
            for one in batch:
                one.answer.cancel()
            raise
        except Exception as error:
            if len(batch) == 1 or isinstance(error, DatabaseUnavailable):
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                return
            for one in batch:
                await self._write([one])
        else:
            for one, counted in zip(batch, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(counted)

    async def _together(self, tx: Transaction, batch: Sequence[_Waiting]) -> list[Counted]:
        """One transaction for all: what changed by each."""
        fields: set[str] | None = set()
        for one in batch:
            fields = None if fields is None or one.fields is None else fields | one.fields
        last_fields, likely = self._last
        boards = await leaderboards.begin(tx, fields, likely if fields == last_fields else ())
        self._last = fields, tuple(each.board.id for each in boards)
        prepared = [await one.prepare(tx, boards) for one in batch]
        observations = [each for observed in prepared for each in observed]
        changed = await appdata.observe_all(tx, observations)
        changes = [change for of_one in changed for change in of_one]
        moved: dict[int, list[Move]] = {}
        if changes:
            for move in await leaderboards.record(tx, boards, changes, max(change.at_ms for change in changes)):
                moved.setdefault(move.player, []).append(move)
        found = iter(changed)
        return [
            Counted(
                [change for _ in observed for change in next(found)],
                [move for player in sorted({each.player for each in observed}) for move in moved.get(player, ())],
            )
            for observed in prepared
        ]
