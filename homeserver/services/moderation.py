"""What operators do about players: hide, remove a score, restore, erase a person; and who did what, when and why.

Each act is a transaction that holds its boards alone for a moment: a row that says what was decided, a line in the log,
and the difference that it makes to the player's entries, which are replayed from their events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from homeserver.domain import scores
from homeserver.domain.boards import BoardInForce
from homeserver.domain.rules import Flag
from homeserver.errors import BadInput, Conflict, DatabaseUnavailable, NotFound
from homeserver.model import (
    Act,
    Action,
    Adjustment,
    Board,
    Claim,
    Decision,
    Moderated,
    NowMs,
    PlayerCard,
    Position,
    Span,
)
from homeserver.services import board_lists, reasons
from homeserver.services.eraser import Eraser
from homeserver.services.reasons import MAX_DETAIL
from homeserver.storage import accounts, adjustments, appdata, erasing, moderation, people, rebuild, replays
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import SIZES, Move, Sizes
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.moderation import Verdict

MAX_REASON: Final = reasons.MAX_REASON
MAX_ACTOR: Final = reasons.MAX_ACTOR
MAX_LIMIT: Final = 200
MAX_ADJUSTMENTS: Final = 20
"""Of one player on one board, that were not undone: each replay obeys all of them."""

_log = structlog.get_logger(__name__)

_NOTHING: Final = {
    Action.HIDE: "This player is hidden already.",
    Action.REMOVE: "This player has no score here that could be removed.",
    Action.RESTORE: "Of this player nothing is hidden or removed here.",
}

_NO_CLAIM: Final = "There is no such claim, or nothing to say of it any more."

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
            lambda was, _: was._replace(hidden=False) if was.hidden else was._replace(until_event=None),
        )

    async def unremove(self, act: int, *, actor: str, reason: str) -> None:
        """Take back the `remove` on one board that has this number in the log: what counted before it counts again.

        Whether the player is hidden stays as it is, and so does what was removed before.

        Raises:
            NotFound: There is no such removal.
            Conflict: Something else was removed since, or all of it restored.
        """
        back = self._reasoned(Action.UNREMOVE, actor, reason)

        async def work(tx: Transaction) -> None:
            of = await moderation.removal(tx, act)
            if of is None:
                raise NotFound("There is no such removal.")
            (in_force,) = await self._hold(tx, of.board)
            await people.user_of(tx, of.player)
            was = await moderation.verdict(tx, in_force, of.player)
            if was.until_event != of.now_until:
                raise Conflict("What was removed then is not what is removed now.")
            held = await appdata.values_of(tx, of.player)
            one = replace(back, board=of.board, player=of.player, detail=_detail(in_force.board, held))
            await moderation.decide(tx, of.board, of.player, was._replace(until_event=of.was_until), one)
            await self._replay(tx, in_force, of.player, one)

        await self._database.write(work)

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
                now = decide(was, await self._last_that_counts(tx, in_force, player, was))
                if now == was:
                    continue
                one = replace(act, board=board.id, player=player, detail=_detail(board, held))
                await moderation.decide(tx, board.id, player, now, one)
                await moderation.log(tx, one, was, now)
                moves += await replays.moves(tx, in_force, [player], act.at_ms)
                changed.append(board.id)
            if not changed:
                raise Conflict(_NOTHING[act.action])
            await store.write(tx, moves, self._sizes)
            return tuple(changed)

        return await self._database.write(work)

    async def _hold(self, tx: Transaction, board_id: str | None) -> list[BoardInForce]:
        """The board, or all, held alone until the end of the transaction."""
        if board_id is None:
            return list(await rebuild.all_alone(tx))
        await rebuild.alone(tx, (await board_lists.board(tx, board_id)).board)
        return [await board_lists.board(tx, board_id)]

    async def _last_that_counts(self, reader: Reader, in_force: BoardInForce, player: int, was: Verdict) -> int | None:
        """The player's last event, if there is anything on this board that it could be removed with."""
        counts = await replays.entries(reader, in_force, player, was.shown, self._now_ms())
        return await replays.newest_event(reader, player, in_force.board.field) if counts else None

    # --- another score ------------------------------------------------------------------------------------------------

    async def adjust(self, player: int, board_id: str, score: str, *, actor: str, reason: str) -> None:
        """Put a score in the place of what the player has: in every list of the board that they are in.

        They go on to have it since when they had what it replaces. It stays as long as AppData says the same, and meets
        what it says next as any score does: under `latest` that takes its place, under `best` what is better. Where
        gains are counted, a period has what the player would have gained with it.

        Args:
            score: As the board writes scores.

        Raises:
            BadInput: It is no score of the board (field "score").
            Conflict: The player has no score there, or this one already.
        """
        act = self._reasoned(Action.ADJUST, actor, reason)

        async def work(tx: Transaction) -> None:
            (in_force,) = await self._hold(tx, board_id)
            board = in_force.board
            try:
                text = scores.exact(scores.read(board, score), board.decimals)
            except BadInput as error:
                raise BadInput(str(error), field="score") from error
            await people.user_of(tx, player)
            was = (await moderation.verdict(tx, in_force, player)).shown
            before = await replays.entries(tx, in_force, player, was, act.at_ms)
            newest = await replays.newest_event(tx, player, board.field)
            if not before or newest is None:
                raise Conflict("This player has no score here that could be adjusted.")
            given = replace(act, board=board.id, player=player, detail=_adjustment(before, board, text))
            if len((await adjustments.on(tx, board.id, [player])).get(player, ())) >= MAX_ADJUSTMENTS:
                raise Conflict("This player's score here was adjusted too often. Undo some first.")
            await adjustments.add(tx, player, newest, text, given)
            if await replays.entries(tx, in_force, player, was, act.at_ms) == before:
                raise Conflict("This player has that score here already.")
            await self._replay(tx, in_force, player, given)

        await self._database.write(work)

    async def unadjust(self, player: int, board_id: str, *, actor: str, reason: str) -> None:
        """Undo the last `adjust` of the player on the board.

        Raises:
            Conflict: There is none.
        """
        act = self._reasoned(Action.UNADJUST, actor, reason)

        async def work(tx: Transaction) -> None:
            (in_force,) = await self._hold(tx, board_id)
            await people.user_of(tx, player)
            undone = await adjustments.undo(tx, player, board_id)
            if undone is None:
                raise Conflict("This player's score here was not adjusted.")
            await self._replay(tx, in_force, player, replace(act, board=board_id, player=player, detail=undone))

        await self._database.write(work)

    async def _replay(self, tx: Transaction, in_force: BoardInForce, player: int, act: Act) -> None:
        await moderation.log(tx, act)
        await store.write(tx, await replays.moves(tx, in_force, [player], act.at_ms), self._sizes)

    # --- claims that wait ---------------------------------------------------------------------------------------------

    async def review(self, board_id: str, *, after: int = 0, limit: int = 50) -> tuple[Claim, ...]:
        """The claims that wait on a board, oldest first, beyond the one of the event `after`.

        Raises:
            NotFound: No such board.
            BadInput: `limit` is not 1 to 200 (field "limit").
        """
        _check_limit(limit)

        async def work(reader: Reader) -> tuple[Claim, ...]:
            in_force = await board_lists.board(reader, board_id)
            found = await accounts.waiting_of_all(reader, in_force, after, limit)
            cards = await people.cards(reader, {player for _, player, _ in found})
            return tuple(claim(in_force.board, *each, cards[each[1]]) for each in found if each[1] in cards)

        return await self._database.read(work)

    async def approve(self, board_id: str, event: int, *, actor: str, reason: str) -> None:
        """Let a claim that waits count, at its own time.

        Raises:
            NotFound: No such board, or nothing of that event waits there: a later score has taken its place, say.
        """
        await self._decide(board_id, event, Decision.APPROVED, self._reasoned(Action.APPROVE, actor, reason))

    async def reject(self, board_id: str, event: int, *, actor: str, reason: str) -> None:
        """Say that a claim never counts.

        Raises:
            NotFound: As for `approve`.
        """
        await self._decide(board_id, event, Decision.REJECTED, self._reasoned(Action.REJECT, actor, reason))

    async def reopen(self, board_id: str, event: int, *, actor: str, reason: str) -> None:
        """Undo `approve` or `reject`: the claim waits again, if nothing has taken its place.

        Raises:
            NotFound: No such board, or nothing was said of that event there.
        """
        await self._decide(board_id, event, None, self._reasoned(Action.REOPEN, actor, reason))

    async def _decide(self, board_id: str, event: int, decision: Decision | None, act: Act) -> None:
        async def work(tx: Transaction) -> None:
            (in_force,) = await self._hold(tx, board_id)
            board = in_force.board
            player = await accounts.claimant(tx, board, event)
            if player is None:
                raise NotFound(_NO_CLAIM)
            waits = {number for number, _ in await accounts.waiting(tx, in_force, player)}
            said = await accounts.decision_on(tx, board, player, event)
            if event not in waits if decision else said is None:
                raise NotFound(_NO_CLAIM)
            held = await appdata.values_of(tx, player)
            if decision is None:
                await accounts.reopen(tx, board.id, player, event)
            else:
                await accounts.decide(tx, board.id, player, event, decision)
            detail = f"claim {event}; {_detail(board, held)}"[:MAX_DETAIL]
            await moderation.log(tx, replace(act, board=board.id, player=player, detail=detail))
            await store.write(tx, await replays.moves(tx, in_force, [player], act.at_ms), self._sizes)

        await self._database.write(work)

    # --- a person -----------------------------------------------------------------------------------------------------

    async def erase(self, player: int, *, actor: str, reason: str) -> bool:
        """Erase a person: whatever is known of them, everywhere, for good. There is no way back.

        They are off every board, and unknown, when the first transaction is committed; what is left follows, a part at
        a time. Nobody brings them back but they themselves, by opening the gadget; they begin anew then.

        Args:
            reason: Stays in the log, so it says nothing of who they were.

        Returns:
            Whether all of it is done. If not, a board is being rebuilt, or the database was lost on the way; the upkeep
            does the rest.

        Raises:
            NotFound: No such player.
        """
        act = self._reasoned(Action.ERASE, actor, reason)

        async def work(tx: Transaction) -> None:
            await erasing.strip(tx, player, act)

        await self._database.write(work)
        try:
            return await self._eraser.finish(player)
        except DatabaseUnavailable as error:
            _log.warning("erasing_broken_off", error=str(error))
            return False

    # --- what was done ------------------------------------------------------------------------------------------------

    async def of_player(self, player: int) -> tuple[Moderated, ...]:
        """What was decided about a player and stands, by board."""
        return tuple(await self._database.look(lambda reader: moderation.of_player(reader, player)))

    async def adjusted(self, player: int) -> tuple[Adjustment, ...]:
        """The scores that were adjusted and stand, by board and in their order."""
        return tuple(await self._database.look(lambda reader: adjustments.of_player(reader, player)))

    async def log(
        self, *, board_id: str | None = None, player: int | None = None, before: int | None = None, limit: int = 50
    ) -> tuple[Act, ...]:
        """What was done, newest first: on one board or to one player if they are given, before the act `before`.

        Raises:
            BadInput: `limit` is not 1 to 200 (field "limit").
        """
        _check_limit(limit)

        async def work(reader: Reader) -> list[Act]:
            return await moderation.acts(reader, board_id=board_id, player=player, before=before, limit=limit)

        return tuple(await self._database.look(work))

    def _reasoned(self, action: Action, actor: str, reason: str) -> Act:
        return reasons.act(action, self._now_ms(), actor, reason)


def _adjustment(before: Mapping[str, Position], of: Board, text: str) -> str:
    """What was adjusted, in the words of the log."""
    position = before.get(Span.ALL.value) or next(iter(before.values()))
    return f"{scores.written(of, position.key)[0]} to {text}"


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInput(f"1 to {MAX_LIMIT} at a time", field="limit")


def claim(of: Board, event: int, player: int, flag: Flag, card: PlayerCard) -> Claim:
    """A claim that waits, as operators see it."""
    score, display = scores.exact(flag.score, of.decimals), scores.display(flag.score, of)
    return Claim(of.id, event, player, card, score, display, flag.at_ms, flag.reason)


def _detail(board: Board, held: Mapping[str, str]) -> str:
    """What the player's AppData held when something was done to them."""
    value = held.get(board.field)
    return "" if value is None else f"{board.field}={value}"[:MAX_DETAIL]
