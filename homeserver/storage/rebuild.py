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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, cast

from homeserver.domain import boards as definitions
from homeserver.domain import periods
from homeserver.domain.boards import BoardInForce
from homeserver.domain.replay import PLAYER_SHIFT, PRIME, TIME_FACTOR, Event, Made, Tally
from homeserver.model import Board, Change, Origin, Span, Ties
from homeserver.storage import accounts, adjustments, blocks, boundaries, counts, moderation, standings, versions
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import Sizes
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


async def all_alone(tx: Transaction) -> tuple[BoardInForce, ...]:
    """Hold all boards, as `alone` does, also those that are made while others are waited for; all as they are then.

    Nobody makes another one before this transaction ends.
    """
    while True:
        boards = [each.board for each in await store.boards_in_force(tx)]
        await alone(tx, *boards)
        await tx.lock(store.MAKING)
        found = await store.boards_in_force(tx)
        if boards == [each.board for each in found]:
            return found


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
    return [
        Change(player, key, None, value, at_ms, Origin(origin), event) for event, player, value, at_ms, origin in found
    ]


# --- a new generation -------------------------------------------------------------------------------------------------


async def new_generation(tx: Transaction, board_id: str) -> int:
    """A number that none of the board's lists has. What an earlier rebuild left half done is to be deleted."""
    in_force = await store.board_in_force(tx, board_id)
    generation = 0 if in_force is None else in_force.generation
    await tx.execute("UPDATE lists SET generation = -list WHERE board = $1 AND generation > $2", board_id, generation)
    return generation + 1


Row = tuple[int, int, int, int]
"""An entry: list, key, time, player."""
_COLUMNS: Final = ("list", "key", "reached_ms", "player")
_PLAYER: Final = itemgetter(3)


async def fill(tx: Transaction, building: BoardInForce, made: Sequence[Made]) -> list[Row]:
    """Store these entries by player alone, player by player, and what is remembered beside them.

    Returns:
        What was stored, to be sorted for `fill_sorted`.
    """
    board = building.board
    wanted = {
        ListName(board.id, each.period.id, building.generation): NewList(each.period, board.ties is Ties.DENSE)
        for each in made
    }
    numbers = await store.make_lists(tx, wanted)
    for name, each in sorted(zip(wanted, made, strict=True)):
        await accounts.fill(tx, numbers[name], each)
    rows = [
        (number, *place)
        for number, each in zip((numbers[name] for name in wanted), made, strict=True)
        for place in each.places
    ]
    rows.sort(key=_PLAYER)
    await tx.load("entries_by_player", _COLUMNS, rows)
    return rows


async def fill_sorted(tx: Transaction, rows: Sequence[Row]) -> None:
    """Store entries in their order, without counting them: nothing is written twice, however many there are."""
    await tx.load("entries", _COLUMNS, rows)


async def lists_of(reader: Reader, building: BoardInForce) -> dict[str, int]:
    """The numbers of a generation's lists, by period id."""
    rows = await reader.fetch(
        "SELECT period, list FROM lists WHERE board = $1 AND generation = $2 ORDER BY list",
        building.board.id,
        building.generation,
    )
    return {period: number for period, number in rows}  # noqa: C416 - rows are not pairs to mypy


def _rest(value: str) -> str:
    """SQL for a remainder that is never negative."""
    return f"(({value}) % {PRIME} + {PRIME}) % {PRIME}"


_CHECKSUM: Final = (
    f"({_rest('key')} + {_rest('reached_ms')} * {TIME_FACTOR}) % {PRIME} * ((player + {PLAYER_SHIFT}) % {PRIME})"
)


async def entries_of_all(reader: Reader, in_force: BoardInForce) -> int:
    """How many players have an entry in the board's list of all time."""
    name = ListName(in_force.board.id, Span.ALL.value, in_force.generation)
    found = await store.find_lists(reader, [name])
    return await standings.total(reader, found[name]) if found else 0


async def tallies(reader: Reader, lists: Iterable[int]) -> tuple[dict[int, Tally], dict[int, Tally]]:
    """What these lists really hold, in order and by player, counted and summed up by the database: see `checksum`."""
    wanted = list(lists)
    in_order, by_player = [
        await reader.fetch(
            f"SELECT list, count(*), CAST(sum({_CHECKSUM} % {PRIME}) % {PRIME} AS BIGINT) FROM {table} "  # noqa: S608
            "WHERE list IN (SELECT w.value FROM each_bigint($1) AS w) GROUP BY list",
            wanted,
        )
        for table in ("entries", "entries_by_player")
    ]
    empty = dict.fromkeys(wanted, Tally(0, 0))  # what is remembered has a list, too, though nobody is in it
    return (
        empty | {row[0]: Tally(row[1], row[2]) for row in in_order},
        empty | {row[0]: Tally(row[1], row[2]) for row in by_player},
    )


