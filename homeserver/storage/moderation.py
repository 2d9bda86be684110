"""What operators decided about players on boards, and the log of who did what, when and why.

A row of `moderation` says that a player is *hidden* from a board, or that their score was *removed*: events up to
`until_event` make no entries. One who is hidden may have had a score removed before (or since): the row then has both,
and that they are hidden goes first.

Beside that, a row of `delisted` says that a player is in no list of any board: they have removed the application, until
they come back, or have hidden themselves (`players.withdrawn_ms`), until they show themselves again.
Operators have no part in it, and what they decided stays as it is meanwhile.

`boards.moderated` says whether there is any row of either, so that boards without any cost nobody anything. Rows change
only while their board is held alone (`rebuild.alone`): whoever has begun to write on it (`leaderboards.begin`) finds
them as they are until the end of the transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple, cast

from homeserver.domain.boards import BoardInForce
from homeserver.domain.scores import INT64_MAX
from homeserver.model import Act, Action, Moderated, State
from homeserver.storage import adjustments
from homeserver.storage.database import Reader, Transaction


class Verdict(NamedTuple):
    """What counts of a player on a board: no event up to `until_event`, nothing while they are hidden or delisted."""

    hidden: bool = False
    until_event: int | None = None
    delisted: bool = False
    withdrawn: bool = False
    """They are delisted by their own word, whatever else."""

    @property
    def floor(self) -> int:
        """The number of the event up to which none makes entries."""
        return HIDDEN if self.hidden or self.delisted else self.until_event or 0

    @property
    def state(self) -> State:
        """The word for it. What an operator has hidden goes first: they alone can show it again."""
        if self.hidden:
            return State.HIDDEN
        if self.withdrawn:
            return State.WITHDRAWN
        return State.VISIBLE if self.until_event is None else State.REMOVED

    @property
    def by_operators(self) -> Verdict:
        """What of it operators decided."""
        return self._replace(delisted=False, withdrawn=False)

    @property
    def shown(self) -> Verdict:
        """The same for one whom everybody sees."""
        return self.by_operators._replace(hidden=False)


VISIBLE: Final = Verdict()
HIDDEN: Final = INT64_MAX
"""The floor of whoever is hidden."""


def counts(floor: int | None, event: int | None) -> bool:
    """Whether an event (None: one that is newer than all that were numbered) makes entries, by a player's floor."""
    return floor is None or (floor < HIDDEN and (event is None or event > floor))


# --- rows -------------------------------------------------------------------------------------------------------------


async def floors(
    reader: Reader, boards: Iterable[BoardInForce], players: Collection[int]
) -> dict[tuple[str, int], int]:
    """The floors of those of these players who have one, by board and player. Reads nothing where nobody can have."""
    moderated = [each.board.id for each in boards if each.moderated]
    if not moderated:
        return {}
    rows = await reader.fetch(
        "SELECT m.board, m.player, m.state, m.until_event FROM each_bigint($1) AS w CROSS JOIN moderation AS m "
        "WHERE m.player = w.value AND m.board IN (SELECT b.value FROM each_text($2) AS b)",
        sorted(players),
        moderated,
    )
    found = {(board, player): _verdict(*row).floor for board, player, *row in rows}
    gone = await delisted_among(reader, players)
    return found | {(board, player): HIDDEN for board in moderated for player in gone}


async def floors_on(reader: Reader, board_id: str) -> dict[int, int]:
    """The floors of all who have one on this board, by player."""
    rows = await reader.fetch("SELECT player, state, until_event FROM moderation WHERE board = $1", board_id)
    gone = await reader.fetch("SELECT player FROM delisted")
    return {player: _verdict(*row).floor for player, *row in rows} | {row[0]: HIDDEN for row in gone}


def _verdict(state: str, until_event: int | None) -> Verdict:
    return Verdict(state == State.HIDDEN, until_event)


async def verdict(reader: Reader, in_force: BoardInForce, player: int) -> Verdict:
    """What was decided about one player. Reads nothing on a board without any such rows."""
    if not in_force.moderated:
        return VISIBLE
    return (await verdicts(reader, in_force.board.id, [player])).get(player, VISIBLE)


