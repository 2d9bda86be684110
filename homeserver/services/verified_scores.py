"""Scores that an operator gives and vouches for: they are kept as verified imports are, and count at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from homeserver.domain import scores
from homeserver.domain.score_files import EARLIEST_MS
from homeserver.errors import BadInput, Conflict
from homeserver.model import Action, NowMs
from homeserver.services import board_lists, reasons
from homeserver.storage import imports, moderation, people
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import SIZES, Sizes
from homeserver.storage.database import Database, LostRaceError, Transaction
from homeserver.storage.imports import Imported

SAME: Final = "The player has this score of that time already."


class VerifiedScores:
    """Gives players scores."""

    def __init__(self, database: Database, now_ms: NowMs, *, sizes: Sizes = SIZES) -> None:
        self._database = database
        self._now_ms = now_ms
        self._sizes = sizes

    async def give(
        self, player: int, board_id: str, value: str, *, at_ms: int | None = None, actor: str, reason: str
    ) -> None:
        """Let a score count that the operator vouches for, on every board of the same field, in every period of its
        time. No limit of a board judges it. What AppData holds is not touched.

        Args:
            at_ms: When it was reached; None: now.

        Raises:
            NotFound: No such board or player.
            BadInput: `value` is no score of the board (field "value"), the time lies in the future or before 2000
                (field "time"), or "actor", "reason".
            Conflict: The board is closed; or the same score of the same time is known.
        """
        act = reasons.act(Action.SCORE, self._now_ms(), actor, reason, board_id)
        reached_ms = act.at_ms if at_ms is None else at_ms
        if not EARLIEST_MS <= reached_ms <= act.at_ms:
            raise BadInput("in the future, or before the year 2000", field="time")

        async def work(tx: Transaction) -> None:
            field = (await board_lists.board(tx, board_id)).board.field
            boards = await store.begin(tx, [field])
            in_force = await board_lists.board(tx, board_id)
            board = in_force.board
            if board.field != field:  # changed while it was waited for
                raise LostRaceError
            if in_force.closed_ms is not None:
                raise Conflict("The board is closed: it takes no scores now.")
            text = scores.exact(scores.read(board, value), board.decimals)
            await people.user_of(tx, player)
            given = [Imported(player, text, reached_ms)]
            changes = await imports.add(tx, field, given, verified=True, now_ms=act.at_ms)
            if not changes:
                raise Conflict(SAME)
            await moderation.log(tx, replace(act, player=player, detail=text))
            await store.record(tx, boards, changes, act.at_ms, self._sizes)

        await self._database.write(work)
