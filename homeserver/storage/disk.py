"""Blocking work on files, away from the event loop."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from homeserver.errors import Locked, SpoolBroken, SpoolFull

_MOST_PIECES: Final = 1000
_NO_WAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

T = TypeVar("T")


def open_to_append(path: Path, *, create: bool) -> tuple[int, int]:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
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


def write_all(descriptor: int, pieces: list[bytes]) -> int:
    """Write all of it; how much that was."""
    size_bytes = sum(map(len, pieces))
    try:
        for first in range(0, len(pieces), _MOST_PIECES):
            some = pieces[first : first + _MOST_PIECES]
            written = os.writev(descriptor, some)
            left = memoryview(b"".join(some))[written:] if written < sum(map(len, some)) else memoryview(b"")
            while left:
                left = left[os.write(descriptor, left) :]
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise SpoolFull("The disk is full. Try again later.") from error
        raise
    return size_bytes


def read(descriptor: int, bytes_: int, offset_bytes: int) -> bytes:
    try:
        return os.pread(descriptor, bytes_, offset_bytes)
    except OSError as error:
        raise SpoolBroken("The file that was kept here cannot be read any more.") from error


def read_at_once(descriptor: int, bytes_: int, offset_bytes: int) -> bytes | bytearray | None:
    """What lies in memory already, without waiting for the disk; None where that cannot be told or nothing does."""
    if _NO_WAIT is None:
        return None
    piece = bytearray(bytes_)
    try:
        count = os.preadv(descriptor, [piece], offset_bytes, _NO_WAIT)
    except OSError:
        return None
    if count < bytes_:
        del piece[count:]
    return piece or None


async def in_thread(work: Callable[[], T], *, undo: Callable[[T], None] | None = None) -> T:
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


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await what must happen, cancelled or not; a cancellation takes effect afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