async def verdicts(reader: Reader, board_id: str, players: Collection[int]) -> dict[int, Verdict]:
    """What was decided about those of these players about whom something was."""
    rows = await reader.fetch(
        "SELECT m.player, m.state, m.until_event FROM each_bigint($2) AS w CROSS JOIN moderation AS m "
        "WHERE m.player = w.value AND m.board = $1",
        board_id,
        sorted(players),
    )
    found = {player: _verdict(*row) for player, *row in rows}
    gone = await delisted_among(reader, players)
    return found | {
        player: found.get(player, VISIBLE)._replace(delisted=True, withdrawn=withdrawn)
        for player, withdrawn in gone.items()
    }


async def delisted_among(reader: Reader, players: Collection[int]) -> dict[int, bool]:
    """Those of these players who are in no list, and whether they have withdrawn."""
    rows = await reader.fetch(
        "SELECT d.player, p.withdrawn_ms FROM each_bigint($1) AS w CROSS JOIN delisted AS d CROSS JOIN players AS p "
        "WHERE d.player = w.value AND p.player = d.player",
        sorted(players),
    )
    return {player: withdrawn_ms is not None for player, withdrawn_ms in rows}


async def of_player(reader: Reader, player: int) -> list[Moderated]:
    """What was decided about a player, by board."""
    rows = await reader.fetch(
        "SELECT board, state, reason, actor, at_ms FROM moderation WHERE player = $1 ORDER BY board", player
    )
    return [Moderated(board, State(state), reason, actor, at_ms) for board, state, reason, actor, at_ms in rows]


async def decide(tx: Transaction, board_id: str, player: int, decided: Verdict, act: Act) -> None:
    """Let this be what operators decided; `VISIBLE` takes the row away. The board is held alone."""
    decided = decided.by_operators
    await tx.execute("DELETE FROM moderation WHERE player = $1 AND board = $2", player, board_id)
    if decided != VISIBLE:
        await tx.execute(
            "INSERT INTO moderation (player, board, state, until_event, reason, actor, at_ms) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            player,
            board_id,
            decided.state.value,
            decided.until_event,
            act.reason,
            act.actor,
            act.at_ms,
        )
    await note(tx, [board_id])


async def forget(tx: Transaction, player: int) -> None:
    """Take away whatever was decided about a player. All boards are held alone."""
    await adjustments.forget(tx, player)
    await tx.execute("DELETE FROM bulk_changes WHERE player = $1", player)
    rows = await tx.fetch("SELECT board FROM moderation WHERE player = $1", player)
    await tx.execute("DELETE FROM moderation WHERE player = $1", player)
    was_delisted = await tx.execute("DELETE FROM delisted WHERE player = $1", player)
    await note(tx, await _all_boards(tx) if was_delisted else [row[0] for row in rows])


async def _all_boards(reader: Reader) -> list[str]:
    return [row[0] for row in await reader.fetch("SELECT board FROM boards ORDER BY board")]


# --- those who are not there ------------------------------------------------------------------------------------------


async def misplaced(reader: Reader, players: Collection[int] | None = None) -> list[int]:
    """Those of these players, or of all, who are listed without having the application, or though they have withdrawn,
    or the other way round."""
    among = "" if players is None else "AND p.player IN (SELECT w.value FROM each_bigint($1) AS w) "
    rows = await reader.fetch(
        "SELECT p.player FROM players AS p LEFT JOIN delisted AS d ON d.player = p.player "  # noqa: S608
        "WHERE p.container <> '' "
        "AND (COALESCE(p.has_app, 1) = 0 OR p.withdrawn_ms IS NOT NULL) <> (d.player IS NOT NULL) "
        f"{among}ORDER BY p.player",
        *(() if players is None else (sorted(players),)),
    )
    return [row[0] for row in rows]


async def set_delisted(tx: Transaction, players: Iterable[int], at_ms: int) -> list[int]:
    """Let these be delisted who do not have the application or have withdrawn, and others listed again. All boards are
    held alone.

    Returns:
        Those with whom something changed.
    """
    changed = await misplaced(tx, list(players))
    for player in changed:
        if not await tx.execute("DELETE FROM delisted WHERE player = $1", player):
            await tx.execute("INSERT INTO delisted (player, at_ms) VALUES ($1, $2)", player, at_ms)
    if changed:
        await note(tx, await _all_boards(tx))
    return changed


# --- whether there is any ---------------------------------------------------------------------------------------------


async def note(tx: Transaction, board_ids: Iterable[str]) -> None:
    """Let these boards know whether they have any rows. Each is held alone, or new."""
    await tx.execute_many(
        "UPDATE boards SET moderated = CASE WHEN EXISTS (SELECT 1 FROM moderation AS m WHERE m.board = boards.board) "
        "OR EXISTS (SELECT 1 FROM delisted) THEN 1 ELSE 0 END WHERE board = $1",
        [(board_id,) for board_id in sorted(board_ids)],
    )


