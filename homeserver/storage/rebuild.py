"""Building a board's lists anew beside those in use: the statements. In which order they run: `services/rebuilds.py`.

Lists of a generation that is not in force are nobody's but the builder's: writers record into the board's generation,
readers read it. So they may be filled without their blocks, which are made at the end, and read outside of any lock.

A list that is to be deleted has minus its own number for a generation, which no board ever has: whoever comes may
delete it, at any time, and a board that is made again under the same name finds nothing of the old one.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from homeserver.domain import boards as definitions
from homeserver.domain.boards import BoardInForce
from homeserver.domain.replay import KEY_SHIFT, PLAYER_SHIFT, PRIME, TIME_SHIFT, Event, Made, Tally
from homeserver.domain.scores import INT64_MIN
from homeserver.model import Board, Change, Origin, Span, Ties
from homeserver.storage import blocks, boundaries, moderation, standings
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import SIZES, Sizes
from homeserver.storage.boundaries import BLOCKS, FIRST, LEVELS, SUPERBLOCKS, Place, start_of
from homeserver.storage.database import Reader, Transaction
from homeserver.storage.leaderboards import ListName, NewList

LEASE: Final = "rebuild:"
"""Leases named so, with the board's id behind, are held while it is rebuilt."""


async def alone(tx: Transaction, *boards: Board) -> None:
    """Hold these boards, and every other of the same fields: nobody is in the middle of writing such an event.

    Nothing else may have been locked before. From here on this transaction sees all events of the field up to the
    newest, and none will come that is older.
    """
    held: set[str] = set()
    fields = {board.field for board in boards}
    while True:
        found = {each.board.id for each in await store.boards_in_force(tx) if each.board.field in fields}
        missing = {*(board.id for board in boards), *found} - held
        if not missing:
            return
        await tx.lock(*(blocks.lock_name(id_) for id_ in sorted(missing)))
        held |= missing


async def under_way(reader: Reader, now_ms: int, board_id: str | None = None) -> bool:
    """Whether this board, or any, is being rebuilt.

    A rebuild learns of changes by their events. Whoever takes entries away without one (a person is erased) asks here
    after `leaderboards.begin`, and has to wait while the answer is yes.
    """
    rows = await reader.fetch("SELECT name FROM leases WHERE name LIKE $1 AND until_ms > $2", f"{LEASE}%", now_ms)
    return any(board_id in {None, row[0].removeprefix(LEASE)} for row in rows)


# --- what has to be rebuilt -------------------------------------------------------------------------------------------

_DUE: Final = "rebuild_due:"


async def set_due(tx: Transaction, board_ids: Iterable[str]) -> None:
    """Remember that these boards' lists lack events. A rebuild that is put in force forgets it."""
    await tx.execute_many(
        "INSERT INTO meta (name, value) VALUES ($1, '') ON CONFLICT (name) DO NOTHING",
        [(_DUE + board_id,) for board_id in sorted(board_ids)],
    )


async def due(reader: Reader) -> set[str]:
    """The boards whose lists lack events until they are rebuilt."""
    rows = await reader.fetch("SELECT name FROM meta WHERE name LIKE $1", f"{_DUE}%")
    return {row[0].removeprefix(_DUE) for row in rows}


# --- events -----------------------------------------------------------------------------------------------------------


async def newest_event(tx: Transaction, board: Board) -> int:
    """Up to here, and not beyond, a rebuild of the board may read at leisure."""
    await alone(tx, board)
    return cast("int", await tx.fetch_value("SELECT coalesce(max(event), 0) FROM events"))


async def last_player(reader: Reader) -> int:
    """The highest number that any player has; events are read from the first to this one."""
    return cast("int", await reader.fetch_value("SELECT coalesce(max(player), 0) FROM players"))


