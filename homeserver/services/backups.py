"""Backups of the database, made while people play, and the way back.

A backup is one snapshot of all tables, whichever engine holds them, and can be restored on either. It has no secrets of
the settings, no files that wait in the spool, and nothing that lets anybody in (`storage/backups.py`).

Restoring is one transaction: it all happens or nothing does. What the database was is gone then, but for what people
decided about themselves and what others may still hold. Who was erased since the backup was made is erased again, and
who has hidden themselves since is hidden again. Numbers that were given out since are not given out again, as cursors
and links may have them; nor are versions of lists, which browsers have with what they keep.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from homeserver.errors import BackupBroken, Conflict
from homeserver.model import Act, Action, NowMs
from homeserver.services import reasons
from homeserver.services.delisting import let_hide
from homeserver.services.eraser import Eraser
from homeserver.services.rebuilds import Progress
from homeserver.storage import backup_file, backups, erasing, versions
from homeserver.storage.backup_file import Contents, Head
from homeserver.storage.backups import Table
from homeserver.storage.database import SCHEMA_REVISION, Database, Reader, Transaction

ACTOR: Final = "restore"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back. `erased`: how many people were erased anew; `hidden`: how many players are hidden anew;
    `marks_lost`: others' marks could not be taken over.

    Marks belong to the erasure key under which they were made, so this happens only with another database's backup.
    """

    head: Head
    erased: int
    hidden: int
    marks_lost: bool


class Backups:
    """Makes and restores backups of one database."""

    def __init__(self, database: Database, now_ms: NowMs, *, sqlite: bool, at_once: int = backups.AT_ONCE) -> None:
        """`at_once`: so many rows are read together."""
        self._database = database
        self._now_ms = now_ms
        self._store = backups.Backups(sqlite=sqlite, at_once=at_once)

    async def make(self, path: Path, progress: Progress) -> Head:
        """Write everything as it is at one moment, while others go on writing.

        Raises:
            BadSettings: The file is there already, or cannot be made.
        """
        with backup_file.created(path) as file:

            async def work(reader: Reader) -> Head:
                tables = await self._store.tables(reader)
                contents = [Contents(each.name, each.columns, await self._store.count(reader, each)) for each in tables]
                numbers = await self._store.numbers(reader, tables)
                head = Head(SCHEMA_REVISION, self._now_ms(), tuple(contents), numbers)
                writer = backup_file.BackupWriter(file, head)
                done = 0
                for table in tables:
                    async with aclosing(self._store.rows(reader, table)) as parts:
                        async for rows in parts:
                            writer.add(rows)
                            done += len(rows)
                            progress(done, head.rows)
                writer.finish()
                return head

            return await self._database.read(work)

    async def restore(self, path: Path, progress: Progress, *, replace: bool = False) -> Restored:
        """Let the database be what it was. No server runs meanwhile; blocks the event loop.

        Args:
            replace: What is in the database now may go.

        Raises:
            BadSettings: The file cannot be read.
            BackupBroken: It is not as it was made, or was made by another version. Nothing was changed.
            Conflict: Something is in the database, and `replace` was not said.
        """

        async def work(tx: Transaction) -> Restored:
            with backup_file.opened(path) as reader:
                tables = _fitting(reader.head, await self._store.tables(tx))
                if not replace and await self._store.is_used(tx, tables):
                    raise Conflict(
                        "There is something in this database, which would be lost. If that is what you want, say "
                        "--replace; a backup of what is there now does no harm."
                    )
                key, marks = await backups.marks(tx)
                hidden = await backups.hidden(tx)
                numbers = await self._store.numbers(tx, tables)
                await self._store.empty(tx)
                done = 0
                for table, rows in reader.rows():
                    await tx.load(table.name, table.columns, rows)
                    done += len(rows)
                    progress(done, reader.head.rows)
                for each in tables:
                    if each.numbered:
                        last = max(numbers[each.name], reader.head.numbers.get(each.name, 0))
                        await self._store.go_on_from(tx, each, last)
                # Versions before this were counted by ones, one a transaction: far fewer than milliseconds have passed.
                await versions.leap(tx, self._now_ms())
                if wrong := await backups.wrong_lists(tx):
                    raise BackupBroken(f"{len(wrong)} lists of boards in it do not count what they hold.")
                is_ours = (await backups.marks(tx))[0] == key
                if is_ours:
                    await backups.add_marks(tx, marks)
                erased = await self._erase(tx)
                return Restored(reader.head, erased, await self._hide(tx, hidden), bool(marks) and not is_ours)

        restored = await self._database.write(work)
        await Eraser(self._database, self._now_ms).go_on()
        return restored

    async def _erase(self, tx: Transaction) -> int:
        """Erase anew whoever was; how many that were. What is left of them is deleted afterwards."""
        players = await backups.marked_players(tx)
        for player in players:
            act = Act(Action.ERASE, self._now_ms(), ACTOR, "erased before the backup was restored", None, None)
            await erasing.strip(tx, player, act)
        return len(players)

    async def _hide(self, tx: Transaction, hidden: backups.Hidden) -> int:
        """Hide anew whoever had hidden themselves in the database that was; how many that were."""
        now_ms = self._now_ms()
        act = reasons.act(Action.WITHDRAW, now_ms, ACTOR, "hidden before the backup was restored")
        return len(await let_hide(tx, await backups.hidden_players(tx, hidden), act, now_ms))


def check(path: Path, progress: Progress) -> Head:
    """Read a backup to its end, without a database.

    Raises:
        BadSettings: The file cannot be read.
        BackupBroken: It is not as it was made.
    """
    with backup_file.opened(path) as reader:
        done = 0
        for _, rows in reader.rows():
            done += len(rows)
            progress(done, reader.head.rows)
        return reader.head


def _fitting(head: Head, tables: tuple[Table, ...]) -> tuple[Table, ...]:
    """The tables of this database, if the backup has just those."""
    if head.revision != SCHEMA_REVISION:
        raise BackupBroken(
            f"It holds tables of revision {head.revision}, and this version of homeserver has those of "
            f"{SCHEMA_REVISION}. Restore it with the version that made it, then install this one and run "
            "`homeserver migrate`."
        )
    if {each.name: frozenset(each.columns) for each in head.tables} != {
        each.name: frozenset(each.columns) for each in tables
    }:
        raise BackupBroken("It holds other tables than this version of homeserver has.")
    return tables
