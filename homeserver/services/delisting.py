"""Taking players off the lists who removed the application, and putting them back with their old ranks.

Whether somebody has the application is in their row (`has_app`); the lists follow it here, in transactions that hold
the boards alone for a moment. What was broken off between the two is found and done by `settle` later.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import structlog

from homeserver.model import Act, Action, NowMs
from homeserver.storage import leaderboards as store
from homeserver.storage import moderation, rebuild, replays
from homeserver.storage.blocks import Move
from homeserver.storage.database import Database, Transaction

AT_ONCE: Final = 20
"""Players in one transaction: each is replayed on every board meanwhile, and nobody else writes."""

ACTOR: Final = "sync"
"""Who does it, in the log."""

_log = structlog.get_logger(__name__)


class Delisting:
    """Lets the lists follow who has the application."""

    def __init__(self, database: Database, now_ms: NowMs) -> None:
        self._database = database
        self._now_ms = now_ms

    async def settle(self, players: Collection[int] | None = None) -> int:
        """Take those of these players, or of all, off the lists who are without the application, and put back others.

        Returns:
            How many that were.
        """
        if players is not None and not players:
            return 0
        found = await self._database.read(lambda reader: moderation.misplaced(reader, players))
        changed = 0
        for start in range(0, len(found), AT_ONCE):
            part = found[start : start + AT_ONCE]

            async def work(tx: Transaction, part: Collection[int] = part) -> list[int]:
                return await self._move(tx, part)

            changed += len(await self._database.write(work))
        if changed:
            _log.info("lists_followed", players=changed)
        return changed

    async def _move(self, tx: Transaction, players: Collection[int]) -> list[int]:
        boards = await rebuild.all_alone(tx)
        now_ms = self._now_ms()
        changed = await moderation.set_delisted(tx, players, now_ms)
        gone = await moderation.delisted_among(tx, changed)
        moves: list[Move] = []
        for in_force in boards:
            # In the log, so that a rebuild that is under way learns of it.
            for player in changed:
                await moderation.log(tx, self._act(in_force.board.id, player, now_ms, gone=player in gone))
            moves += await replays.moves(tx, in_force, changed, now_ms)
        await store.write(tx, moves)
        return changed

    @staticmethod
    def _act(board_id: str, player: int, at_ms: int, *, gone: bool) -> Act:
        action, reason = (Action.DELIST, "removed the application") if gone else (Action.RELIST, "is back")
        return Act(action, at_ms, ACTOR, reason, board_id, player)