async def events(reader: Reader, key: str, after: Event | None, until: int, limit: int) -> Sequence[Event]:
    """The next events of this field, player by player and in their order, none newer than `until`."""
    number, player, *_ = (0, -1) if after is None else after
    rows = await reader.fetch(
        "SELECT event, player, new, at_ms, origin FROM events "
        "WHERE (player, key, event) > ($1, $2, $3) AND key = $2 AND event <= $4 ORDER BY player, key, event LIMIT $5",
        player,
        key,
        number,
        until,
        limit,
    )
    return cast("Sequence[Event]", rows)


async def later_events(reader: Reader, key: str, after: int, until: int, limit: int) -> Sequence[Event]:
    """The first events of this field beyond `after`, as they came, none newer than `until`."""
    rows = await reader.fetch(
        "SELECT event, player, new, at_ms, origin FROM events "
        "WHERE event > $1 AND event <= $2 AND key = $3 ORDER BY event LIMIT $4",
        after,
        until,
        key,
        limit,
    )
    return cast("Sequence[Event]", rows)


def changes(key: str, found: Iterable[Event]) -> list[Change]:
    """The events as `leaderboards.record` takes them. What was before is not asked for there."""
    return [Change(player, key, None, value, at_ms, Origin(origin)) for _, player, value, at_ms, origin in found]


# --- a new generation -------------------------------------------------------------------------------------------------


async def new_generation(tx: Transaction, board_id: str) -> int:
    """A number that none of the board's lists has. What an earlier rebuild left half done is to be deleted."""
    in_force = await store.board_in_force(tx, board_id)
    generation = 0 if in_force is None else in_force.generation
    await tx.execute("UPDATE lists SET generation = -list WHERE board = $1 AND generation > $2", board_id, generation)
    return generation + 1


async def fill(tx: Transaction, building: BoardInForce, made: Sequence[Made]) -> None:
    """Store these entries, without counting them."""
    board = building.board
    wanted = {
        ListName(board.id, each.period.id, building.generation): NewList(each.period, board.ties is Ties.DENSE)
        for each in made
    }
    numbers = await store.make_lists(tx, wanted)
    for name, each in sorted(zip(wanted, made, strict=True)):
        keys, times, players = zip(*each.places, strict=True)
        await tx.execute(
            "INSERT INTO entries (list, key, reached_ms, player) "
            "SELECT CAST($1 AS BIGINT), w.c1, w.c2, w.c3 FROM each_bigints($2, $3, $4) AS w ORDER BY w.c1, w.c2, w.c3",
            numbers[name],
            keys,
            times,
            players,
        )


async def lists_of(reader: Reader, building: BoardInForce) -> dict[str, int]:
    """The numbers of a generation's lists, by period id."""
    rows = await reader.fetch(
        "SELECT period, list FROM lists WHERE board = $1 AND generation = $2 ORDER BY list",
        building.board.id,
        building.generation,
    )
    return {period: number for period, number in rows}  # noqa: C416 - rows are not pairs to mypy


_CHECKSUM: Final = (
    f"(((key % {PRIME} + {PRIME}) % {PRIME} + {KEY_SHIFT}) "
    f"* ((reached_ms % {PRIME} + {PRIME}) % {PRIME} + {TIME_SHIFT})) % {PRIME} "
    f"* (player % {PRIME} + {PLAYER_SHIFT}) % {PRIME}"
)


async def entries_of_all(reader: Reader, in_force: BoardInForce) -> int:
    """How many players have an entry in the board's list of all time."""
    name = ListName(in_force.board.id, Span.ALL.value, in_force.generation)
    found = await store.find_lists(reader, [name])
    return await standings.total(reader, found[name]) if found else 0


async def tally(reader: Reader, list_: int) -> Tally:
    """What the list really holds, counted and summed up by the database: see `replay.checksum`."""
    row = await reader.fetch_one(
        f"SELECT count(*), CAST(coalesce(sum({_CHECKSUM}), 0) AS BIGINT) FROM entries WHERE list = $1",  # noqa: S608
        list_,
    )
    return Tally(*cast("tuple[int, int]", row))


