"""What operators do about players: hide, remove a score, restore, erase a person; and who did what, when and why.

Each act is a transaction that holds its boards alone for a moment: a row that says what was decided, a line in the log,
and the difference that it makes to the player's entries, which are replayed from their events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from homeserver.domain.boards import BoardInForce
from homeserver.errors import BadInput, Conflict
from homeserver.model import Act, Action, Board, Moderated, NowMs
from homeserver.services import board_lists
from homeserver.services.eraser import Eraser
from homeserver.storage import appdata, erasing, moderation, people, rebuild, replays
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import SIZES, Move, Sizes
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.moderation import VISIBLE, Verdict
from homeserver.storage.texts import storable

MAX_REASON: Final = 500
MAX_ACTOR: Final = 100
MAX_DETAIL: Final = 200
MAX_LIMIT: Final = 200

_NOTHING: Final = {
    Action.HIDE: "This player is hidden already.",
    Action.REMOVE: "This player has no score here that could be removed.",
    Action.RESTORE: "Of this player nothing is hidden or removed here.",
}

_Decide = Callable[[Verdict, int | None], Verdict]
"""From what was decided, and the player's last event, to what is."""


class Moderation:
    """Every act of operators about players.

    Common to the acts: `actor` is who does it, `reason` why: 1 to 500 characters that stay in the log.

    Common errors: NotFound (no such board or player), BadInput (field "reason" or "actor"), Conflict (nothing would
    change: a player who is hidden cannot be hidden).
    """

    def __init__(self, database: Database, now_ms: NowMs, *, sizes: Sizes = SIZES) -> None:
        self._database = database
        self._now_ms = now_ms
        self._sizes = sizes
        self._eraser = Eraser(database, now_ms)

    # --- a player on boards -------------------------------------------------------------------------------------------

    async def hide(self, player: int, *, board_id: str | None = None, actor: str, reason: str) -> tuple[str, ...]:
        """Hide a player from a board, or from all, until they are restored. They see themselves, and that it is so.

        Returns:
            The boards on which this changed something.
        """
        return await self._act(
            player, board_id, self._reasoned(Action.HIDE, actor, reason), lambda was, _: was._replace(hidden=True)
        )

    async def remove(self, player: int, *, board_id: str | None = None, actor: str, reason: str) -> tuple[str, ...]:
        """Remove what a player has reached on a board, or on all. What they reach later counts.

        Returns:
            The boards on which this changed something.
        """
        return await self._act(
            player,
            board_id,
            self._reasoned(Action.REMOVE, actor, reason),
            lambda was, newest: was._replace(until_event=newest) if newest else was,
        )

    async def restore(self, player: int, *, board_id: str | None = None, actor: str, reason: str) -> tuple[str, ...]:
        """Undo that a player was hidden; where they are not hidden, that their score was removed. It is as it was.

        Returns:
            The boards on which this changed something.
        """
        return await self._act(
            player,
            board_id,
            self._reasoned(Action.RESTORE, actor, reason),
            lambda was, _: was._replace(hidden=False) if was.hidden else VISIBLE,
        )

    async def _act(self, player: int, board_id: str | None, act: Act, decide: _Decide) -> tuple[str, ...]:
        async def work(tx: Transaction) -> tuple[str, ...]:
            boards = await self._hold(tx, board_id)
            await people.user_of(tx, player)
            held = await appdata.values_of(tx, player)
            changed: list[str] = []
            moves: list[Move] = []
            for in_force in boards:
                board = in_force.board
                was = await moderation.verdict(tx, in_force, player)
                now = decide(was, await self._last_that_counts(tx, board, player, was))
                if now == was:
                    continue
                one = replace(act, board=board.id, player=player, detail=_detail(board, held))
                await moderation.decide(tx, board.id, player, now, one)
                await moderation.log(tx, one)
                moves += await replays.moves(tx, in_force, [player], act.at_ms)
                changed.append(board.id)
            if not changed:
                raise Conflict(_NOTHING[act.action])
            await store.write(tx, moves, self._sizes)
            return tuple(changed)

        return await self._database.write(work)

    async def _hold(self, tx: Transaction, board_id: str | None) -> list[BoardInForce]:
        """The board, or all, held alone until the end of the transaction."""

        async def found() -> list[BoardInForce]:
            if board_id is None:
                return list(await store.boards_in_force(tx))
            return [await board_lists.board(tx, board_id)]

        await rebuild.alone(tx, *(each.board for each in await found()))
        return await found()

    async def _last_that_counts(self, reader: Reader, board: Board, player: int, was: Verdict) -> int | None:
        """The player's last event, if there is anything on this board that it could be removed with."""
        counts = await replays.made(reader, board, player, was._replace(hidden=False, delisted=False), self._now_ms())
        return await replays.newest_event(reader, player, board.field) if counts else None

    # --- a person -----------------------------------------------------------------------------------------------------

    async def erase(self, player: int, *, actor: str, reason: str) -> bool:
        """Erase a person: whatever is known of them, everywhere, for good. There is no way back.

        They are off every board, and unknown, when the first transaction is committed; what is left follows, a part at
        a time. Nobody brings them back but they themselves, by opening the gadget; they begin anew then.

        Args:
            reason: Stays in the log, so it says nothing of who they were.

        Returns:
            Whether all of it is done. If not, a board is being rebuilt, and the upkeep does the rest when that ends.

        Raises:
            NotFound: No such player.
        """
        act = self._reasoned(Action.ERASE, actor, reason)

        async def work(tx: Transaction) -> None:
            await erasing.strip(tx, player, act)

        await self._database.write(work)
        return await self._eraser.finish(player)

    # --- what was done ------------------------------------------------------------------------------------------------

    async def of_player(self, player: int) -> tuple[Moderated, ...]:
        """What was decided about a player and stands, by board."""
        return tuple(await self._database.look(lambda reader: moderation.of_player(reader, player)))

    async def log(
        self, *, board_id: str | None = None, player: int | None = None, before: int | None = None, limit: int = 50
    ) -> tuple[Act, ...]:
        """What was done, newest first: on one board or to one player if they are given, before the act `before`.

        Raises:
            BadInput: `limit` is not 1 to 200 (field "limit").
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise BadInput(f"1 to {MAX_LIMIT} at a time", field="limit")

        async def work(reader: Reader) -> list[Act]:
            return await moderation.acts(reader, board_id=board_id, player=player, before=before, limit=limit)

        return tuple(await self._database.look(work))

    def _reasoned(self, action: Action, actor: str, reason: str) -> Act:
        said = {"actor": (actor, MAX_ACTOR), "reason": (reason, MAX_REASON)}
        for name, (text, most) in said.items():
            if not 0 < len(text.strip()) <= most:
                raise BadInput(f"1 to {most} characters", field=name)
        return Act(action, self._now_ms(), storable(actor.strip()), storable(reason.strip()), None, None)


def _detail(board: Board, held: Mapping[str, str]) -> str:
    """What the player's AppData held when something was done to them."""
    value = held.get(board.field)
    return "" if value is None else f"{board.field}={value}"[:MAX_DETAIL]
