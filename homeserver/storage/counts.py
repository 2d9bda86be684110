# ruff: noqa: S608 - the statements are put together from constants of this module
"""How many entries of a list come before a place, and which entry comes after how many: read from counted blocks.

Each question reads the superblocks before the place, the blocks before it in its superblock, and the entries before it
in its block: a few hundred small rows, whatever the list holds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from itertools import accumulate
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from homeserver.domain.scores import INT64_MIN
from homeserver.storage import boundaries
from homeserver.storage.boundaries import BLOCKS, FIRST, LAST, SUPERBLOCKS, Place
from homeserver.storage.database import Reader

_Counted: TypeAlias = Literal["n", "scores"]

MANY: Final = 16
"""So many places at once are worth to have the list's boundaries in memory."""


class Before(NamedTuple):
    """What comes before a place: all entries, and those among them with the same key.

    `same` is None where equal ones fill the place's block from its beginning: there may be more before it. `several`
    says that the whole list has at least two with this key.
    """

    entries: int
    same: int | None
    several: bool


def _holder(level: int, column: str) -> str:
    """SQL for one column of where the block begins that holds a place `p`."""
    return (
        f"(SELECT {column} FROM blocks WHERE list = $1 AND level = {level} "
        "AND (key, reached_ms, player) <= (p.c1, p.c2, p.c3) "
        "ORDER BY key DESC, reached_ms DESC, player DESC LIMIT 1)"
    )


def _whole(counted: _Counted) -> str:
    """SQL for what all blocks before the block of a place `w` hold."""
    return (
        f"(SELECT CAST(coalesce(sum({counted}), 0) AS BIGINT) FROM blocks WHERE list = $1 AND level = {SUPERBLOCKS} "
        f"AND (key, reached_ms, player) < (+w.above_key, +w.above_ms, +w.above_player)) + ({_children(counted)})"
    )


def _children(counted: _Counted) -> str:
    """SQL for what the blocks before the block of a place `w` hold in its superblock; in ranges as `_IN_BLOCK`."""
    total = f"(SELECT CAST(coalesce(sum({counted}), 0) AS BIGINT) FROM blocks WHERE list = $1 AND level = {BLOCKS} AND "
    behind, ahead = (
        "(reached_ms, player) >= (+w.above_ms, +w.above_player)",
        "(reached_ms, player) < (+w.block_ms, +w.block_player)",
    )
    return (
        f"CASE WHEN w.above_key = w.block_key THEN {total} key = w.block_key AND {behind} AND {ahead}) "
        f"ELSE {total} key = w.above_key AND {behind}) + {total} key > w.above_key AND key < w.block_key) "
        f"+ {total} key = w.block_key AND {ahead}) END"
    )


# Materialised: SQLite would look for a block again wherever it is named. Each column is one descent of an index.
_PLACES: Final = f"""
WITH w AS MATERIALIZED (
    SELECT p.c1 AS key, p.c2 AS reached_ms, p.c3 AS player,
        {_holder(BLOCKS, "key")} AS block_key,
        {_holder(BLOCKS, "reached_ms")} AS block_ms,
        {_holder(BLOCKS, "player")} AS block_player,
        {_holder(SUPERBLOCKS, "key")} AS above_key,
        {_holder(SUPERBLOCKS, "reached_ms")} AS above_ms,
        {_holder(SUPERBLOCKS, "player")} AS above_player
    FROM each_bigints($2, $3, $4) AS p
)"""
# Within the block as three ranges of the index, or one where the key is the block's first: two comparisons of rows
# would read a third more slowly. A plus keeps SQLite from comparing a row's first column alone by the index: it does
# that to columns of another table, and reads the whole list where all are equal. Without the last ORDER BY, PostgreSQL
# looks for the second of many equal ones through the table, where it may lie far behind another list's.
_IN_BLOCK: Final = """
    CASE WHEN w.block_key = w.key THEN (
        SELECT count(*) FROM entries WHERE list = $1 AND key = w.key
        AND (reached_ms, player) >= (+w.block_ms, +w.block_player)
        AND (reached_ms, player) < (+w.reached_ms, +w.player)
    ) ELSE (
        SELECT count(*) FROM entries WHERE list = $1 AND key = w.block_key
        AND (reached_ms, player) >= (+w.block_ms, +w.block_player)
    ) + (
        SELECT count(*) FROM entries WHERE list = $1 AND key > w.block_key AND key < w.key
    ) END,
    CASE WHEN w.block_key < w.key THEN (
        SELECT count(*) FROM entries WHERE list = $1 AND key = w.key
        AND (reached_ms, player) < (+w.reached_ms, +w.player)
    ) END,
    EXISTS (SELECT 1 FROM entries WHERE list = $1 AND key = w.key ORDER BY reached_ms, player LIMIT 1 OFFSET 1)
FROM w
"""
_ENTRIES: Final = f"{_PLACES} SELECT w.key, w.reached_ms, w.player, {_whole('n')}, {_IN_BLOCK}"
# The same for many places, whose blocks are known already, without what the superblocks before them hold.
_ENTRIES_OF_MANY: Final = f"""
WITH w AS MATERIALIZED (
    SELECT p.c1 AS key, p.c2 AS reached_ms, p.c3 AS player, p.c4 AS block_key, p.c5 AS block_ms, p.c6 AS block_player,
        p.c7 AS above_key, p.c8 AS above_ms, p.c9 AS above_player
    FROM each_bigints($2, $3, $4, $5, $6, $7, $8, $9, $10) AS p
) SELECT w.key, w.reached_ms, w.player, {_children("n")}, {_IN_BLOCK}"""
_WITHIN: Final = "(key, reached_ms, player) >= ($2, $3, $4) AND (key, reached_ms, player) < ($5, $6, $7)"
_SCORES: Final = f"""{_PLACES}
SELECT w.key, {_whole("scores")} + (
    SELECT count(*) FROM scores AS s WHERE s.list = $1 AND s.key >= w.block_key AND s.key < w.key
    AND (s.key > w.block_key OR w.block_ms = $5)
) FROM w
"""


