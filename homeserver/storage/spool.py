"""Files on their way to the storage: one file for each upload, in a folder that belongs to this server alone.

A file grows by an `Appender` (one at a time, across processes), may be read while it grows, and is whole once `sync`
has returned: only then have its bytes reached the disk. Everything that touches the disk runs in a thread.

Several processes of one machine may share a folder. Each counts what it writes itself, and looks at the folder again
after every `RECOUNT_BYTES`, so all together may exceed a limit by that much each.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

from homeserver.errors import NotFound, SpoolBroken, SpoolFull, TooLarge
from homeserver.storage.disk import in_thread, open_to_append, read, read_at_once, to_the_end, write_all

CHUNK_BYTES: Final = 256 * 1024
"""How much is written or read in one step: what one `recv` of asyncio's gives at most, too."""

LINGER_S: Final = 0.002
"""How long bytes may wait for others to be written with; the first ones after a pause do not."""

WAITING_BYTES: Final = 1024 * 1024
"""How much of one file may wait in memory to be written, where few come in at once."""

ALL_WAITING_BYTES: Final = 8 * 1024 * 1024
"""How much of all files may, but `LEAST_WAITING_BYTES` of each."""

LEAST_WAITING_BYTES: Final = 32 * 1024

RECOUNT_BYTES: Final = 64 * 1024 * 1024

TICK_S: Final = 0.25
"""How long a follower waits for more before it gives its reader a word; it looks itself where nobody tells it."""

_LOOK_S: Final = 0.02
"""How often a follower looks at a file that another process writes."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,80}")
_CLAIM_SUFFIX: Final = ".sending"

T = TypeVar("T")


def new_id(node: str = "") -> str:
    """A name for a new file: url-safe, random (128 bits), after the machine's name where there are several."""
    return f"{node}-{secrets.token_urlsafe(16)}" if node else secrets.token_urlsafe(16)


@dataclass(frozen=True, slots=True)
class _Written:
    """What has just been written, and where."""

    offset_bytes: int
    pieces: Sequence[bytes] = ()