# --- blocks of many entries -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Cuts:
    """Where the blocks of a list are to begin, all but the last one with as many entries as a block is meant to hold.

    A 512th of the entries, so it may be held in memory.
    """

    list_id: int
    entries: int
    firsts: list[Place]
    sizes: Sizes
    scores: Counter[int] = field(default_factory=Counter)
    """By index of the block: different scores that begin there. For dense lists."""

    def add_scores(self, keys: Iterable[int]) -> None:
        """These are different scores of the list, all with at least one entry."""
        self.scores.update(bisect_right(self.firsts, start_of(key)) - 1 for key in keys)

    def rows(self) -> list[tuple[int, int, int, int, int, int, int]]:
        """The rows of `blocks`, on both levels."""
        made = []
        for level, blocks_each in ((BLOCKS, 1), (SUPERBLOCKS, self.sizes.fanout)):
            for index in range(0, len(self.firsts), blocks_each):
                entries = min(self.sizes.block * blocks_each, self.entries - index * self.sizes.block)
                scores = sum(self.scores[each] for each in range(index, index + blocks_each))
                made.append((self.list_id, level, *self.firsts[index], entries, scores))
        return made


async def cuts(reader: Reader, list_: int, entries: int, sizes: Sizes = SIZES) -> Cuts:
    """Where the blocks of this list are to begin, which holds so many entries."""
    firsts = [FIRST]
    for beginning in range(0, entries - sizes.block, sizes.block):
        row = await reader.fetch_one(
            "SELECT key, reached_ms, player FROM entries WHERE list = $1 AND (key, reached_ms, player) >= ($2, $3, $4) "
            "ORDER BY key, reached_ms, player LIMIT 1 OFFSET $5",
            list_,
            *firsts[-1],
            sizes.block,
        )
        if row is None:
            raise RuntimeError(f"list {list_} ends after {beginning} entries, not {entries}")
        firsts.append((row[0], row[1], row[2]))
    return Cuts(list_, entries, firsts, sizes)


async def score_counts(reader: Reader, list_: int, after: int | None, limit: int) -> list[tuple[int, int]]:
    """The next different scores of the list, and how many entries have each."""
    rows = await reader.fetch(
        "SELECT key, count(*) FROM entries WHERE list = $1 AND key >= $2 GROUP BY key ORDER BY key LIMIT $3",
        list_,
        INT64_MIN if after is None else after + 1,
        limit,
    )
    return [(key, n) for key, n in rows]


async def store_scores(tx: Transaction, list_: int, counted: Sequence[tuple[int, int]]) -> None:
    """Keep how many entries have each of these scores."""
    await tx.execute(
        "INSERT INTO scores (list, key, n) SELECT CAST($1 AS BIGINT), w.c1, w.c2 FROM each_bigints($2, $3) AS w",
        list_,
        [key for key, _ in counted],
        [n for _, n in counted],
    )


async def store_blocks(tx: Transaction, made: Iterable[Cuts]) -> None:
    """Give these lists their blocks, in place of the first ones that they have had from the beginning."""
    for each in made:
        await tx.execute("DELETE FROM blocks WHERE list = $1", each.list_id)
        columns = zip(*each.rows(), strict=True)
        await tx.execute(
            "INSERT INTO blocks (list, level, key, reached_ms, player, n, scores) SELECT w.c1, w.c2, w.c3, w.c4, w.c5, "
            "w.c6, w.c7 FROM each_bigints($1, $2, $3, $4, $5, $6, $7) AS w",
            *(list(column) for column in columns),
        )
        await tx.execute("UPDATE lists SET boundaries = $2 WHERE list = $1", each.list_id, boundaries.new_token())