# --- the log ----------------------------------------------------------------------------------------------------------


async def forget_acts(tx: Transaction, *, before_ms: int, limit: int) -> int:
    """Delete those of the first `limit` lines of the log that are older than that; how many.

    Lines are as old as their numbers say, so nothing beyond them has to be looked at.
    """
    return await tx.execute(
        "DELETE FROM audit WHERE act IN (SELECT a.act FROM (SELECT act, at_ms FROM audit ORDER BY act LIMIT $2) AS a "
        "WHERE a.at_ms < $1)",
        before_ms,
        limit,
    )


async def log(tx: Transaction, act: Act, was: Verdict = VISIBLE, now: Verdict = VISIBLE) -> int:
    """Append what was done, and up to which event nothing counted of the player before it, and since; its number."""
    return cast(
        "int",
        await tx.fetch_value(
            "INSERT INTO audit (at_ms, actor, action, board, player, reason, detail, was_until, now_until) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING act",
            act.at_ms,
            act.actor,
            act.action.value,
            act.board,
            act.player,
            act.reason,
            act.detail,
            was.until_event,
            now.until_event,
        ),
    )


class Removal(NamedTuple):
    """What an act removed: up to which event nothing counted of the player before it, and since."""

    board: str
    player: int
    was_until: int | None
    now_until: int


async def removal(reader: Reader, act: int) -> Removal | None:
    """What the act of this number removed; None where it is none, or removed nothing, or the person was erased."""
    row = await reader.fetch_one(
        "SELECT board, player, was_until, now_until FROM audit WHERE act = $1 AND action = $2 AND player IS NOT NULL",
        act,
        Action.REMOVE.value,
    )
    return None if row is None else Removal(*row)


async def acts(
    reader: Reader, *, board_id: str | None, player: int | None, before: int | None, limit: int
) -> list[Act]:
    """What was done, newest first: on one board or to one player, if they are given, and before the act `before`."""
    wanted = {"board": board_id, "player": player}
    given = {column: value for column, value in wanted.items() if value is not None}
    values: list[object] = [*given.values(), limit]
    where = [f"{column} = ${number}" for number, column in enumerate(given, 1)]
    if before is not None:
        values.append(before)
        where.append(f"act < ${len(values)}")
    rows = await reader.fetch(
        "SELECT act, at_ms, actor, action, board, player, reason, detail FROM audit "  # noqa: S608 - columns of ours
        f"{'WHERE ' if where else ''}{' AND '.join(where)} ORDER BY act DESC LIMIT ${len(given) + 1}",
        *values,
    )
    return [
        Act(Action(action), at_ms, actor, reason, board, player_, detail, id_)
        for id_, at_ms, actor, action, board, player_, reason, detail in rows
    ]


async def newest_act(reader: Reader) -> int:
    """The number of the last thing that was done; 0 before the first."""
    return cast("int", await reader.fetch_value("SELECT coalesce(max(act), 0) FROM audit"))


async def acts_since(reader: Reader, action: Action, after: int) -> int:
    """How often this was done after the act of this number."""
    return cast(
        "int",
        await reader.fetch_value("SELECT count(*) FROM audit WHERE act > $1 AND action = $2", after, action.value),
    )


class ActedOn(NamedTuple):
    """To whom something was done: `until` is the last act that was looked at, `more` says that it was not the last."""

    players: frozenset[int]
    until: int
    more: bool


async def acted_on(reader: Reader, board_id: str, after: int, limit: int) -> ActedOn:
    """To whom something was done on a board, in the first `limit` acts after this one."""
    rows = await reader.fetch(
        "SELECT act, player FROM audit WHERE board = $1 AND act > $2 ORDER BY act LIMIT $3", board_id, after, limit + 1
    )
    seen = rows[:limit]
    players = frozenset(row[1] for row in seen if row[1] is not None)  # others were erased
    return ActedOn(players, seen[-1][0] if seen else after, more=len(rows) > limit)


async def forget_in_log(tx: Transaction, player: int) -> None:
    """Leave of what was done to a player only what, when and by whom. Words about them may name them."""
    await tx.execute(
        "UPDATE audit SET player = NULL, reason = '', detail = '', was_until = NULL, now_until = NULL "
        "WHERE player = $1",
        player,
    )
