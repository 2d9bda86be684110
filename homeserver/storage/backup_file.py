"""A backup as a file: what both engines can write and read, in one form.

Gzip'd lines of JSON. The first is the head: what the file is, of which moment and schema, its tables with their columns
and numbers of rows, and the last numbers that were given out. Then the rows of each table, in the head's order, some a
line. The last line is the SHA-256 of all lines before it. So a file that was cut, or changed, is not taken for one.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from homeserver.errors import BackupBroken, BadSettings
from homeserver.storage.database import Row

FORMAT: Final = 1
ROWS_A_LINE: Final = 5_000
MAX_LINE_BYTES: Final = 256 << 20
"""Far more than 5,000 rows of any table take; what is longer was not written here."""
File: TypeAlias = gzip.GzipFile
_LEVEL: Final = 1
"""Of compression: the next one takes half as long again, for a tenth less."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A table in a backup."""

    name: str
    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup says of itself. `numbers`: by table, the last number that was given out."""

    revision: str
    made_ms: int
    tables: tuple[Contents, ...]
    numbers: Mapping[str, int]

    @property
    def rows(self) -> int:
        """In all tables."""
        return sum(table.rows for table in self.tables)


class BackupWriter:
    """Writes what a head promises."""

    def __init__(self, file: File, head: Head) -> None:
        self._file = file
        self._sum = hashlib.sha256()
        self._line(
            {
                "homeserver_backup": FORMAT,
                "revision": head.revision,
                "made_ms": head.made_ms,
                "tables": [{"name": each.name, "columns": each.columns, "rows": each.rows} for each in head.tables],
                "numbers": dict(head.numbers),
            }
        )

    def add(self, rows: Sequence[Row]) -> None:
        """The next rows of the table whose turn it is; all of one table.

        Raises:
            BadSettings: There is no room for them.
        """
        for begin in range(0, len(rows), ROWS_A_LINE):
            self._line([tuple(row) for row in rows[begin : begin + ROWS_A_LINE]])

    def finish(self) -> None:
        """That was all.

        Raises:
            BadSettings: There is no room for its end.
        """
        self._line({"sha256": self._sum.hexdigest()})

    def _line(self, value: object) -> None:
        line = orjson.dumps(value) + b"\n"
        self._sum.update(line)
        try:
            self._file.write(line)
        except OSError as error:  # said here: in the midst of a read it would pass for one of the database's
            raise BadSettings(f"The backup cannot be written: {error.strerror}.") from error


@contextmanager
def created(path: Path) -> Iterator[File]:
    """A new file for its owner alone, that has its name only when it is whole and on the disk.

    Raises:
        BadSettings: It is there already, or cannot be made.
    """
    if path.exists():
        raise BadSettings(f"{path} is there already. A backup never replaces another: choose a new name.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadSettings(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(number, "wb") as raw:
            with gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed:
                yield packed
            raw.flush()
            os.fsync(raw.fileno())
        os.link(part, path)  # unlike a rename, this fails where somebody else has made it meanwhile
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise BadSettings(f"{path} is there already. A backup never replaces another: choose a new name.") from error
    except OSError as error:
        raise BadSettings(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class BackupReader:
    """Reads a backup from its beginning to its end, and is sure of it only there."""

    def __init__(self, file: File) -> None:
        """Raises: BackupBroken, BadSettings (the file cannot be read)."""
        self._file = file
        self._sum = hashlib.sha256()
        self.head = _head(self._line())

    def rows(self) -> Iterator[tuple[Contents, list[list[Any]]]]:
        """The rows of each table, some at a time; when that ends, all was there, as it was written.

        Raises:
            BackupBroken: It was cut or changed. What came before may be wrong as well.
            BadSettings: The file cannot be read.
        """
        for table in self.head.tables:
            left = table.rows
            while left > 0:
                rows = self._line()
                if not isinstance(rows, list) or not rows or any(not _is_row(row, table) for row in rows):
                    raise BackupBroken(f"The table {table.name} is not what it should be.")
                left -= len(rows)
                yield table, rows
            if left < 0:
                raise BackupBroken(f"The table {table.name} has more rows than it should have.")
        found = self._sum.hexdigest()
        last = self._line()
        if not isinstance(last, dict) or last.get("sha256") != found or self._read(1):
            raise BackupBroken("Its checksum is another: it was changed after it was made.")

    def _line(self) -> Any:
        line = self._read(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise BackupBroken("It ends too early: it was cut.")
        self._sum.update(line)
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BackupBroken("It is no backup of homeserver, or was changed.") from error

    def _read(self, most_bytes: int) -> bytes:
        try:
            return self._file.readline(most_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BackupBroken(f"It is no backup of homeserver, or was cut or changed ({error}).") from error
        except OSError as error:  # said here: in the midst of a restore the database's own would pass for the file's
            raise _unreadable(self._file.name, error) from error


def _is_row(row: object, table: Contents) -> bool:
    return isinstance(row, list) and len(row) == len(table.columns)


def _head(value: Any) -> Head:
    try:
        if value["homeserver_backup"] != FORMAT:
            raise BackupBroken("It was made by a newer version of homeserver. Restore it with that one.")
        return Head(
            str(value["revision"]),
            int(value["made_ms"]),
            tuple(Contents(str(it["name"]), tuple(map(str, it["columns"])), int(it["rows"])) for it in value["tables"]),
            {str(table): int(last) for table, last in dict(value["numbers"]).items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BackupBroken("It is no backup of homeserver.") from error


@contextmanager
def opened(path: Path) -> Iterator[BackupReader]:
    """A backup, to be read once.

    Raises:
        BadSettings: There is no such file, or it cannot be read.
        BackupBroken: It is no backup.
    """
    try:
        file = gzip.open(path, "rb")  # noqa: SIM115 - what is done with it may fail in other ways
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        yield BackupReader(file)


def _unreadable(path: object, error: OSError) -> BadSettings:
    return BadSettings(f"{path} cannot be read: {error.strerror or error}.")
