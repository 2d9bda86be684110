"""Files on their way to the storage: one file for each upload, in a folder that belongs to this server alone.

A file grows by an `Appender` (one at a time, across processes), may be read while it grows, and is whole once `finish`
has returned: only then have its bytes reached the disk. Everything that touches the disk runs in a thread.

Several processes of one machine may share a folder. Each counts what it writes itself, and looks at the folder again
after every `RECOUNT_BYTES`, so all together may exceed a limit by that much each.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

from homeserver.errors import Locked, NotFound, SpoolBroken, SpoolFull, TooLarge

CHUNK_BYTES: Final = 256 * 1024
"""How much is written or read in one step: what one `recv` of asyncio's gives at most, too."""

RECOUNT_BYTES: Final = 64 * 1024 * 1024

_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,80}")
_CLAIM_SUFFIX: Final = ".sending"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

T = TypeVar("T")


def new_id(node: str = "") -> str:
    """A name for a new file: url-safe, random (128 bits), after the machine's name where there are several."""
    return f"{node}-{secrets.token_urlsafe(16)}" if node else secrets.token_urlsafe(16)


class Spool:
    """The folder, with its limits. Every `id` is one that `new_id` made; any other is `NotFound`."""

    def __init__(self, folder: Path, *, quota_bytes: int, file_limit_bytes: int, free_floor_bytes: int) -> None:
        """Name the folder; nothing happens on the disk before `prepare`.

        Args:
            quota_bytes: All files together.
            file_limit_bytes: One file.
            free_floor_bytes: What must stay free on the disk, for the database and everybody else.
        """
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._file_limit_bytes = file_limit_bytes
        self._free_floor_bytes = free_floor_bytes
        self._room_bytes = 0
        self._counted_bytes = RECOUNT_BYTES  # nothing is known yet: count before the first byte
        self._counting = asyncio.Lock()

    @property
    def file_limit_bytes(self) -> int:
        """The largest file that is taken."""
        return self._file_limit_bytes

    async def prepare(self) -> None:
        """Make the folder, readable by this user alone.

        Raises:
            OSError: It cannot be made or is somebody else's.
        """

        def make() -> None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)

        await _in_thread(make)

    async def ids(self, *, untouched_s: float = 0.0) -> list[str]:
        """The files in the folder to which nothing was written for `untouched_s`, claims left over included."""

        def look() -> list[str]:
            names: set[str] = set()
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    try:
                        touched_s = entry.stat(follow_symlinks=False).st_mtime
                    except FileNotFoundError:
                        continue
                    # Against the clock that stamps files, not one that a test moves.
                    if time.time() - touched_s >= untouched_s:
                        names.add(entry.name.removesuffix(_CLAIM_SUFFIX))
            return sorted(name for name in names if _ID.fullmatch(name))

        return await _in_thread(look)

    async def size_bytes(self, id_: str) -> int | None:
        """How long a file is now; None if there is none."""
        path = self._path(id_)

        def look() -> int | None:
            try:
                return path.stat().st_size
            except FileNotFoundError:
                return None

        return await _in_thread(look)

    @asynccontextmanager
    async def appending(self, id_: str) -> AsyncIterator[Appender]:
        """Open a file for its one writer, creating it when there is none. What was not flushed at the end is lost.

        Raises:
            Locked: Somebody else writes to it.
        """
        path = self._path(id_)
        descriptor, size_bytes = await _in_thread(
            partial(_open_to_append, path), undo=lambda opened: os.close(opened[0])
        )
        try:
            yield Appender(self, path, descriptor, size_bytes)
        finally:
            os.close(descriptor)  # also lets go of the lock

    @asynccontextmanager
    async def claimed(self, id_: str) -> AsyncIterator[None]:
        """Be the one sender of a file, across the processes of this machine; a dead process holds none.

        It stands beside the writer's own lock, because a file may be sent while it is still received.

        Raises:
            Locked: Somebody else sends it.
        """
        path = self._path(id_)
        claim = path.with_name(path.name + _CLAIM_SUFFIX)
        descriptor, _ = await _in_thread(partial(_open_to_append, claim), undo=lambda opened: os.close(opened[0]))
        try:
            yield
        finally:
            os.close(descriptor)

    async def chunks(self, id_: str, *, size_bytes: int, offset_bytes: int = 0) -> AsyncGenerator[bytes, None]:
        """The bytes of a file from `offset_bytes` up to `size_bytes`, in pieces of `CHUNK_BYTES`.

        Raises:
            SpoolBroken: The file is gone, ends before `size_bytes`, or cannot be read.
        """
        path = self._path(id_)
        try:
            descriptor = await _in_thread(
                partial(os.open, path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), undo=os.close
            )
        except FileNotFoundError:
            raise SpoolBroken("The file that was kept here is gone.") from None
        try:
            while offset_bytes < size_bytes:
                wanted = min(CHUNK_BYTES, size_bytes - offset_bytes)
                try:
                    chunk = await _in_thread(partial(os.pread, descriptor, wanted, offset_bytes))
                except OSError as error:
                    raise SpoolBroken("The file that was kept here cannot be read any more.") from error
                if not chunk:
                    raise SpoolBroken("The file that was kept here is shorter than it was.")
                yield chunk
                offset_bytes += len(chunk)
        finally:
            os.close(descriptor)

    async def delete(self, id_: str) -> None:
        """Remove a file; one that is gone already is no error."""
        path = self._path(id_)

        def remove() -> int:
            path.with_name(path.name + _CLAIM_SUFFIX).unlink(missing_ok=True)
            try:
                size_bytes = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
            return size_bytes

        self._room_bytes += await _in_thread(remove)

    def _path(self, id_: str) -> Path:
        if not _ID.fullmatch(id_):
            raise NotFound("There is no such file.")
        return self._folder / id_

    async def _claim(self, bytes_: int) -> None:
        """Take room for bytes that are about to be written.

        Raises:
            SpoolFull: There is none.
        """
        async with self._counting:
            if self._counted_bytes >= RECOUNT_BYTES or self._room_bytes < bytes_:
                self._room_bytes = await _in_thread(self._measure_room)
                self._counted_bytes = 0
            if self._room_bytes < bytes_:
                raise SpoolFull("There is no room here for more files at the moment. Try again later.")
            self._room_bytes -= bytes_
            self._counted_bytes += bytes_

    def _measure_room(self) -> int:
        used_bytes = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    used_bytes += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
        free_bytes = shutil.disk_usage(self._folder).free - self._free_floor_bytes
        return min(self._quota_bytes - used_bytes, free_bytes)


