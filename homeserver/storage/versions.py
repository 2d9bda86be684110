"""Which version of a list this is: a number that grows with every transaction that changes its entries.

Each process counts in a row of its own (`shard`), as good as: the processes that write one list at the same time would
otherwise wait for each other until the commit, even where one only moves an entry within its block. The version is the
sum, which grows by each, and is read in the snapshot of the entries.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from homeserver.storage.database import Reader, Transaction

SHARDS: Final = 16
"""A page's version is the sum of at most so many rows. Processes of one machine have consecutive numbers."""


async def grow(tx: Transaction, lists: Iterable[int]) -> None:
    """These lists change in this transaction. The last rows that it locks, sorted; who listens is told afterwards."""
    await tx.execute(
        "INSERT INTO list_versions (list, shard, n) SELECT w.value, $2, 1 FROM each_bigint($1) AS w WHERE TRUE "
        "ORDER BY w.value ON CONFLICT (list, shard) DO UPDATE SET n = list_versions.n + 1",
        sorted(set(lists)),
        os.getpid() % SHARDS,
    )
    tx.announce()


async def leap(tx: Transaction, by: int) -> None:
    """All lists are others now: none may have a version again that it had before, whatever that was."""
    await tx.execute(
        "INSERT INTO list_versions (list, shard, n) SELECT list, 0, CAST($1 AS BIGINT) FROM lists WHERE TRUE "
        "ON CONFLICT (list, shard) DO UPDATE SET n = list_versions.n + CAST($1 AS BIGINT)",
        by,
    )


async def forget(tx: Transaction, list_: int) -> None:
    """The list is being deleted."""
    await tx.execute("DELETE FROM list_versions WHERE list = $1", list_)


class ListName(NamedTuple):
    """What a list is of."""

    board: str
    period: str
    generation: int


class Version(NamedTuple):
    """Of a list, by its number."""

    list: int
    version: int


async def of_lists(reader: Reader, names: Collection[ListName]) -> dict[ListName, Version]:
    """The versions of those of these lists that exist: one statement for all."""
    rows = await reader.fetch(
        "SELECT l.board, l.period, l.generation, l.list, "
        "(SELECT CAST(SUM(v.n) AS BIGINT) FROM list_versions AS v WHERE v.list = l.list) FROM lists AS l "
        "WHERE l.board IN (SELECT b.value FROM each_text($1) AS b) "
        "AND l.period IN (SELECT p.value FROM each_text($2) AS p)",
        sorted({name.board for name in names}),
        sorted({name.period for name in names}),
    )
    wanted = set(names)
    found = {ListName(*row[:3]): Version(row[3], row[4] or 0) for row in rows}
    return {name: found[name] for name in wanted & found.keys()}