# --- blocks of many entries -------------------------------------------------------------------------------------------


class Cuts:
    """Where the blocks of a list begin, all but the last one with as many entries as a block is meant to hold.

    A 256th of the entries, so it may be held in memory.
    """

    def __init__(self, list_: int, sizes: Sizes, *, dense: bool) -> None:
        self._list = list_
        self._sizes = sizes
        self._dense = dense
        self._entries = 0
        self._firsts: list[Place] = [FIRST]
        self._scores: Counter[int] = Counter()
        """By index of the block: different scores that begin there."""
        self._key: int | None = None
        self._same = 0
        """So many entries have had `_key`, the last score seen."""

    def add(self, rows: Sequence[Row]) -> list[tuple[int, int, int]]:
        """These are the list's next entries.

        Returns:
            Rows of `scores` that are finished, where the list is dense.
        """
        block = self._sizes.block
        for index in range(-self._entries % block, len(rows), block):
            if self._entries + index:
                _, key, reached_ms, player = rows[index]
                self._firsts.append((key, reached_ms, player))
        self._entries += len(rows)
        return self._add_scores(rows) if self._dense else []

    def _add_scores(self, rows: Sequence[Row]) -> list[tuple[int, int, int]]:
        finished = []
        for key, same in groupby(rows, key=itemgetter(1)):
            if key != self._key:
                finished += self.last_scores()
                self._key, self._same = key, 0
                self._scores[bisect_right(self._firsts, start_of(key)) - 1] += 1
            self._same += sum(1 for _ in same)
        return finished

    def last_scores(self) -> list[tuple[int, int, int]]:
        """The row of `scores` for the last score seen, if any."""
        return [] if self._key is None else [(self._list, self._key, self._same)]

    def rows(self) -> Iterator[tuple[int, int, int, int, int, int, int]]:
        """The rows of `blocks`, on both levels."""
        for level, blocks_each in ((BLOCKS, 1), (SUPERBLOCKS, self._sizes.fanout)):
            for index in range(0, len(self._firsts), blocks_each):
                entries = min(self._sizes.block * blocks_each, self._entries - index * self._sizes.block)
                scores = sum(self._scores[each] for each in range(index, index + blocks_each)) if self._dense else 0
                yield (self._list, level, *self._firsts[index], entries, scores)


async def store_scores(tx: Transaction, rows: Sequence[tuple[int, int, int]]) -> None:
    """Keep how many entries have each score."""
    await tx.load("scores", ("list", "key", "n"), rows)


async def store_blocks(tx: Transaction, list_: int, rows: Sequence[Sequence[int]], *, begin: bool) -> None:
    """Give a list some of its blocks; `begin`: the first ones, in place of those that it had from the beginning."""
    if begin:
        await tx.execute("DELETE FROM blocks WHERE list = $1", list_)
        await tx.execute("UPDATE lists SET boundaries = $2 WHERE list = $1", list_, boundaries.new_token())
    await tx.load("blocks", ("list", "level", "key", "reached_ms", "player", "n", "scores"), rows)


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


async def put_in_force(tx: Transaction, building: BoardInForce, now_ms: int) -> None:
    """Let this definition and generation be the board's; its other lists are to be deleted, but for those that are
    archived. A new board comes last."""
    board = building.board
    if await store.board_in_force(tx, board.id) is None:
        await tx.lock(store.MAKING)
    await tx.execute(
        "INSERT INTO boards (board, position, definition, revision, generation, since_event, rebuilt_ms) "
        "SELECT CAST($1 AS TEXT), coalesce(max(position) + 1, 0), CAST($2 AS TEXT), CAST($3 AS BIGINT), "
        "CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS BIGINT) FROM boards WHERE TRUE "
        "ON CONFLICT (board) DO UPDATE SET definition = excluded.definition, revision = excluded.revision, "
        "generation = excluded.generation, since_event = excluded.since_event, rebuilt_ms = excluded.rebuilt_ms",
        board.id,
        _definition(board),
        building.revision,
        building.generation,
        building.since_event,
        now_ms,
    )
    await tx.execute(
        "UPDATE lists SET generation = -list WHERE board = $1 AND generation <> $2 AND generation > 0 "
        "AND generation NOT IN (SELECT a.generation FROM archives AS a WHERE a.board = $1)",
        board.id,
        building.generation,
    )
    await tx.execute("DELETE FROM meta WHERE name = $1", _DUE + board.id)
    await moderation.note(tx, [board.id])
    tx.announce()


async def redefine(tx: Transaction, board: Board, revision: int) -> None:
    """Change a definition in nothing that decides who stands where."""
    await tx.execute(
        "UPDATE boards SET definition = $2, revision = $3 WHERE board = $1", board.id, _definition(board), revision
    )


