"""Replaying a player on a board: what their events make there, as far as they count, and what differs from what is.

Whatever is decided about a player is a small row and then this. So a score that was hidden or removed has no second
home, and what is restored has its old score, time and rank: they are in the events.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, cast

from homeserver.domain.boards import BoardInForce
from homeserver.domain.replay import Event, Replay
from homeserver.model import Board, Period, Position, Ties
from homeserver.storage import leaderboards as store
from homeserver.storage import moderation
from homeserver.storage.blocks import Move
from homeserver.storage.database import Reader, Transaction
from homeserver.storage.leaderboards import ListName, NewList
from homeserver.storage.moderation import VISIBLE, Verdict

Made = dict[str, tuple[Period, Position]]
"""By period id: a player's entry there."""

_ALL: Final = 2**63 - 1


async def made(
    reader: Reader, board: Board, player: int, verdict: Verdict, now_ms: int, *, until: int | None = None
) -> Made:
    """The entries that the player's events make, as far as they count.

    Args:
        until: Events beyond this one are left out.

    Cost: reads all of the player's events of the field.
    """
    if verdict.unlisted:
        return {}
    replay = Replay(board, now_ms)
    replay.add(await _events(reader, player, board.field, verdict.until_event or 0, _ALL if until is None else until))
    replay.finish()
    return {each.period.id: (each.period, Position(*each.places[0])) for each in replay.take()}


async def moves(
    tx: Transaction,
    in_force: BoardInForce,
    players: Collection[int],
    now_ms: int,
    *,
    until: int | None = None,
    nobody: Collection[int] = (),
) -> list[Move]:
    """What has to be written for the entries of these players to be what their events make, as far as they count.

    Lists that are missing are made. Nobody else writes about these players: the board is held alone, or only we know of
    these lists.

    Args:
        until: Events beyond this one are left out.
        nobody: Those among them of whom nothing counts: they were erased.
    """
    if not players:
        return []
    board = in_force.board
    verdicts = await moderation.verdicts(tx, board.id, players)
    wanted: dict[tuple[ListName, int], Position] = {}
    lists: dict[ListName, NewList] = {}
    for player in sorted(set(players) - set(nobody)):
        entries = await made(tx, board, player, verdicts.get(player, VISIBLE), now_ms, until=until)
        for period, position in entries.values():
            name = ListName(board.id, period.id, in_force.generation)
            lists[name] = NewList(period, board.ties is Ties.DENSE)
            wanted[name, player] = position
    numbers = await store.make_lists(tx, lists) if lists else {}
    before = await _entries(tx, in_force, players)
    after = {(numbers[name], player): position for (name, player), position in wanted.items()}
    return [
        Move(*place, before.get(place), after.get(place))
        for place in sorted(before.keys() | after.keys())
        if before.get(place) != after.get(place)
    ]


async def _entries(reader: Reader, in_force: BoardInForce, players: Collection[int]) -> dict[tuple[int, int], Position]:
    """The entries of these players in the lists of this generation, by (list, player)."""
    # CROSS JOIN: SQLite keeps this order of the tables, which finds each player by the index.
    rows = await reader.fetch(
        "SELECT e.list, e.key, e.reached_ms, e.player FROM each_bigint($1) AS w CROSS JOIN entries AS e "
        "CROSS JOIN lists AS l WHERE e.player = w.value AND l.list = e.list AND l.board = $2 AND l.generation = $3",
        sorted(players),
        in_force.board.id,
        in_force.generation,
    )
    return {(list_, player): Position(key, reached_ms, player) for list_, key, reached_ms, player in rows}


async def newest_event(reader: Reader, player: int, key: str) -> int | None:
    """The last event of the player and field."""
    return cast(
        "int | None",
        await reader.fetch_value("SELECT max(event) FROM events WHERE player = $1 AND key = $2", player, key),
    )


async def _events(reader: Reader, player: int, key: str, after: int, until: int) -> Sequence[Event]:
    rows = await reader.fetch(
        "SELECT event, player, new, at_ms, origin FROM events "
        "WHERE player = $1 AND key = $2 AND event > $3 AND event <= $4 ORDER BY event",
        player,
        key,
        after,
        until,
    )
    return cast("Sequence[Event]", rows)
