"""Reading lists: ranks, runs of consecutive entries, friends, names.

Ranks are counted by `_ahead` and turned into numbers by `ranking.rank`, here and nowhere else, so a page, "my rank" and
a friend's rank cannot disagree. But for `search`, everything here reads a bounded number of rows; see `counts.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.domain import ranking
from homeserver.domain.ranking import Ahead
from homeserver.model import Position, Ties
from homeserver.storage import counts
from homeserver.storage.boundaries import FIRST, place_of, start_of
from homeserver.storage.database import Reader
from homeserver.storage.texts import search_key

BEGINNING: Final = Position(*FIRST)
"""Before every entry of any list."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one entry stands. `tied` says that another entry of the list has the same score."""

    position: Position
    rank: int
    tied: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive entries of a list, best first, and whether there are others before and behind."""

    standings: tuple[Standing, ...]
    more_before: bool
    more_behind: bool


async def total(reader: Reader, list_: int) -> int:
    """How many entries the list has."""
    return await counts.total(reader, list_)


async def entry_of(reader: Reader, list_: int, player: int) -> Position | None:
    """The player's entry in the list."""
    row = await reader.fetch_one(
        "SELECT key, reached_ms, player FROM entries_by_player WHERE player = $1 AND list = $2", player, list_
    )
    return None if row is None else Position(*row)


async def _ahead(
    reader: Reader, list_: int, ties: Ties, positions: Collection[Position], *, places: bool
) -> dict[Position, tuple[Ahead, bool]]:
    """What the list, which exists, holds before each of these positions. The one place that counts.

    Args:
        places: Whether `earlier` is needed although the board's ranks do not ask for it; it is 0 where it is not.

    Returns:
        With each, whether several entries of the list have its score.
    """
    exact = places or ties is Ties.ORDINAL
    asked = {position: place_of(position) if exact else start_of(position.key) for position in positions}
    found = await counts.before(reader, list_, sorted(set(asked.values())))
    # Where equal ones fill the block from its beginning, what is better is what comes before the first of them.
    starts = {start_of(key) for (key, _, _), before in found.items() if before.same is None}
    if missing := starts - found.keys():
        found |= await counts.before(reader, list_, sorted(missing))
    distinct: Mapping[int, int] = {}
    if ties is Ties.DENSE:
        distinct = await counts.better_scores(reader, list_, sorted({position.key for position in positions}))
    aheads: dict[Position, tuple[Ahead, bool]] = {}
    for position, place in asked.items():
        before = found[place]
        better = before.entries - before.same if before.same is not None else found[start_of(position.key)].entries
        ahead = Ahead(better, before.entries - better, distinct.get(position.key, 0))
        aheads[position] = (ahead, before.several)
    return aheads


async def _ahead_of_indexed(reader: Reader, list_: int, entry: Position, index: int) -> Ahead:
    """The same for an entry whose index is known: nothing is left to count but where its score begins."""
    before, found = await _back(reader, list_, entry, 1)
    if not found or before.key != entry.key:
        return Ahead(index, 0)
    start = start_of(entry.key)
    better = (await counts.before(reader, list_, [start]))[start].entries
    return Ahead(better, index - better)


async def index_of(reader: Reader, list_: int, position: Position) -> int:
    """How many entries come before this position, where there may be an entry or not."""
    place = place_of(position)
    return (await counts.before(reader, list_, [place]))[place].entries


async def standing(reader: Reader, list_: int, ties: Ties, position: Position) -> Standing:
    """Where the entry at this position stands."""
    (found,) = await standings(reader, list_, ties, [position])
    return found


async def moved(reader: Reader, list_: int, ties: Ties, position: Position, was: Position) -> tuple[Standing, int]:
    """Where the entry at `position` stands, and the rank that it would have in this list if it still were at `was`."""
    if was == position:
        found = await standing(reader, list_, ties, position)
        return found, found.rank
    aheads = await _ahead(reader, list_, ties, [position, was], places=False)
    (now, tied), (before, _) = aheads[position], aheads[was]
    # What is counted there holds the entry itself where it has gone ahead.
    is_better = position.key < was.key and not (ties is Ties.DENSE and tied)
    itself = position < was if ties is Ties.ORDINAL else is_better
    return Standing(position, ranking.rank(ties, now), tied), ranking.rank(ties, before) - itself