async def drop(tx: Transaction, board: Board) -> None:
    """Take the board away; its lists are to be deleted. It is held `alone`."""
    await tx.execute("DELETE FROM boards WHERE board = $1", board.id)
    await tx.execute("DELETE FROM decisions WHERE board = $1", board.id)
    await tx.execute("DELETE FROM archives WHERE board = $1", board.id)
    await adjustments.drop(tx, board.id)
    await tx.execute("UPDATE lists SET generation = -list WHERE board = $1 AND generation > 0", board.id)
    await tx.execute("DELETE FROM meta WHERE name = $1", _DUE + board.id)


async def arrange(tx: Transaction, positions: Mapping[str, int]) -> None:
    """Put boards in this order."""
    await tx.execute_many("UPDATE boards SET position = $2 WHERE board = $1", sorted(positions.items()))


def _definition(board: Board) -> str:
    return json.dumps(definitions.board_to(definitions.checked(board)), ensure_ascii=False)


# --- what is to be deleted --------------------------------------------------------------------------------------------


async def outdated(reader: Reader, in_force: BoardInForce, now_ms: int) -> list[int]:
    """Lists of periods that are older than the board keeps."""
    found: list[int] = []
    for span in in_force.board.spans:
        oldest = periods.oldest_kept(in_force.board, span, now_ms)
        if oldest is not None:
            rows = await reader.fetch(
                "SELECT list FROM lists WHERE board = $1 AND generation = $2 AND period LIKE $3 AND starts_ms < $4",
                in_force.board.id,
                in_force.generation,
                f"{span.value}:%",
                oldest.starts_ms,
            )
            found += (row[0] for row in rows)
    return sorted(found)


async def retire(tx: Transaction, board_id: str, now_ms: int) -> int:
    """Have the lists deleted that are older than the board keeps; how many.

    The board is held alone: nobody is in the middle of writing into one. Whoever comes later makes no such list, unless
    by a clock that is behind; then the next clean-up finds it.
    """
    await tx.lock(blocks.lock_name(board_id))
    in_force = await store.board_in_force(tx, board_id)
    lists = [] if in_force is None else await outdated(tx, in_force, now_ms)
    if not lists:
        return 0
    return await tx.execute(
        "UPDATE lists SET generation = -list WHERE list IN (SELECT w.value FROM each_bigint($1) AS w)", lists
    )


async def abandoned(reader: Reader) -> list[int]:
    """Lists that are to be deleted."""
    rows = await reader.fetch("SELECT list FROM lists WHERE generation < 0 ORDER BY list")
    return [row[0] for row in rows]


SPARSE: Final = 50
"""A list with fewer than one in so many players is looked through by its entries, others player by player."""


async def delete_some(tx: Transaction, list_: int, after: int, limit: int) -> int | None:
    """Delete about so many rows of a list.

    Args:
        after: What the call before returned for this list; 0 to begin with, at any time.

    Returns:
        None when the list is gone.
    """
    last = await tx.fetch_value("SELECT coalesce(max(player), 0) FROM entries_by_player")
    # What has its blocks has the same entries by player; what a rebuild has left half done may have others.
    sparse = 0 < await counts.total(tx, list_) * SPARSE < last
    if not sparse and after < last:
        await tx.execute(
            "DELETE FROM entries_by_player WHERE player > $2 AND player <= $3 AND list = $1",
            list_,
            after,
            after + limit,
        )
        return after + limit
    rows = await tx.fetch(
        "SELECT key, reached_ms, player FROM entries WHERE list = $1 ORDER BY key, reached_ms, player LIMIT $2",
        list_,
        limit,
    )
    if rows:
        if sparse:
            await tx.execute_many(
                "DELETE FROM entries_by_player WHERE player = $2 AND list = $1",
                sorted((list_, player) for _, _, player in rows),
            )
        await tx.execute(
            "DELETE FROM entries WHERE list = $1 AND (key, reached_ms, player) <= ($2, $3, $4)", list_, *rows[-1]
        )
        return after
    for table, column in (("scores", "key"), ("claims", "player"), ("flags", "event")):
        some = f"FROM {table} WHERE list = $1"
        value = await tx.fetch_value(f"SELECT {column} {some} ORDER BY {column} LIMIT 1 OFFSET $2", list_, limit)
        if value is not None:
            await tx.execute(f"DELETE {some} AND {column} < $2", list_, value)
            return after
        await tx.execute(f"DELETE {some}", list_)
    await tx.execute("DELETE FROM blocks WHERE list = $1", list_)
    await versions.forget(tx, list_)
    await tx.execute("DELETE FROM lists WHERE list = $1", list_)
    return None
