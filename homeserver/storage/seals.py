"""What lies sealed in the database, wherever: to be read and put back by whoever changes the key."""

# ruff: noqa: S608 - the statements are put together from constants of this module

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, cast

from homeserver.storage.database import Reader, Transaction


class Place(Enum):
    """A table that holds sealed texts: its name, the column that names a row, and the one with the text.

    Each text is bound to what its row is named.
    """

    PAGE_SESSIONS = ("page_sessions", "token_hash", "sealed_token")
    UPLOADS = ("uploads", "upload", "sealed_token")
    SIGN_IN_TICKETS = ("sign_in_tickets", "token_hash", "sealed")


class Sealed(NamedTuple):
    """A sealed text, and the row that it lies in."""

    row: str
    text: str


async def some(reader: Reader, place: Place, after: str, limit: int) -> list[Sealed]:
    """The next sealed texts behind a row, by the names of their rows; "" is before all."""
    table, name, column = place.value
    rows = await reader.fetch(
        f"SELECT {name}, {column} FROM {table} WHERE {column} IS NOT NULL AND {name} > $1 ORDER BY {name} LIMIT $2",
        after,
        limit,
    )
    return [Sealed(row[0], row[1]) for row in rows]


async def count(reader: Reader, place: Place) -> int:
    """How many there are."""
    table, _, column = place.value
    return cast("int", await reader.fetch_value(f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL"))


async def replace(tx: Transaction, place: Place, old: Sealed, text: str) -> bool:
    """Put another text there, unless somebody else has meanwhile."""
    table, name, column = place.value
    changed = await tx.execute(
        f"UPDATE {table} SET {column} = $3 WHERE {name} = $1 AND {column} = $2", old.row, old.text, text
    )
    return changed == 1