_UNKNOWN: Final = _Written(-1)
"""Something was, by whomever."""


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
        self._appending: set[str] = set()
        self._followers: dict[str, set[asyncio.Future[_Written | None]]] = {}

    @property
    def file_limit_bytes(self) -> int:
        """The largest file that is taken."""
        return self._file_limit_bytes

    @property
    def waiting_bytes(self) -> int:
        """How much of each file may wait in memory now."""
        share_bytes = ALL_WAITING_BYTES // max(1, len(self._appending))
        return max(LEAST_WAITING_BYTES, min(WAITING_BYTES, share_bytes))

    async def prepare(self) -> None:
        """Make the folder, readable by this user alone.

        Raises:
            OSError: It cannot be made or is somebody else's.
        """

        def make() -> None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)

        await in_thread(make)

    async def capacity_bytes(self) -> int:
        """What all files together may take as the disk is now: the quota, or less where others fill the disk."""

        def measure() -> int:
            used_bytes, free_bytes = self._measure()
            return min(self._quota_bytes, used_bytes + free_bytes)

        return await in_thread(measure)

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

        return await in_thread(look)

    async def size_bytes(self, id_: str) -> int | None:
        """How long a file is now; None if there is none."""
        path = self._path(id_)

        def look() -> int | None:
            try:
                return path.stat().st_size
            except FileNotFoundError:
                return None

        return await in_thread(look)

    @asynccontextmanager
    async def appending(self, id_: str, *, create: bool = True) -> AsyncIterator[Appender]:
        """Open a file for its one writer. What was not flushed at the end is lost.

        Args:
            create: Make the file where there is none.

        Raises:
            Locked: Somebody else writes to it.
            SpoolBroken: There is none, and none is to be made.
        """
        path = self._path(id_)
        try:
            descriptor, size_bytes = await in_thread(
                partial(open_to_append, path, create=create), undo=lambda opened: os.close(opened[0])
            )
        except FileNotFoundError:
            raise SpoolBroken("The file that was kept here is gone.") from None
        appender = Appender(self, id_, path, descriptor, size_bytes)
        self._appending.add(id_)
        try:
            yield appender
        finally:
            self._appending.discard(id_)
            self._tell(id_, _UNKNOWN)
            await to_the_end(appender.rest())
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
        descriptor, _ = await in_thread(
            partial(open_to_append, claim, create=True), undo=lambda opened: os.close(opened[0])
        )
        try:
            yield
        finally:
            os.close(descriptor)

    async def chunks(
        self, id_: str, *, size_bytes: int, offset_bytes: int = 0
    ) -> AsyncGenerator[bytes | bytearray, None]:
        """The bytes of a file from `offset_bytes` up to `size_bytes`, in pieces of `CHUNK_BYTES`.

        Raises:
            SpoolBroken: The file is gone, ends before `size_bytes`, or cannot be read.
        """
        async with aclosing(self.follow(id_, size_bytes=size_bytes, offset_bytes=offset_bytes)) as pieces:
            async for piece in pieces:
                if piece is None:
                    raise SpoolBroken("The file that was kept here is shorter than it was.")
                yield piece

    async def follow(
        self, id_: str, *, size_bytes: int, offset_bytes: int = 0
    ) -> AsyncGenerator[bytes | bytearray | None, None]:
        """The bytes of a file that may still grow up to `size_bytes`, as soon as they are there, whoever writes them.

        Gives None where the file ends for now: the first time at once, then each time that nothing came for `TICK_S`.
        What lies in memory is read on the event loop, by a call that never waits for the disk; the rest in a thread.

        Raises:
            SpoolBroken: The file is gone or cannot be read.
        """
        path = self._path(id_)
        try:
            descriptor = await in_thread(
                partial(os.open, path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), undo=os.close
            )
        except FileNotFoundError:
            raise SpoolBroken("The file that was kept here is gone.") from None
        try:
            is_waiting = False
            while offset_bytes < size_bytes:
                wanted = min(CHUNK_BYTES, self.waiting_bytes, size_bytes - offset_bytes)
                piece = read_at_once(descriptor, wanted, offset_bytes)
                if piece is None:
                    piece = await in_thread(partial(read, descriptor, wanted, offset_bytes))
                if piece:
                    is_waiting = False
                    offset_bytes += len(piece)
                    yield piece
                elif not is_waiting:
                    is_waiting = True
                    yield None
                elif (written := await self._grows(id_, descriptor, offset_bytes)) is None:
                    yield None
                elif written.offset_bytes == offset_bytes:  # as it is still in memory, it need not be read
                    is_waiting = False
                    for piece in written.pieces:
                        offset_bytes += len(piece)
                        yield piece
        finally:
            os.close(descriptor)

    async def _grows(self, id_: str, descriptor: int, offset_bytes: int) -> _Written | None:
        """What has been written behind that, as soon as it was; None where nothing is for `TICK_S`."""
        left_s = TICK_S
        while left_s > 0:
            pause_s = TICK_S if id_ in self._appending else _LOOK_S
            loop = asyncio.get_running_loop()
            told: asyncio.Future[_Written | None] = loop.create_future()
            followers = self._followers.setdefault(id_, set())
            followers.add(told)
            timer = loop.call_later(pause_s, _tell, told, None)  # a third of what asyncio.wait costs
            try:
                if os.fstat(descriptor).st_size > offset_bytes:
                    return _UNKNOWN
                if (written := await told) is not None:
                    return written
            finally:
                timer.cancel()
                followers.discard(told)
                if not followers and self._followers.get(id_) is followers:
                    del self._followers[id_]
            left_s -= pause_s
        return _UNKNOWN if os.fstat(descriptor).st_size > offset_bytes else None

    def _tell(self, id_: str, written: _Written) -> None:
        for told in self._followers.pop(id_, ()):
            _tell(told, written)

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

        self._room_bytes += await in_thread(remove)

    def _path(self, id_: str) -> Path:
        if not _ID.fullmatch(id_):
            raise NotFound("There is no such file.")
        return self._folder / id_

    async def _claim(self, bytes_: int) -> None:
        """Take room for bytes that are about to be written.

        Raises:
            SpoolFull: There is none.
        """
        if self._counted_bytes < RECOUNT_BYTES and self._room_bytes >= bytes_:
            self._room_bytes -= bytes_
            self._counted_bytes += bytes_
            return
        async with self._counting:
            if self._counted_bytes >= RECOUNT_BYTES or self._room_bytes < bytes_:
                self._room_bytes = await in_thread(self._measure_room)
                self._counted_bytes = 0
            if self._room_bytes < bytes_:
                raise SpoolFull("There is no room here for more files at the moment. Try again later.")
            self._room_bytes -= bytes_
            self._counted_bytes += bytes_

    def _measure_room(self) -> int:
        used_bytes, free_bytes = self._measure()
        return min(self._quota_bytes - used_bytes, free_bytes)

    def _measure(self) -> tuple[int, int]:
        """What the files take, and what may still be written on this disk."""
        used_bytes = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    used_bytes += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
        return used_bytes, shutil.disk_usage(self._folder).free - self._free_floor_bytes


