"""All tables, whatever they are: read in one snapshot, and replaced as a whole in one transaction.

The database is asked which tables and columns it has, so none that comes later is forgotten. What lets its holder in
is left out: sessions, links and the storage's tokens. A backup that lies about opens nothing, and who signed out after
it was made stays signed out.
"""

# ruff: noqa: S608 - the statements hold names that the database itself says

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final, cast

from homeserver.storage import erased, people, rebuild
from homeserver.storage.database import Reader, Row, Transaction

LEFT_OUT: Final = frozenset(
    {
        "alembic_version",
        "gadget_sessions",
        "leases",
        "operator_sessions",
        "operator_tokens",
        "page_links",
        "page_sessions",
        "repeated_calls",
        "sign_in_tickets",
    }
)
BLANK: Final = frozenset({("uploads", "sealed_token")})
AT_ONCE: Final = 5_000
_MADE_BY_MIGRATIONS: Final = "meta"

_SQLITE_TABLES: Final = """
SELECT t.name, c.name, c.pk, t.sql LIKE '%AUTOINCREMENT%' FROM sqlite_master AS t JOIN pragma_table_info(t.name) AS c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid
"""
_POSTGRES_TABLES: Final = """
SELECT CAST(t.relname AS TEXT), CAST(a.attname AS TEXT),
    CASE WHEN a.attnum = ANY (p.indkey) THEN array_position(CAST(p.indkey AS SMALLINT[]), a.attnum) + 1 ELSE 0 END,
    bool_or(a.attidentity <> '') OVER (PARTITION BY t.oid)
FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index AS p ON p.indrelid = t.oid AND p.indisprimary
WHERE t.relkind = 'r' AND t.relnamespace = CAST(CAST(current_schema() AS TEXT) AS REGNAMESPACE)
ORDER BY t.relname, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of this database. `numbered`: its key is a number that is given out and never used again."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    numbered: bool


class Backups:
    """What is done with all tables of a database of one of the two engines."""

    def __init__(self, *, sqlite: bool, at_once: int = AT_ONCE) -> None:
        """`at_once`: so many rows are read together."""
        self._sqlite = sqlite
        self._at_once = at_once

    async def tables(self, reader: Reader) -> tuple[Table, ...]:
        """All that a backup holds, by name."""
        rows = await reader.fetch(_SQLITE_TABLES if self._sqlite else _POSTGRES_TABLES)
        found = []
        for name, columns in groupby(rows, key=itemgetter(0)):
            if name in LEFT_OUT:
                continue
            of_it = list(columns)
            key = sorted((place, column) for _, column, place, _ in of_it if place)
            found.append(
                Table(
                    name,
                    tuple(column for _, column, _, _ in of_it),
                    tuple(column for _, column in key),
                    bool(of_it[0][3]),
                )
            )
        return tuple(found)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def count(self, reader: Reader, table: Table) -> int:
        """How many rows it has."""
        return cast("int", await reader.fetch_value(f"SELECT count(*) FROM {table.name}"))

    async def rows(self, reader: Reader, table: Table) -> AsyncGenerator[list[Row], None]:
        """All rows in the order of the key, some at a time."""
        shown = ", ".join("NULL" if (table.name, column) in BLANK else column for column in table.columns)
        key, places = ", ".join(table.key), [table.columns.index(column) for column in table.key]
        beyond = f"({key}) > ({', '.join(f'${number}' for number in range(1, len(table.key) + 1))})"
        found = await reader.fetch(f"SELECT {shown} FROM {table.name} ORDER BY {key} LIMIT {self._at_once}")
        while found:
            yield found
            if len(found) < self._at_once:
                return
            found = await reader.fetch(
                f"SELECT {shown} FROM {table.name} WHERE {beyond} ORDER BY {key} LIMIT {self._at_once}",
                *(found[-1][place] for place in places),
            )

    async def numbers(self, reader: Reader, tables: Sequence[Table]) -> dict[str, int]:
        """The last number that each table has given out."""
        found: dict[str, int] = {}
        for table in tables:
            if not table.numbered:
                continue
            if self._sqlite:
                last = await reader.fetch_value("SELECT seq FROM sqlite_sequence WHERE name = $1", table.name)
            else:
                sequence = await reader.fetch_value("SELECT pg_get_serial_sequence($1, $2)", table.name, table.key[0])
                last = await reader.fetch_value(f"SELECT CASE WHEN is_called THEN last_value END FROM {sequence}")
            found[table.name] = last or 0
        return found

    # --- writing ------------------------------------------------------------------------------------------------------

    async def is_used(self, reader: Reader, tables: Sequence[Table]) -> bool:
        """Whether anything is in there that no migration has made."""
        for table in tables:
            if table.name != _MADE_BY_MIGRATIONS and await reader.fetch(f"SELECT 1 FROM {table.name} LIMIT 1"):
                return True
        return False

    async def empty(self, tx: Transaction) -> None:
        """Delete all rows of all tables, also of those that backups leave out. Nobody else is at work."""
        rows = await tx.fetch(_SQLITE_TABLES if self._sqlite else _POSTGRES_TABLES)
        names = sorted({row[0] for row in rows} - {"alembic_version"})
        if self._sqlite:
            for name in names:
                await tx.execute(f"DELETE FROM {name}")
        else:
            await tx.execute(f"TRUNCATE {', '.join(names)}")

    async def go_on_from(self, tx: Transaction, table: Table, last: int) -> None:
        """Let the next number be the one after `last`."""
        if self._sqlite:
            await tx.execute("DELETE FROM sqlite_sequence WHERE name = $1", table.name)
            await tx.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)", table.name, last)
        else:
            sequence = await tx.fetch_value("SELECT pg_get_serial_sequence($1, $2)", table.name, table.key[0])
            await tx.fetch_value(
                "SELECT setval(CAST(CAST($1 AS TEXT) AS REGCLASS), $2, $3)", sequence, max(last, 1), last > 0
            )


# --- people who were erased since -------------------------------------------------------------------------------------


async def marks(reader: Reader) -> tuple[str, frozenset[str]]:
    """The key under which people were erased, and their marks."""
    key = cast("str", await reader.fetch_value("SELECT value FROM meta WHERE name = 'erasure_key'"))
    return key, frozenset(row[0] for row in await reader.fetch("SELECT mark FROM erased"))


async def add_marks(tx: Transaction, wanted: frozenset[str]) -> None:
    """Remember these, too."""
    await tx.execute_many(
        "INSERT INTO erased (mark) VALUES ($1) ON CONFLICT (mark) DO NOTHING", [(mark,) for mark in sorted(wanted)]
    )


async def marked_players(reader: Reader) -> list[int]:
    """The players who are there although they have a mark."""
    found: list[int] = []
    after = 0
    while rows := await reader.fetch(
        "SELECT player, container, user_id FROM players WHERE player > $1 ORDER BY player LIMIT $2", after, AT_ONCE
    ):
        after = rows[-1][0]
        by_container: dict[str, dict[str, int]] = defaultdict(dict)
        for player, container, user_id in rows:
            by_container[container][user_id] = player
        for container, players in sorted(by_container.items()):
            if container != people.NOWHERE:
                found += [players[user_id] for user_id in await erased.among(reader, container, list(players))]
    return sorted(found)


# --- people who hide themselves ---------------------------------------------------------------------------------------

Hidden = dict[str, dict[str, int]]
"""Since when, by container and their id there."""


async def hidden(reader: Reader) -> Hidden:
    """Who hides themselves."""
    found: Hidden = defaultdict(dict)
    for container, user_id, since_ms in await reader.fetch(
        "SELECT container, user_id, withdrawn_ms FROM players WHERE withdrawn_ms IS NOT NULL ORDER BY player"
    ):
        found[container][user_id] = since_ms
    return found


async def hidden_players(reader: Reader, wanted: Hidden) -> dict[int, int | None]:
    """Since when, by player, for those of them who are players here."""
    found: dict[int, int | None] = {}
    for container, since_ms in wanted.items():
        players = await people.known_players(reader, container, since_ms)
        found |= {player: since_ms[user_id] for user_id, player in players.items()}
    return found


# --- whether boards are right -----------------------------------------------------------------------------------------


async def wrong_lists(reader: Reader) -> list[int]:
    """The lists in force whose entries are not the same in order and by player, or of which their blocks say others.

    Others are being built or deleted.
    """
    rows = await reader.fetch(
        "SELECT l.list FROM lists AS l JOIN boards AS b ON b.board = l.board AND b.generation = l.generation "
        "ORDER BY l.list"
    )
    lists = [row[0] for row in rows]
    in_order, by_player = await rebuild.tallies(reader, lists)
    counted = await rebuild.counted(reader, lists)
    return [
        list_
        for list_ in lists
        if in_order[list_] != by_player[list_] or set(counted.get(list_, (0,))) != {in_order[list_].entries}
    ]