class Appender:
    """The one writer of a file. `size_bytes` counts all bytes given so far, `flushed_bytes` those that readers see."""

    def __init__(self, spool: Spool, path: Path, descriptor: int, size_bytes: int) -> None:
        self._spool = spool
        self._path = path
        self._descriptor = descriptor
        self._waiting: list[bytes] = []
        self.size_bytes = size_bytes
        self.flushed_bytes = size_bytes

    async def append(self, chunk: bytes) -> None:
        """Add bytes at the end; they are written when `CHUNK_BYTES` have come together.

        Raises:
            TooLarge: The file would be larger than one may be.
            SpoolFull: There is no room for it, in the quota or on the disk.
        """
        limit_bytes = self._spool.file_limit_bytes
        if self.size_bytes + len(chunk) > limit_bytes:
            raise TooLarge(
                f"The file is larger than the {limit_bytes} bytes that are taken here.",
                limit_bytes=limit_bytes,
                field="file",
            )
        self._waiting.append(chunk)
        self.size_bytes += len(chunk)
        if self.size_bytes - self.flushed_bytes >= CHUNK_BYTES:
            await self.flush()

    async def cut(self, size_bytes: int) -> None:
        """Take away what stands behind `size_bytes`."""
        self._waiting.clear()
        await _in_thread(lambda: os.ftruncate(self._descriptor, size_bytes))
        self.size_bytes = self.flushed_bytes = size_bytes

    async def flush(self) -> Self:
        """Write what waits, so that readers see it."""
        data = b"".join(self._waiting)
        self._waiting.clear()
        if data:
            await self._spool._claim(len(data))  # noqa: SLF001 - the two are one module's two halves
            await _in_thread(lambda: _write_all(self._descriptor, data))
            self.flushed_bytes += len(data)
        return self

    async def finish(self) -> int:
        """Write what waits and force everything to the disk; the size of the whole file, in bytes."""
        await self.flush()

        def force() -> None:
            os.fsync(self._descriptor)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)  # the name too: a file without a name is no file after a power cut
            finally:
                os.close(folder)

        await _in_thread(force)
        return self.size_bytes


def _open_to_append(path: Path) -> tuple[int, int]:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor, os.fstat(descriptor).st_size
    except BlockingIOError:
        os.close(descriptor)
        raise Locked("Somebody else is at work on this file.") from None
    except BaseException:
        os.close(descriptor)
        raise


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise SpoolFull("The disk is full. Try again later.") from error
        raise


async def _in_thread(work: Callable[[], T], *, undo: Callable[[T], None] | None = None) -> T:
    """Run blocking work in a thread; when cancelled, first wait until it is done, and undo it if that is needed.

    Otherwise a descriptor could be closed, and its number given to another file, while the thread still writes to it.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError:
                continue
        if not future.cancelled() and future.exception() is None and undo is not None:
            undo(future.result())
        raise
