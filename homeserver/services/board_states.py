"""Closing and opening boards, and resetting them: what they had is archived under a name, and they begin with nothing.

A closed board shows its last state. What players write meanwhile is known and remembered, and makes no entries, then
and in every later rebuild; where gains are counted, they go on from what it has become.

After a reset, nothing counts that was reached before; a board that is closed stays so. A board that remembers something
of players (it counts gains, or judges claims) is folded anew for that, as by a rebuild; any other begins anew in one
short transaction. To undo it, the board is rebuilt from all that it counted before and what came since.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from homeserver.domain import rules
from homeserver.domain.boards import BoardInForce, Closure
from homeserver.errors import BadInput, Conflict, NotFound
from homeserver.model import Act, Action, Archive, NowMs
from homeserver.services import board_lists, reasons
from homeserver.services.rebuilds import Anew, Finished, Progress, Rebuilds, Rebuilt
from homeserver.storage import board_states as store
from homeserver.storage import moderation, rebuild
from homeserver.storage.board_states import Kept
from homeserver.storage.database import Database, Reader, Transaction

MAX_ARCHIVES: Final = 50
MAX_CLOSURES: Final = 500
"""Since the last reset. Those before it are kept as long as the reset can be undone: each replay reads all of them."""
MAX_NAME: Final = 100


class BoardStates:
    """Opens, closes and resets boards.

    Common to the acts: `actor` is who does it, `reason` why; see `moderation.Moderation`. `finished` is run in the very
    transaction that does it; what it raises leaves all as it was.

    Common errors: NotFound (no such board), BadInput (field "actor" or "reason"), Conflict (nothing would change, or
    the board is being rebuilt).
    """

    def __init__(self, database: Database, rebuilds: Rebuilds, now_ms: NowMs) -> None:
        self._database = database
        self._rebuilds = rebuilds
        self._now_ms = now_ms

    async def close(self, board_id: str, *, actor: str, reason: str) -> None:
        """Let the board take no scores until it is opened. It shows its last state."""
        act = reasons.act(Action.CLOSE, self._now_ms(), actor, reason, board_id)

        async def work(tx: Transaction) -> None:
            in_force = await self._alone(tx, board_id)
            if in_force.closed_ms is not None:
                raise Conflict("The board is closed already.")
            if sum(not each.is_over(in_force.since_event) for each in in_force.closures) >= MAX_CLOSURES:
                raise Conflict("The board was closed too often. Reset it: then it begins to count anew.")
            newest = await rebuild.newest_event(tx, in_force.board)
            first = min([in_force.since_event, *(kept.since_event for kept in await store.archives(tx, board_id))])
            obeyed = [each for each in in_force.closures if not each.is_over(first)]
            await store.set_closures(tx, board_id, [*obeyed, Closure(newest, None, act.at_ms)])
            await moderation.log(tx, act)

        await self._database.write(work)

    async def open(self, board_id: str, *, actor: str, reason: str) -> None:
        """Let the board take scores again. What came while it was closed goes on not to count."""
        act = reasons.act(Action.OPEN, self._now_ms(), actor, reason, board_id)

        async def work(tx: Transaction) -> None:
            in_force = await self._alone(tx, board_id)
            if in_force.closed_ms is None:
                raise Conflict("The board is open already.")
            newest = await rebuild.newest_event(tx, in_force.board)
            last = in_force.closures[-1]._replace(until_event=newest)
            await store.set_closures(tx, board_id, [*in_force.closures[:-1], last])
            await moderation.log(tx, act)

        await self._database.write(work)

    async def _alone(self, tx: Transaction, board_id: str) -> BoardInForce:
        """The board, held alone, and not being rebuilt: a rebuild goes by how it found the board."""
        await rebuild.alone(tx, (await board_lists.board(tx, board_id)).board)
        if await rebuild.under_way(tx, self._now_ms(), board_id):
            raise Conflict(f"The board {board_id} is being rebuilt. Try again when it is done.")
        return await board_lists.board(tx, board_id)

    # --- reset --------------------------------------------------------------------------------------------------------

    async def check_reset(self, board_id: str, name: str) -> None:
        """See whether `reset` could be done.

        Raises:
            NotFound, BadInput, Conflict: As for `reset`.
        """
        _named(name)

        async def work(reader: Reader) -> None:
            await board_lists.board(reader, board_id)
            await _check_room(reader, board_id)

        await self._database.look(work)

    async def reset(
        self,
        board_id: str,
        name: str,
        *,
        actor: str,
        reason: str,
        progress: Progress,
        finished: Finished | None = None,
    ) -> Rebuilt:
        """Archive what the board has, and let it begin with nothing. Whoever pages in it begins anew (`stale_cursor`).

        Args:
            name: Of the archive: 1 to 100 characters.

        Returns:
            `entries_before` is what the list of all time and its periods held, `entries` what they hold now.

        Raises:
            Conflict: The board has 50 archives already, or is being rebuilt.
            BadInput: The name cannot be used (field "name").
        """
        act = replace(reasons.act(Action.RESET, self._now_ms(), actor, reason, board_id), detail=_named(name))
        in_force = await self._database.look(lambda reader: board_lists.board(reader, board_id))
        if not rules.remembers(in_force.board):
            return await self._database.write(lambda tx: self._reset_at_once(tx, board_id, act, finished))

        async def switch(tx: Transaction, was: BoardInForce) -> None:
            await _check_room(tx, board_id)
            await store.archive(tx, was, act.detail, act)
            await moderation.log(tx, act)

        return await self._rebuilds.rebuild(
            in_force.board,
            revision=in_force.revision,
            progress=progress,
            anew=Anew(since=lambda newest: newest, switch=switch),
            finished=finished,
        )

    async def _reset_at_once(self, tx: Transaction, board_id: str, act: Act, finished: Finished | None) -> Rebuilt:
        in_force = await self._alone(tx, board_id)
        if rules.remembers(in_force.board):
            raise Conflict(f"The board {board_id} was changed meanwhile. Try again.")
        await _check_room(tx, board_id)
        lists = await rebuild.lists_of(tx, in_force)
        counted = await rebuild.counted(tx, lists.values())
        generation = await rebuild.new_generation(tx, board_id)
        newest = await rebuild.newest_event(tx, in_force.board)
        await store.archive(tx, in_force, act.detail, act)
        await store.begin_anew(tx, board_id, generation, newest)
        await moderation.log(tx, act)
        rebuilt = Rebuilt(0, 0, 0, sum(levels[0] for levels in counted.values()))
        if finished is not None:
            await finished(tx, rebuilt)
        return rebuilt

    async def check_undo_reset(self, board_id: str) -> Archive:
        """The archive that `undo_reset` would go back to.

        Raises:
            NotFound: The board has none.
        """

        async def work(reader: Reader) -> Kept:
            await board_lists.board(reader, board_id)
            return await _last_archive(reader, board_id)

        return (await self._database.look(work)).archive

    async def undo_reset(
        self,
        board_id: str,
        archive_id: int,
        *,
        actor: str,
        reason: str,
        progress: Progress,
        finished: Finished | None = None,
    ) -> Rebuilt:
        """Undo the last reset: what counted before it counts again, beside what came since. Its archive goes.

        Args:
            archive_id: What that reset archived.

        Raises:
            NotFound: The board has no archive to go back to.
            Conflict: Another archive is the newest.
        """
        act = reasons.act(Action.UNRESET, self._now_ms(), actor, reason, board_id)

        async def work(reader: Reader) -> tuple[BoardInForce, Kept]:
            return await board_lists.board(reader, board_id), await _last_archive(reader, board_id, archive_id)

        in_force, kept = await self._database.look(work)

        async def switch(tx: Transaction, _: BoardInForce) -> None:
            await _last_archive(tx, board_id, archive_id)
            await store.remove_archive(tx, kept)
            await moderation.log(tx, replace(act, detail=kept.archive.name))

        return await self._rebuilds.rebuild(
            in_force.board,
            revision=in_force.revision,
            progress=progress,
            anew=Anew(since=lambda _: kept.since_event, switch=switch),
            finished=finished,
        )

    # --- archives -----------------------------------------------------------------------------------------------------

    async def archives(self, board_id: str) -> tuple[Archive, ...]:
        """What the board was at its resets, newest first. The newest one can be undone."""

        async def work(reader: Reader) -> list[Kept]:
            await board_lists.board(reader, board_id)
            return await store.archives(reader, board_id)

        return tuple(each.archive for each in await self._database.look(work))

    async def delete_archive(self, board_id: str, archive_id: int, *, actor: str, reason: str) -> None:
        """Delete an archive for good. If it is the newest, the reset cannot be undone any more. The room that its lists
        took is free when the upkeep has deleted them.

        Raises:
            NotFound: The board has no such archive.
        """
        act = reasons.act(Action.DELETE_ARCHIVE, self._now_ms(), actor, reason, board_id)

        async def work(tx: Transaction) -> None:
            await self._alone(tx, board_id)
            kept = await store.find_archive(tx, board_id, archive_id)
            if kept is None:
                raise NotFound("The board has no such archive.")
            await store.remove_archive(tx, kept)
            await moderation.log(tx, replace(act, detail=kept.archive.name))

        await self._database.write(work)


def _named(name: str) -> str:
    stripped = name.strip()
    if not 0 < len(stripped) <= MAX_NAME or not stripped.isprintable():
        raise BadInput(f"1 to {MAX_NAME} printable characters", field="name")
    return stripped


async def _check_room(reader: Reader, board_id: str) -> None:
    if await store.count_archives(reader, board_id) >= MAX_ARCHIVES:
        raise Conflict(f"The board {board_id} has {MAX_ARCHIVES} archives. Delete one first.")


async def _last_archive(reader: Reader, board_id: str, expected: int | None = None) -> Kept:
    found = await store.archives(reader, board_id)
    if not found:
        raise NotFound("The board was not reset, or its archive was deleted.")
    if expected not in (None, found[0].archive.id):
        raise Conflict(f"The archive {expected} is not the newest of {board_id} any more. Look again.")
    return found[0]
