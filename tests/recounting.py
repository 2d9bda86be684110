"""Counting a whole list anew: for entries that a test or a benchmark wrote all at once."""

from __future__ import annotations

from typing import Final

from homeserver.domain.scores import INT64_MAX
from homeserver.storage import boundaries
from homeserver.storage.blocks import SIZES, Sizes
from homeserver.storage.boundaries import BLOCKS, FIRST, LEVELS, SUPERBLOCKS, Place
from homeserver.storage.database import Transaction

_BEGINNINGS: Final = """
SELECT key, reached_ms, player FROM (
    SELECT key, reached_ms, player, row_number() OVER (ORDER BY key, reached_ms, player) AS number
    FROM entries WHERE list = $1
) AS numbered WHERE number % $2 = 1 ORDER BY number
"""
# A score begins before each of its entries, so the next block's first key is still one of this block's.
_SCORES: Final = """
UPDATE blocks AS b SET scores = (
    SELECT count(*) FROM scores AS s WHERE s.list = $1 AND s.key >= b.key AND s.key <= w.c5
    AND (s.key > b.key OR b.reached_ms = $7)
) FROM each_bigints($2, $3, $4, $5, $6) AS w
WHERE b.list = $1 AND b.level = w.c1 AND b.key = w.c2 AND b.reached_ms = w.c3 AND b.player = w.c4
"""


async def recount(tx: Transaction, list_: int, *, dense: bool, sizes: Sizes = SIZES) -> None:
    """Make the list's blocks, and its scores, from its entries. Its board is locked alone, or nobody knows it yet."""
    await tx.execute("DELETE FROM blocks WHERE list = $1", list_)
    await tx.execute("DELETE FROM scores WHERE list = $1", list_)
    total: int = await tx.fetch_value("SELECT count(*) FROM entries WHERE list = $1", list_)
    # Two at least: a remainder of 1 is what makes a row the first of its block.
    rows = await tx.fetch(_BEGINNINGS, list_, max(sizes.block, 2))
    firsts: list[Place] = [FIRST, *((key, reached_ms, player) for key, reached_ms, player in rows[1:])]
    beginnings = {BLOCKS: firsts, SUPERBLOCKS: firsts[:: sizes.fanout]}
    for level in LEVELS:
        meant = max(sizes.block, 2) * (sizes.fanout if level == SUPERBLOCKS else 1)
        await tx.execute_many(
            "INSERT INTO blocks (list, level, key, reached_ms, player, n, scores) VALUES ($1, $2, $3, $4, $5, $6, 0)",
            [
                (list_, level, *first, max(0, min(meant, total - index * meant)))
                for index, first in enumerate(beginnings[level])
            ],
        )
    if dense:
        await tx.execute(
            "INSERT INTO scores (list, key, n) SELECT list, key, count(*) FROM entries WHERE list = $1 "
            "GROUP BY list, key",
            list_,
        )
        cuts = [(level, first) for level in LEVELS for first in beginnings[level]]
        ends = [end for level in LEVELS for end in (*(key for key, _, _ in beginnings[level][1:]), INT64_MAX)]
        await tx.execute(
            _SCORES,
            list_,
            [level for level, _ in cuts],
            *([first[column] for _, first in cuts] for column in range(3)),
            ends,
            FIRST[1],
        )
    await tx.execute("UPDATE lists SET boundaries = $2 WHERE list = $1", list_, boundaries.new_token())
