"""Replaying a player on a board: what their events make there, as far as they count, and what differs from what is.

Whatever is decided about a player is a small row and then this. So a score that was hidden or removed has no second
home, and what is restored has its old score, time and rank: they are in the events.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, cast

from homeserver.domain import rules
from homeserver.domain.boards import BoardInForce
from homeserver.domain.replay import Conditions, Event, Made, Replay
from homeserver.model import Position, Ties
from homeserver.storage import accounts, adjustments, moderation
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import Move
from homeserver.storage.database import Reader, Transaction
from homeserver.storage.leaderboards import ListName, NewList
from homeserver.storage.moderation import VISIBLE, Verdict

_ALL: Final = 2**63 - 1


async def entries(
    reader: Reader, in_force: BoardInForce, player: int, verdict: Verdict, now_ms: int
) -> dict[str, Position]:
    """The entries that the player's events make, as far as they count, by period id; see `_made`."""
    made = await _made(reader, in_force, player, verdict, now_ms, until=None)
    return {each.period.id: Position(*each.places[0]) for each in made if each.places}


async def entries_of_many(
    reader: Reader, in_force: BoardInForce, verdicts: Mapping[int, Verdict], now_ms: int
) -> dict[int, dict[str, Position]]:
    """The same of several players, if this were decided about each, with a few queries for all of them."""
    board = in_force.board
    floors = {player: verdict.floor for player, verdict in verdicts.items()}
    replay = Replay(board, now_ms, await conditions(reader, in_force, floors, verdicts.keys()), any_time=True)
    rows = await reader.fetch(
        "SELECT e.event, e.player, e.new, e.at_ms, e.origin FROM each_bigint($1) AS w CROSS JOIN events AS e "
        "WHERE e.player = w.value AND e.key = $2 ORDER BY e.player, e.event",
        sorted(verdicts),
        board.field,
    )
    replay.add(cast("Sequence[Event]", rows))
    replay.finish()
    found: dict[int, dict[str, Position]] = {player: {} for player in verdicts}
    for made in replay.take():
        for place in made.places:
            found[place[2]][made.period.id] = Position(*place)
    return found


async def conditions(
    reader: Reader, in_force: BoardInForce, floors: Mapping[int, int], players: Collection[int] | None = None
) -> Conditions:
    """What operators decided about the board and these players (None: all), who have these floors."""
    board = in_force.board
    return Conditions(
        await accounts.decisions_on(reader, board, players),
        floors,
        await adjustments.on(reader, board.id, players),
        in_force.since_event,
        in_force.closures,
    )


async def _made(
    reader: Reader, in_force: BoardInForce, player: int, verdict: Verdict, now_ms: int, *, until: int | None
) -> list[Made]:
    """What the player's events up to `until` (None: all) make, as far as they count.

    Cost: reads all of them.
    """
    last = _ALL if until is None else until
    obeyed = await conditions(reader, in_force, {player: verdict.floor}, [player])
    adjusted = {player: [each for each in obeyed.adjusted.get(player, ()) if each.event <= last]}
    replay = Replay(in_force.board, now_ms, obeyed._replace(adjusted=adjusted), any_time=True)
    replay.add(await _events(reader, player, in_force.board.field, last))
    replay.finish()
    return replay.take()


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

    Lists that are missing are made, and what the board remembers of the players is written. Nobody else writes about
    them: the board is held alone, or only we know of these lists.

    Args:
        until: Events beyond this one are left out, and adjustments of scores that those made.
        nobody: Those among them of whom nothing counts: they were erased.
    """
    if not players:
        return []
    board = in_force.board
    verdicts = await moderation.verdicts(tx, board.id, players)
    made: list[tuple[int, ListName, Made]] = []
    for player in sorted(set(players) - set(nobody)):
        found = await _made(tx, in_force, player, verdicts.get(player, VISIBLE), now_ms, until=until)
        made += ((player, ListName(board.id, each.period.id, in_force.generation), each) for each in found)
    lists = {name: NewList(each.period, board.ties is Ties.DENSE) for _, name, each in made}
    numbers = await store.make_lists(tx, lists) if lists else {}
    if rules.remembers(board):
        await accounts.forget(tx, in_force, players)
        for _, name, each in made:
            await accounts.fill(tx, numbers[name], each)
    before = await _entries(tx, in_force, players)
    after = {(numbers[name], player): Position(*each.places[0]) for player, name, each in made if each.places}
    return [
        Move(*place, before.get(place), after.get(place))
        for place in sorted(before.keys() | after.keys())
        if before.get(place) != after.get(place)
    ]


async def _entries(reader: Reader, in_force: BoardInForce, players: Collection[int]) -> dict[tuple[int, int], Position]:
    """The entries of these players in the lists of this generation, by (list, player)."""
    # CROSS JOIN: SQLite keeps this order of the tables, which finds each player by the index.
    rows = await reader.fetch(
        "SELECT e.list, e.key, e.reached_ms, e.player FROM each_bigint($1) AS w CROSS JOIN entries_by_player AS e "
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


async def _events(reader: Reader, player: int, key: str, until: int) -> Sequence[Event]:
    rows = await reader.fetch(
        "SELECT event, player, new, at_ms, origin FROM events "
        "WHERE player = $1 AND key = $2 AND event <= $3 ORDER BY event",
        player,
        key,
        until,
    )
    return cast("Sequence[Event]", rows)
