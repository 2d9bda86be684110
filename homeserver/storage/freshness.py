"""How old what we hold of each player is, whom the container refused, and the friendships that a plan is made of.

A player's AppData is as old as the newest of: their own answer (`alone_ms`), and the answers of those whose friend they
are (`around_ms` of a friend). So an answer about fifty friends writes one row, not fifty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from homeserver.storage.database import Reader, Row, Transaction

PART: Final = 20_000
"""Friendships read at a time."""


class Ages(NamedTuple):
    """When what we hold of a player was asked for; None: never."""

    player: int
    around_ms: int | None
    alone_ms: int | None
    friends_ms: int | None
    refused_ms: int | None
    refused_again_ms: int | None


async def ages(reader: Reader, container: str) -> list[Ages]:
    """Everybody in the container who may have the application, by number."""
    rows = await reader.fetch(
        "SELECT player, around_ms, alone_ms, friends_synced_ms, refused_ms, refused_again_ms FROM players "
        "WHERE container = $1 AND (has_app IS NULL OR has_app = 1) ORDER BY player",
        container,
    )
    return [Ages(*row) for row in rows]


FIRST: Final = (-1, -1)


async def friendships(reader: Reader, after: tuple[int, int]) -> tuple[list[Row], tuple[int, int] | None]:
    """The next part of all friendships, in order: rows of (player, friend, missed); and where the one after it begins.

    Begin with `FIRST`. At the end there is no next part: None.
    """
    rows = await reader.fetch(
        "SELECT player, friend, missed FROM friendships WHERE (player, friend) > ($1, $2) "
        "ORDER BY player, friend LIMIT $3",
        *after,
        PART,
    )
    return rows, (rows[-1][0], rows[-1][1]) if len(rows) == PART else None


async def seen_around(reader: Reader, container: str) -> dict[int, int]:
    """When each player's AppData was last asked for by way of a friend. Reads the circles of those who were asked."""
    rows = await reader.fetch(
        "SELECT f.friend, MAX(p.around_ms) FROM players AS p CROSS JOIN friendships AS f "
        "WHERE p.container = $1 AND p.around_ms IS NOT NULL AND f.player = p.player AND f.missed = 0 GROUP BY f.friend",
        container,
    )
    return {row[0]: row[1] for row in rows}


async def read_ms(reader: Reader, player: int) -> int | None:
    """When the player's AppData was last asked for, by themselves or by way of a friend; None: never."""
    rows = await reader.fetch(
        "SELECT alone_ms FROM players WHERE player = $1 UNION ALL "
        "SELECT MAX(p.around_ms) FROM friendships AS f JOIN players AS p ON p.player = f.player "
        "WHERE f.friend = $1 AND f.missed = 0",
        player,
    )
    return max((row[0] for row in rows if row[0] is not None), default=None)


async def active_since(reader: Reader, since_ms: int) -> set[int]:
    """Players with a gadget's token that ends after this: they opened it lately."""
    rows = await reader.fetch(
        "SELECT DISTINCT viewer FROM gadget_sessions WHERE expires_ms > $1 AND viewer IS NOT NULL", since_ms
    )
    return {row[0] for row in rows}


class Asked(NamedTuple):
    """When a player was asked about, now that the answer is here: whole, their friends' AppData, their own."""

    player: int
    whole_ms: int | None
    around_ms: int | None
    alone_ms: int | None

    def later(self, other: Asked) -> Asked:
        """The later of both, for each question."""
        times = [
            max((ms for ms in pair if ms is not None), default=None) for pair in zip(self[1:], other[1:], strict=True)
        ]
        return Asked(self.player, *times)


async def set_asked(tx: Transaction, asked: Iterable[Asked]) -> None:
    """Keep when these players were asked about, each once; an earlier time replaces no later one.

    Whoever was answered for is not refused.
    """
    columns = [list(column) for column in zip(*asked, strict=True)]
    if not columns:
        return
    await tx.execute(
        "UPDATE players SET "
        "synced_ms = CASE WHEN w.c2 > COALESCE(synced_ms, -1) THEN w.c2 ELSE synced_ms END, "
        "around_ms = CASE WHEN w.c3 > COALESCE(around_ms, -1) THEN w.c3 ELSE around_ms END, "
        "alone_ms = CASE WHEN w.c4 > COALESCE(alone_ms, -1) THEN w.c4 ELSE alone_ms END, "
        "refused_ms = NULL, refused_again_ms = NULL "
        "FROM each_bigints($1, $2, $3, $4) AS w WHERE players.player = w.c1",
        *columns,
    )


