"""Taking players off the lists who removed the application or hide themselves, and putting them back with their old
ranks.

Both are in the player's row (`has_app`, `withdrawn_ms`); the lists follow it here, in transactions that hold the boards
alone for a moment. What was broken off between the two is found and done by `settle` later. Who hides themselves is off
the lists in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from homeserver.domain.boards import BoardInForce
from homeserver.model import Act, Action, NowMs
from homeserver.services import reasons
from homeserver.storage import leaderboards as store
from homeserver.storage import moderation, people, rebuild, replays
from homeserver.storage.blocks import Move
from homeserver.storage.database import Database, Transaction

AT_ONCE: Final = 20
"""Players in one transaction: each is replayed on every board meanwhile, and nobody else writes."""

ACTOR: Final = "sync"
"""Who does it, in the log, when the container says whether somebody has the application."""

_log = structlog.get_logger(__name__)


class Delisting:
    """Lets the lists follow who has the application, and who wants to be in them."""

    def __init__(self, database: Database, now_ms: NowMs) -> None:
        self._database = database
        self._now_ms = now_ms

    async def settle(self, players: Collection[int] | None = None) -> int:
        """Take those of these players, or of all, off the lists who are without the application or hide themselves, and
        put back others.

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

    async def decide(self, player: int, *, hidden: bool, actor: str, reason: str) -> bool:
        """Let a player be hidden from all others on every board, by their own word, or be shown again: with the score,
        the time and the rank that they had, and what they reached meanwhile. What operators decided stays.

        Returns:
            Whether that was new: if not, nothing was done.

        Raises:
            NotFound: No such player.
        """
        now_ms = self._now_ms()
        act = reasons.act(Action.WITHDRAW if hidden else Action.SHOW_AGAIN, now_ms, actor, reason)

        async def work(tx: Transaction) -> bool:
            return bool(await let_hide(tx, {player: now_ms if hidden else None}, act, now_ms))

        return await self._database.write(work)

    async def _move(self, tx: Transaction, players: Collection[int]) -> list[int]:
        boards = await rebuild.all_alone(tx)
        now_ms = self._now_ms()
        changed = await moderation.set_delisted(tx, players, now_ms)
        gone = await moderation.delisted_among(tx, changed)
        left = reasons.act(Action.DELIST, now_ms, ACTOR, "removed the application")
        back = reasons.act(Action.RELIST, now_ms, ACTOR, "is back")
        await _follow(tx, boards, {player: left if player in gone else back for player in changed}, now_ms)
        return changed


async def let_hide(tx: Transaction, since_ms: Mapping[int, int | None], act: Act, now_ms: int) -> list[int]:
    """Keep since when these players have hidden themselves, or that they have not (None), and let all lists follow.

    Returns:
        Those for whom that is new, on whom `act` was done.

    Raises:
        NotFound: One of them is not there.
    """
    boards = await rebuild.all_alone(tx)
    changed = []
    for player, hidden_ms in since_ms.items():
        await people.unerased(tx, player)
        if await people.set_withdrawn(tx, player, hidden_ms):
            changed.append(player)
    if changed:
        await moderation.set_delisted(tx, changed, now_ms)
        await _follow(tx, boards, dict.fromkeys(changed, act), now_ms)
    return changed


async def _follow(tx: Transaction, boards: Sequence[BoardInForce], acts: Mapping[int, Act], now_ms: int) -> None:
    """Replay these players, on whom that was done."""
    moves: list[Move] = []
    for in_force in boards:
        # In the log, so that a rebuild that is under way learns of it.
        for player, act in acts.items():
            await moderation.log(tx, replace(act, board=in_force.board.id, player=player))
        moves += await replays.moves(tx, in_force, acts.keys(), now_ms)
    await store.write(tx, moves)
