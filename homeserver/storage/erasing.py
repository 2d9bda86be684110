"""Erasing a person: at once nobody any more, then, a part at a time, nothing of theirs anywhere.

`strip` is the deed. From then on the player's row belongs to no container (its container is empty), names nobody, and
is nobody's public id; the mark keeps whoever knows the person's id from making them a player again. Whoever is about to
write by a number that they have had for longer asks first, in the same transaction: `people.players_of` or `user_of`.

What is left is taken away by `delete_some`, and the row at the very end by `finish`: as long as it is there, the work
is not done, and whoever comes goes on with it. A rebuild that was under way may have read what is deleted meanwhile. It
takes the entries of everybody whose row is still there out of what it has built, before that is put in force; so the
row stays until no board is being rebuilt.
"""

from __future__ import annotations

import secrets
from enum import Enum, auto
from typing import NamedTuple

from homeserver.model import Act, Action, Position
from homeserver.storage import accounts, erased, moderation, people, rebuild, sessions
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import Move
from homeserver.storage.database import Reader, Transaction


async def strip(tx: Transaction, player: int, act: Act) -> None:
    """Let this player be nobody. Nothing else may have been locked before.

    All boards are held alone for a moment, and so are all who write about people: nobody is in the middle of it.

    Raises:
        NotFound: No such player.
    """
    await _alone(tx)
    container, user_id = await people.user_of(tx, player)
    await tx.execute(
        "UPDATE players SET container = $2, user_id = CAST(player AS TEXT), public_id = $3, given_name = '', "
        "family_name = '', display_name = '', search_name = '', thumbnail_url = '', birthday = NULL, has_app = 0, "
        "withdrawn_ms = NULL "
        "WHERE player = $1",
        player,
        people.NOWHERE,
        secrets.token_hex(10),
    )
    await erased.mark(tx, container, user_id)
    for table in ("appdata", "sync_tasks", "appdata_writes"):
        await tx.execute(f"DELETE FROM {table} WHERE player = $1", player)  # noqa: S608 - one of these
    await sessions.remove_all_of(tx, player)
    await accounts.forget_decisions(tx, player)
    await moderation.forget(tx, player)
    await moderation.forget_in_log(tx, player)
    await moderation.log(tx, act)


async def _alone(tx: Transaction) -> None:
    await rebuild.all_alone(tx)
    await tx.lock(erased.LOCK)


async def unfinished(reader: Reader) -> list[int]:
    """Whose erasing is not finished."""
    rows = await reader.fetch("SELECT player FROM players WHERE container = $1 ORDER BY player", people.NOWHERE)
    return [row[0] for row in rows]


class Erasures(NamedTuple):
    """Those of whom something is left, and the number of the last act of an operator, as of one moment."""

    unfinished: frozenset[int]
    act: int


async def erasures(reader: Reader) -> Erasures:
    """As of now."""
    return Erasures(frozenset(await unfinished(reader)), await moderation.newest_act(reader))


async def unfinished_since(reader: Reader, earlier: Erasures) -> frozenset[int] | None:
    """Those of whom something is left; None if the last of somebody was deleted since, of whom it was then unknown."""
    now = frozenset(await unfinished(reader))
    begun = await moderation.acts_since(reader, Action.ERASE, earlier.act)
    return now if earlier.unfinished <= now and len(now - earlier.unfinished) == begun else None


# --- what is left of them ---------------------------------------------------------------------------------------------


async def delete_some(tx: Transaction, player: int, limit: int) -> int:
    """Delete about so many rows of what is left of a player who was stripped: how many that were; 0 says that was all.

    Lists that are neither in force nor archived are not touched here.
    """
    await store.begin(tx)
    entries = await tx.fetch(
        "SELECT e.list, e.key, e.reached_ms FROM entries_by_player AS e CROSS JOIN lists AS l CROSS JOIN boards AS b "
        "WHERE e.player = $1 AND l.list = e.list AND b.board = l.board AND (b.generation = l.generation OR EXISTS "
        "(SELECT 1 FROM archives AS a WHERE a.board = l.board AND a.generation = l.generation)) LIMIT $2",
        player,
        limit,
    )
    if not entries:
        return await _delete_rows(tx, player, limit)
    await store.write(tx, [Move(list_, player, Position(key, ms, player), None) for list_, key, ms in entries])
    return len(entries)


async def _delete_rows(tx: Transaction, player: int, limit: int) -> int:
    deleted = await tx.execute(
        "DELETE FROM events WHERE event IN (SELECT event FROM events WHERE player = $1 LIMIT $2)", player, limit
    )
    for table, column in (("claims", "list"), ("flags", "event")):
        if deleted < limit:
            deleted += await tx.execute(
                f"DELETE FROM {table} WHERE player = $1 AND {column} IN "  # noqa: S608 - one of two
                f"(SELECT t.{column} FROM {table} AS t WHERE t.player = $1 LIMIT $2)",
                player,
                limit - deleted,
            )
    for one, other in (("player", "friend"), ("friend", "player")):
        if deleted < limit:
            rows = await tx.fetch(
                f"SELECT {other} FROM friendships WHERE {one} = $1 LIMIT $2",  # noqa: S608 - one of two columns
                player,
                limit - deleted,
            )
            await tx.execute_many(
                f"DELETE FROM friendships WHERE {one} = $1 AND {other} = $2",  # noqa: S608
                sorted((player, row[0]) for row in rows),
            )
            deleted += len(rows)
    return deleted


class Ending(Enum):
    """How far the erasing of a person has come when `delete_some` finds nothing more."""

    DONE = auto()
    SWEEP = auto()
    """When the lists that are to be deleted are, as they may hold something of theirs."""
    WAITING = auto()
    """Until no board is being rebuilt."""


async def finish(tx: Transaction, player: int, now_ms: int) -> Ending:
    """Delete the row of a player of whom nothing is left but that. Nothing else may have been locked before."""
    await _alone(tx)
    if await rebuild.under_way(tx, now_ms):
        return Ending.WAITING
    # What a rebuild left half built that was killed.
    await tx.execute(
        "UPDATE lists SET generation = -list WHERE generation > 0 "
        "AND list IN (SELECT e.list FROM entries_by_player AS e WHERE e.player = $1) "
        "AND NOT EXISTS (SELECT 1 FROM boards AS b WHERE b.board = lists.board AND b.generation = lists.generation)",
        player,
    )
    if await rebuild.abandoned(tx):
        return Ending.SWEEP
    await sessions.remove_all_of(tx, player)  # one may have been made of a link that was followed just then
    await tx.execute("DELETE FROM players WHERE player = $1 AND container = $2", player, people.NOWHERE)
    return Ending.DONE