class Appender:
    """The one writer of a file.

    A thread writes as soon as half of what may wait has come together, or `LINGER_S` after the last write: a slow line
    loses no time, and a quick one costs few switches between threads.

    Attributes:
        size_bytes: All that was given.
        flushed_bytes: What readers see.
    """

    def __init__(self, spool: Spool, id_: str, path: Path, descriptor: int, size_bytes: int) -> None:
        self._spool = spool
        self._id = id_
        self._path = path
        self._descriptor = descriptor
        self._waiting: list[bytes] = []
        self._writing: asyncio.Future[int] | None = None
        self._failure: BaseException | None = None
        self._named = False
        self._timer: asyncio.TimerHandle | None = None
        self._written_s = 0.0
        self._has_written = asyncio.Event()
        self.size_bytes = size_bytes
        self.flushed_bytes = size_bytes

    async def append(self, chunk: bytes) -> None:
        """Add bytes at the end.

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
        await self._spool._claim(len(chunk))  # noqa: SLF001 - the two are one module's two halves
        self._waiting.append(chunk)
        self.size_bytes += len(chunk)
        self._write_soon()
        while self.size_bytes - self.flushed_bytes > self._spool.waiting_bytes:
            await self._step()

    async def flush(self) -> Self:
        """Return when readers see all that was given."""
        self._write()
        while self.flushed_bytes < self.size_bytes:
            await self._step()
        return self

    async def sync(self) -> int:
        """Force what was given so far to the disk; how much of the file that is. Other bytes may be given meanwhile."""
        await self.flush()
        size_bytes = self.flushed_bytes
        is_new, self._named = not self._named, True

        def force() -> None:
            os.fdatasync(self._descriptor)
            if is_new:
                folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)  # the name too: a file without a name is no file after a power cut
                finally:
                    os.close(folder)

        await in_thread(force)
        return size_bytes

    async def cut(self, size_bytes: int) -> None:
        """Take away what stands behind `size_bytes`, and forget what went wrong."""
        await self.rest()
        self._waiting.clear()
        self._failure = None
        await in_thread(lambda: os.ftruncate(self._descriptor, size_bytes))
        self.size_bytes = self.flushed_bytes = size_bytes

    async def rest(self) -> None:
        """Return when no thread writes: then the descriptor may be closed. What waits is not written any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        while self._writing is not None:
            await self._written()

    def _write_soon(self) -> None:
        """Write now what is worth it, or comes alone; else soon."""
        loop = asyncio.get_running_loop()
        due_s = self._written_s + LINGER_S
        if self.size_bytes - self.flushed_bytes >= self._spool.waiting_bytes // 2 or loop.time() >= due_s:
            self._write()
        elif self._timer is None and self._writing is None:
            self._timer = loop.call_at(due_s, self._write)

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None and self._waiting and self._failure is None:
            pieces, self._waiting = self._waiting, []
            self._writing = asyncio.get_running_loop().run_in_executor(None, write_all, self._descriptor, pieces)
            self._writing.add_done_callback(partial(self._wrote, pieces))

    def _wrote(self, pieces: Sequence[bytes], writing: asyncio.Future[int]) -> None:
        self._writing = None
        self._has_written.set()
        if writing.cancelled():
            self._failure = asyncio.CancelledError()
        elif (failure := writing.exception()) is not None:
            self._failure = failure
        else:
            written = _Written(self.flushed_bytes, pieces)
            self.flushed_bytes += writing.result()
            self._written_s = asyncio.get_running_loop().time()
            self._spool._tell(self._id, written)  # noqa: SLF001
            if self._waiting:
                self._write_soon()

    async def _written(self) -> None:
        self._has_written.clear()
        await self._has_written.wait()

    async def _step(self) -> None:
        """Wait until something was written."""
        if self._failure is not None:
            raise self._failure
        if self._writing is not None:
            await self._written()
        elif self._waiting:
            self._write()
        elif self.flushed_bytes < self.size_bytes:
            raise SpoolBroken("Bytes were given up before they were written.")


def _tell(told: asyncio.Future[_Written | None], written: _Written | None) -> None:
    if not told.done():
        told.set_result(written)
