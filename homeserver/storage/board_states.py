"""Boards that are closed, opened, and reset; and their archives: the lists that a board had when it was reset.

The lists of an archive keep their generation, which the board leaves behind. Their boards are held alone by whoever
calls what changes anything here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from homeserver.domain import boards as definitions
from homeserver.domain.boards import BoardInForce, Closure
from homeserver.model import Act, Archive, Board, Span
from homeserver.storage import leaderboards as store
from homeserver.storage import standings
from homeserver.storage.database import Reader, Row, Transaction
from homeserver.storage.leaderboards import ListName

_ARCHIVE: Final = "archive, board, name, actor, reason, at_ms, generation, since_event, definition"


class Kept(NamedTuple):
    """An archive, with what it takes to read it and to undo it."""

    archive: Archive
    board: Board
    """The definition as it was."""
    generation: int
    since_event: int
    """Of the board until then."""


async def set_closures(tx: Transaction, board_id: str, closures: Sequence[Closure]) -> None:
    """Let the board have been closed in these times."""
    await tx.execute("UPDATE boards SET closures = $2 WHERE board = $1", board_id, json.dumps(closures))


async def begin_anew(tx: Transaction, board_id: str, generation: int, since_event: int) -> None:
    """Let the board have no entries, and take those of later events."""
    await tx.execute(
        "UPDATE boards SET generation = $2, since_event = $3 WHERE board = $1", board_id, generation, since_event
    )
    tx.announce()


async def archive(tx: Transaction, in_force: BoardInForce, name: str, act: Act) -> None:
    """Keep the lists that the board has, under this name."""
    await tx.execute(
        "INSERT INTO archives (board, name, generation, since_event, definition, actor, reason, at_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        in_force.board.id,
        name,
        in_force.generation,
        in_force.since_event,
        json.dumps(definitions.board_to(in_force.board), ensure_ascii=False),
        act.actor,
        act.reason,
        act.at_ms,
    )


async def remove_archive(tx: Transaction, kept: Kept) -> None:
    """Forget an archive; its lists are to be deleted."""
    await tx.execute("DELETE FROM archives WHERE archive = $1", kept.archive.id)
    await tx.execute(
        "UPDATE lists SET generation = -list WHERE board = $1 AND generation = $2", kept.archive.board, kept.generation
    )


async def archives(reader: Reader, board_id: str) -> list[Kept]:
    """The archives of a board, newest first."""
    rows = await reader.fetch(
        f"SELECT {_ARCHIVE} FROM archives WHERE board = $1 ORDER BY archive DESC",  # noqa: S608 - columns of ours
        board_id,
    )
    return [await _kept(reader, row) for row in rows]


async def find_archive(reader: Reader, board_id: str, archive_id: int) -> Kept | None:
    """One archive of a board."""
    row = await reader.fetch_one(
        f"SELECT {_ARCHIVE} FROM archives WHERE board = $1 AND archive = $2",  # noqa: S608 - columns of ours
        board_id,
        archive_id,
    )
    return None if row is None else await _kept(reader, row)


async def count_archives(reader: Reader, board_id: str) -> int:
    """How many archives the board has."""
    return cast("int", await reader.fetch_value("SELECT count(*) FROM archives WHERE board = $1", board_id))


async def _kept(reader: Reader, row: Row) -> Kept:
    id_, board_id, name, actor, reason, at_ms, generation, since_event, definition = row
    whole = ListName(board_id, Span.ALL.value, generation)
    found = await store.find_lists(reader, [whole])
    entries = await standings.total(reader, found[whole]) if found else 0
    return Kept(
        Archive(id_, board_id, name, actor, reason, at_ms, entries),
        definitions.board_from(json.loads(definition)),
        generation,
        since_event,
    )