async def counted(reader: Reader, lists: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """What the blocks of these lists say that they hold: entries by level, which are all the same."""
    rows = await reader.fetch(
        "SELECT list, level, CAST(sum(n) AS BIGINT) FROM blocks "
        "WHERE list IN (SELECT w.value FROM each_bigint($1) AS w) GROUP BY list, level",
        list(lists),
    )
    found: dict[int, dict[int, int]] = {}
    for list_, level, n in rows:
        found.setdefault(list_, {})[level] = n
    return {list_: tuple(levels.get(level, 0) for level in LEVELS) for list_, levels in found.items()}


# --- in force ---------------------------------------------------------------------------------------------------------


async def put_in_force(tx: Transaction, building: BoardInForce) -> None:
    """Let this definition and generation be the board's; its other lists are to be deleted. A new board comes last."""
    board = building.board
    await tx.execute(
        "INSERT INTO boards (board, position, definition, revision, generation) "
        "SELECT CAST($1 AS TEXT), coalesce(max(position) + 1, 0), CAST($2 AS TEXT), CAST($3 AS BIGINT), "
        "CAST($4 AS BIGINT) FROM boards WHERE TRUE "
        "ON CONFLICT (board) DO UPDATE SET definition = excluded.definition, revision = excluded.revision, "
        "generation = excluded.generation",
        board.id,
        _definition(board),
        building.revision,
        building.generation,
    )
    await tx.execute(
        "UPDATE lists SET generation = -list WHERE board = $1 AND generation <> $2 AND generation > 0",
        board.id,
        building.generation,
    )
    await tx.execute("DELETE FROM meta WHERE name = $1", _DUE + board.id)
    await moderation.count(tx, [board.id])


async def redefine(tx: Transaction, board: Board, revision: int) -> None:
    """Change a definition in nothing that decides who stands where."""
    await tx.execute(
        "UPDATE boards SET definition = $2, revision = $3 WHERE board = $1", board.id, _definition(board), revision
    )


async def drop(tx: Transaction, board: Board) -> None:
    """Take the board away; its lists are to be deleted. It is held `alone`."""
    await tx.execute("DELETE FROM boards WHERE board = $1", board.id)
    await tx.execute("UPDATE lists SET generation = -list WHERE board = $1 AND generation > 0", board.id)
    await tx.execute("DELETE FROM meta WHERE name = $1", _DUE + board.id)


async def arrange(tx: Transaction, positions: Mapping[str, int]) -> None:
    """Put boards in this order."""
    await tx.execute_many("UPDATE boards SET position = $2 WHERE board = $1", sorted(positions.items()))


def _definition(board: Board) -> str:
    return json.dumps(definitions.board_to(definitions.checked(board)), ensure_ascii=False)


# --- what is to be deleted --------------------------------------------------------------------------------------------


async def abandoned(reader: Reader) -> list[int]:
    """Lists that are to be deleted."""
    rows = await reader.fetch("SELECT list FROM lists WHERE generation < 0 ORDER BY list")
    return [row[0] for row in rows]


async def delete_some(tx: Transaction, list_: int, limit: int) -> bool:
    """Delete about so many rows of a list; whether it is gone."""
    row = await tx.fetch_one(
        "SELECT key, reached_ms, player FROM entries WHERE list = $1 ORDER BY key, reached_ms, player "
        "LIMIT 1 OFFSET $2",
        list_,
        limit,
    )
    if row is not None:
        await tx.execute(
            "DELETE FROM entries WHERE list = $1 AND (key, reached_ms, player) < ($2, $3, $4)", list_, *row
        )
        return False
    await tx.execute("DELETE FROM entries WHERE list = $1", list_)
    key = await tx.fetch_value("SELECT key FROM scores WHERE list = $1 ORDER BY key LIMIT 1 OFFSET $2", list_, limit)
    if key is not None:
        await tx.execute("DELETE FROM scores WHERE list = $1 AND key < $2", list_, key)
        return False
    for table in ("scores", "blocks", "lists"):
        await tx.execute(f"DELETE FROM {table} WHERE list = $1", list_)  # noqa: S608 - one of three names
    return True
