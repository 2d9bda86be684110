"""Sorting more rows than the memory should hold: in a temporary database that nobody else sees, whatever engine we use.

It lies in the system's folder for temporary files (SQLITE_TMPDIR or TMPDIR says where), has no name there, and is gone
when it is closed or the process ends.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from itertools import chain
from types import TracebackType
from typing import Final, Self

Row = tuple[int, int, int, int]

SOME_ROWS: Final = 500
_ROW: Final = "(?, ?, ?, ?)"


class Sorting:
    """Rows of four whole numbers each: added in any order, read in theirs, once. A context."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)

    def __enter__(self) -> Self:
        for statement in (
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            "CREATE TABLE unsorted (c1 INTEGER, c2 INTEGER, c3 INTEGER, c4 INTEGER)",
            "BEGIN",
        ):
            self._connection.execute(statement)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, rows: Sequence[Row]) -> None:
        """Keep these. About 0.5 us a row."""
        whole = len(rows) - len(rows) % SOME_ROWS
        many = f"INSERT INTO unsorted VALUES {', '.join([_ROW] * SOME_ROWS)}"  # noqa: S608 - question marks
        for begin in range(0, whole, SOME_ROWS):
            self._connection.execute(many, list(chain.from_iterable(rows[begin : begin + SOME_ROWS])))
        self._connection.executemany(f"INSERT INTO unsorted VALUES {_ROW}", rows[whole:])  # noqa: S608 - the same

    async def read(self, page: int) -> AsyncIterator[list[Row]]:
        """All of them in order, so many at once. Sorting goes on in a thread."""
        cursor = await asyncio.to_thread(
            self._connection.execute, "SELECT c1, c2, c3, c4 FROM unsorted ORDER BY c1, c2, c3, c4"
        )
        while rows := await asyncio.to_thread(cursor.fetchmany, page):
            yield rows