# --- refusals ---------------------------------------------------------------------------------------------------------


async def mark_refused(tx: Transaction, players: Iterable[int], at_ms: int) -> None:
    """Keep that the container refused these players (401) while it answered for others."""
    await tx.execute(
        "UPDATE players SET refused_ms = COALESCE(refused_ms, $2), refused_again_ms = $2 "
        "WHERE player IN (SELECT w.value FROM each_bigint($1) AS w)",
        sorted(players),
        at_ms,
    )


async def refused_since(reader: Reader, players: Collection[int], until_ms: int) -> list[int]:
    """Those of these players who have been refused since `until_ms` or longer, and may still have the application."""
    rows = await reader.fetch(
        "SELECT player FROM players WHERE player IN (SELECT w.value FROM each_bigint($1) AS w) "
        "AND refused_ms <= $2 AND (has_app IS NULL OR has_app = 1) ORDER BY player",
        sorted(players),
        until_ms,
    )
    return [row[0] for row in rows]


async def canaries(reader: Reader, container: str, but: Collection[int], limit: int) -> list[str]:
    """The user ids of players whom the container answered for last: whoever else is refused, they should not be."""
    rows = await reader.fetch(
        "SELECT user_id FROM players WHERE container = $1 AND (has_app IS NULL OR has_app = 1) AND refused_ms IS NULL "
        "AND (alone_ms IS NOT NULL OR around_ms IS NOT NULL) "
        "AND player NOT IN (SELECT w.value FROM each_bigint($2) AS w) "
        "ORDER BY COALESCE(alone_ms, around_ms) DESC, player LIMIT $3",
        container,
        sorted(but),
        limit,
    )
    return [row[0] for row in rows]


# --- for those who look on --------------------------------------------------------------------------------------------


class Overview(NamedTuple):
    """How fresh the players are. Times are when the oldest was asked for; None: never, or there is nobody."""

    players: int
    refused: int
    without_app: int
    never: int
    """Players whose AppData was never asked for."""
    oldest_list_ms: int | None
    oldest_appdata_ms: int | None
    """Of those who were ever asked about, and are not refused."""


async def overview(reader: Reader, container: str) -> Overview:
    """How fresh everybody is: one pass over the players, and over the circles of those who were asked about friends."""
    row = await reader.fetch_one(
        "SELECT COUNT(*), COUNT(refused_ms), COALESCE(SUM(CASE WHEN has_app = 0 THEN 1 ELSE 0 END), 0), "
        "MIN(CASE WHEN has_app = 0 THEN NULL ELSE friends_synced_ms END) FROM players WHERE container = $1",
        container,
    )
    seen = await reader.fetch_one(
        "WITH around AS (SELECT f.friend AS player, MAX(p.around_ms) AS ms FROM players AS p "
        "CROSS JOIN friendships AS f WHERE p.container = $1 AND p.around_ms IS NOT NULL AND f.player = p.player "
        "AND f.missed = 0 GROUP BY f.friend) "
        "SELECT MIN(CASE WHEN a.ms > COALESCE(p.alone_ms, 0) THEN a.ms ELSE p.alone_ms END), "
        "COALESCE(SUM(CASE WHEN a.ms IS NULL AND p.alone_ms IS NULL THEN 1 ELSE 0 END), 0) "
        "FROM players AS p LEFT JOIN around AS a ON a.player = p.player "
        "WHERE p.container = $1 AND (p.has_app IS NULL OR p.has_app = 1) AND p.refused_ms IS NULL",
        container,
    )
    if row is None or seen is None:
        return Overview(0, 0, 0, 0, None, None)
    return Overview(row[0], row[1], row[2], seen[1], row[3], seen[0])
