"""Scores that operators put in the place of what players had, board by board, and which outliers they have cleared.

An adjustment belongs to the last event that the player had then. A replay puts the score wherever they are listed when
it has come to that event, so what they reach later meets it as it would meet any other score. Several of one player on
one board are obeyed in their order; the last one is undone first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from homeserver.domain.replay import Adjusted
from homeserver.model import Act, Adjustment
from homeserver.storage.database import Reader, Transaction


async def on(reader: Reader, board_id: str, players: Iterable[int] | None = None) -> dict[int, list[Adjusted]]:
    """Those of these players (None: of all) on a board, by player, in their order."""
    if players is None:
        rows = await reader.fetch(
            "SELECT player, event, score FROM adjustments WHERE board = $1 ORDER BY player, adjustment", board_id
        )
    else:
        rows = await reader.fetch(
            "SELECT a.player, a.event, a.score FROM each_bigint($2) AS w CROSS JOIN adjustments AS a "
            "WHERE a.board = $1 AND a.player = w.value ORDER BY a.player, a.adjustment",
            board_id,
            sorted(set(players)),
        )
    found: dict[int, list[Adjusted]] = {}
    for player, event, score in rows:
        found.setdefault(player, []).append(Adjusted(event, score))
    return found


async def of_player(reader: Reader, player: int) -> list[Adjustment]:
    """Those of a player that were not undone, by board and in their order."""
    rows = await reader.fetch(
        "SELECT board, score, reason, actor, at_ms FROM adjustments WHERE player = $1 ORDER BY board, adjustment",
        player,
    )
    return [Adjustment(*row) for row in rows]


async def add(tx: Transaction, player: int, event: int, score: str, act: Act) -> None:
    """Keep an adjustment. The board is held alone."""
    await tx.execute(
        "INSERT INTO adjustments (player, board, event, score, reason, actor, at_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        player,
        act.board,
        event,
        score,
        act.reason,
        act.actor,
        act.at_ms,
    )


async def undo(tx: Transaction, player: int, board_id: str) -> str | None:
    """Take the last one back: its score; None where there is none. The board is held alone."""
    row = await tx.fetch_one(
        "SELECT adjustment, score FROM adjustments WHERE board = $1 AND player = $2 ORDER BY adjustment DESC LIMIT 1",
        board_id,
        player,
    )
    if row is None:
        return None
    await tx.execute("DELETE FROM adjustments WHERE adjustment = $1", row[0])
    return cast("str", row[1])


async def forget(tx: Transaction, player: int) -> None:
    """Leave nothing of a player who is erased."""
    await tx.execute("DELETE FROM adjustments WHERE player = $1", player)
    await tx.execute("DELETE FROM cleared WHERE player = $1", player)


async def drop(tx: Transaction, board_id: str) -> None:
    """Leave nothing of a board that is dropped."""
    await tx.execute("DELETE FROM adjustments WHERE board = $1", board_id)
    await tx.execute("DELETE FROM cleared WHERE board = $1", board_id)


# --- outliers that are none -------------------------------------------------------------------------------------------


async def clear(tx: Transaction, player: int, key: int, act: Act) -> None:
    """Keep that a score of this key, or a worse one, of the player is right."""
    await tx.execute(
        "INSERT INTO cleared (board, player, key, actor, at_ms) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (board, player) DO UPDATE SET key = excluded.key, actor = excluded.actor, at_ms = excluded.at_ms",
        act.board,
        player,
        key,
        act.actor,
        act.at_ms,
    )


async def unclear(tx: Transaction, player: int, board_id: str) -> bool:
    """Take that back; whether there was anything."""
    return await tx.execute("DELETE FROM cleared WHERE board = $1 AND player = $2", board_id, player) > 0


async def cleared(reader: Reader, board_id: str, players: Iterable[int]) -> dict[int, int]:
    """Of those of these players whose score was found right: up to which key."""
    rows = await reader.fetch(
        "SELECT c.player, c.key FROM each_bigint($2) AS w CROSS JOIN cleared AS c "
        "WHERE c.board = $1 AND c.player = w.value",
        board_id,
        sorted(set(players)),
    )
    return {player: key for player, key in rows}  # noqa: C416 - rows are not pairs to mypy