async def total(reader: Reader, list_: int) -> int:
    """How many entries the list has."""
    return cast(
        "int",
        await reader.fetch_value(
            f"SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM blocks WHERE list = $1 AND level = {SUPERBLOCKS}", list_
        ),
    )


async def before(reader: Reader, list_: int, places: Collection[Place]) -> dict[Place, Before]:
    """What comes before each of these places of a list that exists, whether an entry is there or not."""
    if len(places) >= MANY:
        return await _before_many(reader, list_, places)
    rows = await reader.fetch(_ENTRIES, list_, *_columns(places))
    return {
        (key, reached_ms, player): Before(whole + within + (same or 0), same, bool(several))
        for key, reached_ms, player, whole, within, same, several in rows
    }


async def _before_many(reader: Reader, list_: int, places: Collection[Place]) -> dict[Place, Before]:
    """In one pass: blocks are found in memory, superblocks read once for all."""
    held = (await boundaries.layouts(reader, [list_]))[list_].boundaries
    whole = dict(
        zip(held.superblocks, accumulate(await _entries_of_superblocks(reader, list_), initial=0), strict=False)
    )
    above = {place: held.holder(SUPERBLOCKS, place) for place in places}
    asked = [(*place, *held.holder(BLOCKS, place), *superblock) for place, superblock in above.items()]
    rows = await reader.fetch(_ENTRIES_OF_MANY, list_, *(list(column) for column in zip(*asked, strict=True)))
    return {
        place: Before(whole[above[place]] + children + within + (same or 0), same, bool(several))
        for place, children, within, same, several in (((row[0], row[1], row[2]), *row[3:]) for row in rows)
    }


async def _entries_of_superblocks(reader: Reader, list_: int) -> list[int]:
    rows = await reader.fetch(
        f"SELECT n FROM blocks WHERE list = $1 AND level = {SUPERBLOCKS} ORDER BY key, reached_ms, player", list_
    )
    return [row[0] for row in rows]


async def better_scores(reader: Reader, list_: int, keys: Collection[int]) -> dict[int, int]:
    """How many different scores are better than each of these keys, in a dense list that exists."""
    rows = await reader.fetch(_SCORES, list_, *_columns([(key, INT64_MIN, INT64_MIN) for key in keys]), INT64_MIN)
    return {row[0]: row[1] for row in rows}


async def entry_at(reader: Reader, list_: int, index: int) -> Place | None:
    """The entry with so many before it; None where there is none."""
    found = await _descend(reader, list_, "n", index)
    if found is None:
        return None
    first, rest = found
    row = await reader.fetch_one(
        "SELECT key, reached_ms, player FROM entries WHERE list = $1 AND (key, reached_ms, player) >= ($2, $3, $4) "
        "ORDER BY key, reached_ms, player LIMIT 1 OFFSET $5",
        list_,
        *first,
        rest,
    )
    return None if row is None else (row[0], row[1], row[2])


async def score_at(reader: Reader, list_: int, index: int) -> int | None:
    """The key with so many different better ones, in a dense list; None where there is none."""
    found = await _descend(reader, list_, "scores", index)
    if found is None:
        return None
    (key, reached_ms, _), rest = found
    value = await reader.fetch_value(
        "SELECT key FROM scores WHERE list = $1 AND key >= $2 AND (key > $2 OR $3) ORDER BY key LIMIT 1 OFFSET $4",
        list_,
        key,
        reached_ms == INT64_MIN,
        rest,
    )
    return cast("int | None", value)


async def _descend(reader: Reader, list_: int, counted: _Counted, index: int) -> tuple[Place, int] | None:
    """Where the block begins that holds the one with so many before it, and how many of these are in that block."""
    begin, end = FIRST, LAST
    for level in (SUPERBLOCKS, BLOCKS):
        # Numbers alone: there may be hundreds, and one of them says which place is worth fetching.
        blocks = f"FROM blocks WHERE list = $1 AND level = {level} AND {_WITHIN} ORDER BY key, reached_ms, player"
        ends = list(accumulate(row[0] for row in await reader.fetch(f"SELECT {counted} {blocks}", list_, *begin, *end)))
        at = bisect_right(ends, index)
        if at == len(ends):
            return None
        index -= ends[at - 1] if at else 0
        places = await reader.fetch(
            f"SELECT key, reached_ms, player {blocks} LIMIT 2 OFFSET $8", list_, *begin, *end, at
        )
        begin, end = ((row[0], row[1], row[2]) for row in (places[0], places[1] if len(places) > 1 else end))
    return begin, index


def _columns(places: Collection[Place]) -> tuple[list[int], list[int], list[int]]:
    return [key for key, _, _ in places], [ms for _, ms, _ in places], [player for _, _, player in places]