async def standings(reader: Reader, list_: int, ties: Ties, positions: Sequence[Position]) -> tuple[Standing, ...]:
    """Where each of these entries stands."""
    if not positions:
        return ()
    found = await _ahead(reader, list_, ties, positions, places=False)
    return tuple(
        Standing(position, ranking.rank(ties, ahead), tied)
        for position, (ahead, tied) in ((position, found[position]) for position in positions)
    )


async def would_stand(reader: Reader, list_: int, ties: Ties, position: Position) -> Standing:
    """Where an entry at this position would stand, if it were in the list, which has none of that player."""
    found = await _ahead(reader, list_, ties, [position], places=False)
    same = await reader.fetch_value("SELECT 1 FROM entries WHERE list = $1 AND key = $2 LIMIT 1", list_, position.key)
    return Standing(position, ranking.rank(ties, found[position][0]), tied=same is not None)


# --- runs -------------------------------------------------------------------------------------------------------------


async def run_from(
    reader: Reader, list_: int, ties: Ties, start: Position, limit: int, *, index: int | None = None
) -> Run:
    """The first `limit` entries at or behind `start`.

    Args:
        index: Where it is known that `start` is an entry with so many before it. Not for dense ranks.
    """
    rows = await reader.fetch(
        "SELECT key, reached_ms, player FROM entries WHERE list = $1 AND (key, reached_ms, player) >= ($2, $3, $4) "
        "ORDER BY key, reached_ms, player LIMIT $5",
        list_,
        *_values(start),
        limit + 1,  # the one behind says whether there are more, and whether the last one is tied
    )
    if not rows:
        return Run((), more_before=await total(reader, list_) > 0, more_behind=False)
    positions = [Position(*row) for row in rows]
    if index is None:
        first, _ = (await _ahead(reader, list_, ties, positions[:1], places=True))[positions[0]]
    else:
        first = await _ahead_of_indexed(reader, list_, positions[0], index)
    places = ranking.consecutive(ties, [position.key for position in positions], first)
    found = tuple(
        [Standing(position, number, tied) for position, (number, tied) in zip(positions, places, strict=True)]
    )
    return Run(found[:limit], more_before=first.entries > 0, more_behind=len(found) > limit)


async def run_after(reader: Reader, list_: int, ties: Ties, position: Position, limit: int) -> Run:
    """The first `limit` entries behind `position`, which may hold an entry or not."""
    return await run_from(reader, list_, ties, just_behind(position), limit)


async def run_before(reader: Reader, list_: int, ties: Ties, position: Position, limit: int) -> Run:
    """The last `limit` entries before `position`, best first: fewer where the list begins."""
    start, count = await _back(reader, list_, position, limit)
    if count:
        return await run_from(reader, list_, ties, start, count)
    behind = await run_from(reader, list_, ties, position, 1)
    return Run((), more_before=False, more_behind=bool(behind.standings))


async def run_around(reader: Reader, list_: int, ties: Ties, position: Position, limit: int) -> Run:
    """`limit` entries with the one at `position` in the middle; at either end of the list full all the same."""
    behind = await reader.fetch(
        "SELECT 1 FROM entries WHERE list = $1 AND (key, reached_ms, player) >= ($2, $3, $4) "
        "ORDER BY key, reached_ms, player LIMIT $5",
        list_,
        *_values(position),
        limit // 2 + 1,
    )
    start, _ = await _back(reader, list_, position, limit - len(behind))
    return await run_from(reader, list_, ties, start, limit)


