"""How boards are: entries, what is hidden and waits, how much is written, when they were rebuilt and checked."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import structlog

from homeserver.domain import boards as definitions
from homeserver.domain.boards import BoardInForce
from homeserver.domain.instants import DAY_MS
from homeserver.errors import BadInput
from homeserver.model import BoardStatus, NowMs, State, TaskKind, TaskState, Writes
from homeserver.services import board_lists
from homeserver.services.turns import Sleep
from homeserver.storage import admin_views, board_tasks, field_writes, rebuild
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Reader
from homeserver.storage.field_writes import KEPT_MS, MINUTE_MS, SIZE_MS

COUNT_EVERY_S: Final = 5.0
COUNTED_AT_ONCE: Final = 20_000
SETTLED_MS: Final = 5_000
"""A transaction that keeps events is committed by then."""
RATE_MINUTES: Final = 5
MAX_POINTS: Final = 2_000

_ENDED: Final = (TaskState.DONE, TaskState.FAILED)

_log = structlog.get_logger(__name__)


class BoardWatch:
    """Watches boards. Common errors: NotFound (no such board)."""

    def __init__(self, database: Database, now_ms: NowMs, *, sleep: Sleep = asyncio.sleep) -> None:
        self._database = database
        self._now_ms = now_ms
        self._sleep = sleep

    async def statuses(self) -> tuple[BoardStatus, ...]:
        """All boards, in their order."""
        now_ms = self._now_ms()

        async def work(reader: Reader) -> tuple[BoardStatus, ...]:
            return tuple([await _status(reader, each, now_ms) for each in await store.boards_in_force(reader)])

        return await self._database.read(work)

    async def status(self, board_id: str) -> BoardStatus:
        """One board."""
        now_ms = self._now_ms()

        async def work(reader: Reader) -> BoardStatus:
            return await _status(reader, await board_lists.board(reader, board_id), now_ms)

        return await self._database.read(work)

    # --- writes over time ---------------------------------------------------------------------------------------------

    async def writes(
        self, board_id: str, *, span: str, from_ms: int | None = None, until_ms: int | None = None
    ) -> tuple[Writes, ...]:
        """How many changes of the board's field came in each minute or hour, from `from_ms` on and before `until_ms`.

        Where nothing else is said, that is the last day.

        Each that lies in between is there, those without any too. Minutes are known of the last two days, hours of the
        last 400 days.

        Args:
            span: "minute" or "hour".

        Raises:
            BadInput: Another span (field "span"), or more than 2,000 of them (field "until").
        """
        if span not in SIZE_MS:
            raise BadInput("minute or hour", field="span")
        size_ms, now_ms = SIZE_MS[span], self._now_ms()
        first_ms = now_ms - DAY_MS if from_ms is None else from_ms
        begin_ms = max(first_ms, now_ms - KEPT_MS[span]) // size_ms * size_ms
        end_ms = now_ms if until_ms is None else until_ms
        times = range(begin_ms, end_ms, size_ms)
        if len(times) > MAX_POINTS:
            raise BadInput(f"that would be more than {MAX_POINTS} points", field="until")

        async def work(reader: Reader) -> dict[int, int]:
            key = (await board_lists.board(reader, board_id)).board.field
            found = await field_writes.between(reader, key, span, begin_ms, end_ms)
            return {each.at_ms: each.count for each in found}

        counted = await self._database.look(work)
        return tuple(Writes(at_ms, counted.get(at_ms, 0)) for at_ms in times)

    async def count(self) -> None:
        """Count the changes that were not counted yet."""
        more = True
        while more:
            now_ms = self._now_ms()
            more = await self._database.write(
                partial(field_writes.count_some, now_ms=now_ms, settled_ms=now_ms - SETTLED_MS, limit=COUNTED_AT_ONCE)
            )

    async def run(self) -> None:
        """Count every few seconds, without end. Any number of processes may do it."""
        while True:
            try:
                await self.count()
            except Exception:
                _log.exception("writes_not_counted")
            await self._sleep(COUNT_EVERY_S)


async def _status(reader: Reader, in_force: BoardInForce, now_ms: int) -> BoardStatus:
    board = in_force.board
    decided = await admin_views.decided(reader, board.id)
    until_ms = now_ms // MINUTE_MS * MINUTE_MS
    recent = await field_writes.between(reader, board.field, "minute", until_ms - RATE_MINUTES * MINUTE_MS, until_ms)
    at_work = [task for task in await board_tasks.unfinished(reader) if task.board == board.id]
    return BoardStatus(
        board=board,
        definition=definitions.board_to(board),
        generation=in_force.generation,
        entries=await rebuild.entries_of_all(reader, in_force),
        hidden=decided.get(State.HIDDEN, 0),
        removed=decided.get(State.REMOVED, 0),
        pending=await admin_views.waiting(reader, in_force),
        writes_per_minute=sum(each.count for each in recent) / RATE_MINUTES,
        closed_ms=in_force.closed_ms,
        rebuilt_ms=in_force.rebuilt_ms,
        rebuild_due=board.id in await rebuild.due(reader),
        check=await board_tasks.last(reader, board.id, TaskKind.VERIFY, _ENDED),
        at_work=at_work[0] if at_work else None,
    )