async def run_at_rank(reader: Reader, list_: int, ties: Ties, rank: int, limit: int) -> Run:
    """The entries from this rank (1 or more) on; where the list has no such rank, its last `limit` entries.

    Where ties leave a number out (1 1 3), the run begins at the entry in that place of the list. With dense ranks it
    begins at the first entry of the rank.
    """
    if ties is Ties.DENSE:
        key = await counts.score_at(reader, list_, rank - 1)
        place, index = None if key is None else start_of(key), None
    else:
        place, index = await counts.entry_at(reader, list_, rank - 1), rank - 1
    if place is not None:
        start = Position(*place)
    else:
        row = await reader.fetch_one(
            "SELECT key, reached_ms, player FROM entries WHERE list = $1 "
            "ORDER BY key DESC, reached_ms DESC, player DESC LIMIT 1",
            list_,
        )
        if row is None:
            return Run((), more_before=False, more_behind=False)
        start, _ = await _back(reader, list_, just_behind(Position(*row)), limit)
        index = None
    return await run_from(reader, list_, ties, start, limit, index=index)


async def _back(reader: Reader, list_: int, position: Position, count: int) -> tuple[Position, int]:
    """The place of the entry `count` before `position`, or of the first one; and how many that went back."""
    rows = await reader.fetch(
        "SELECT key, reached_ms, player FROM entries WHERE list = $1 AND (key, reached_ms, player) < ($2, $3, $4) "
        "ORDER BY key DESC, reached_ms DESC, player DESC LIMIT $5",
        list_,
        *_values(position),
        count,
    )
    return Position(*rows[-1]) if rows else position, len(rows)


def just_behind(position: Position) -> Position:
    """The place directly behind this one: no entry can lie between them."""
    return Position(position.key, position.reached_ms, position.player + 1)


def just_before(position: Position) -> Position:
    """The place directly before this one: no entry can lie between them."""
    return Position(position.key, position.reached_ms, position.player - 1)


# --- some of a list ---------------------------------------------------------------------------------------------------


async def among(reader: Reader, list_: int, players: Iterable[int]) -> list[Position]:
    """The entries of these players, best first."""
    # CROSS JOIN: SQLite keeps this order of the tables. Without it, it walked the whole list for each player.
    rows = await reader.fetch(
        "SELECT e.key, e.reached_ms, e.player FROM each_bigint($2) AS w CROSS JOIN entries_by_player AS e "
        "WHERE e.list = $1 AND e.player = w.value",
        list_,
        sorted(set(players)),
    )
    return sorted(Position(*row) for row in rows)


async def among_friends(reader: Reader, list_: int, player: int) -> list[Position]:
    """The entries of this player's friends, and their own, best first."""
    rows = await reader.fetch(
        "SELECT e.key, e.reached_ms, e.player FROM friendships AS f CROSS JOIN entries_by_player AS e "
        "WHERE f.player = $1 AND e.player = f.friend AND e.list = $2",
        player,
        list_,
    )
    own = await entry_of(reader, list_, player)
    return sorted([*(Position(*row) for row in rows), *([own] if own else [])])


async def players_behind(reader: Reader, list_: int, key: int, last: int, limit: int) -> list[int]:
    """The players of the first `limit` entries that are worse than `key` and no worse than `last`, best first."""
    rows = await reader.fetch(
        "SELECT player FROM entries WHERE list = $1 AND key > $2 AND key <= $3 "
        "ORDER BY key, reached_ms, player LIMIT $4",
        list_,
        key,
        last,
        limit,
    )
    return [player for (player,) in rows]


async def search(reader: Reader, list_: int, text: str, limit: int) -> list[Position]:
    """The best `limit` entries of players whose name holds this text, whatever its case and accents, best first.

    Cost: reads the names of all players.
    """
    wanted = search_key(text)
    if not wanted:
        return []
    for special in ("!", "%", "_"):
        wanted = wanted.replace(special, f"!{special}")
    rows = await reader.fetch(
        "SELECT e.key, e.reached_ms, e.player FROM players AS p CROSS JOIN entries_by_player AS e "
        "WHERE p.search_name LIKE $2 ESCAPE '!' AND e.player = p.player AND e.list = $1 "
        "ORDER BY e.key, e.reached_ms, e.player LIMIT $3",
        list_,
        f"%{wanted}%",
        limit,
    )
    return [Position(*row) for row in rows]


def _values(position: Position) -> tuple[int, int, int]:
    return position.key, position.reached_ms, position.player
