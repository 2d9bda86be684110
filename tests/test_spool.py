"""The spool: what is kept, who may read it, and where it ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import Conflict, NotFound, SpoolBroken, SpoolFull, TooLarge
from homeserver.storage import disk
from homeserver.storage.spool import CHUNK_BYTES, Spool, new_id


@pytest.fixture
async def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool", quota_bytes=4_000_000, file_limit_bytes=3_000_000, free_floor_bytes=0)
    await made.prepare()
    return made


async def put(spool: Spool, *chunks: bytes, id_: str | None = None) -> str:
    name = new_id() if id_ is None else id_
    async with spool.appending(name) as appender:
        for chunk in chunks:
            await appender.append(chunk)
        await appender.sync()
    return name


async def get(spool: Spool, id_: str, size_bytes: int, offset_bytes: int = 0) -> bytes:
    return b"".join([chunk async for chunk in spool.chunks(id_, size_bytes=size_bytes, offset_bytes=offset_bytes)])


async def test_a_file_comes_back_as_it_was(spool: Spool) -> None:
    content = os.urandom(CHUNK_BYTES * 2 + 17)
    id_ = await put(spool, content[:1], content[1:70_000], content[70_000:])
    assert await spool.size_bytes(id_) == len(content)
    assert await get(spool, id_, len(content)) == content
    assert await get(spool, id_, len(content), offset_bytes=CHUNK_BYTES + 5) == content[CHUNK_BYTES + 5 :]
    assert [len(c) async for c in spool.chunks(id_, size_bytes=len(content))] == [CHUNK_BYTES, CHUNK_BYTES, 17]
    assert await spool.ids() == [id_]


async def test_a_file_goes_on_where_it_ended(spool: Spool) -> None:
    id_ = await put(spool, b"first ")
    async with spool.appending(id_) as appender:
        assert appender.size_bytes == 6
        await appender.append(b"second")
        assert await appender.sync() == 12
    assert await get(spool, id_, 12) == b"first second"


async def test_a_file_is_read_while_it_grows(spool: Spool) -> None:
    id_ = new_id()
    async with spool.appending(id_) as appender:
        await appender.append(b"abc")
        await appender.flush()
        assert (await spool.size_bytes(id_), appender.flushed_bytes) == (3, 3)
        assert await get(spool, id_, 3) == b"abc"


async def test_a_deleted_file_is_gone(spool: Spool) -> None:
    id_ = await put(spool, b"abc")
    await spool.delete(id_)
    await spool.delete(id_)
    assert await spool.size_bytes(id_) is None
    assert await spool.ids() == []
    with pytest.raises(SpoolBroken):
        await get(spool, id_, 3)


async def test_a_file_that_was_cut_is_said_to_be_broken(spool: Spool, tmp_path: Path) -> None:
    id_ = await put(spool, b"abcdef")
    os.truncate(tmp_path / "spool" / id_, 3)
    with pytest.raises(SpoolBroken):
        await get(spool, id_, 6)


async def test_nobody_else_may_read_it(spool: Spool, tmp_path: Path) -> None:
    id_ = await put(spool, b"abc")
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "spool" / id_).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "id_", ["", "short", "../../etc/passwd-and-more", "a/b" * 10, "é" * 20, "x" * 81, "a" * 20 + "\n"]
)
async def test_a_name_that_is_not_ours_touches_nothing(spool: Spool, id_: str) -> None:
    with pytest.raises(NotFound):
        await spool.size_bytes(id_)
    with pytest.raises(NotFound):
        await spool.delete(id_)
    with pytest.raises(NotFound):
        await put(spool, b"x", id_=id_)
    with pytest.raises(NotFound):
        await get(spool, id_, 1)


async def test_a_link_is_not_followed(spool: Spool, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"secret")
    id_ = new_id()
    (tmp_path / "spool" / id_).symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        await put(spool, b"x", id_=id_)
    with pytest.raises(OSError, match="symbolic"):
        await get(spool, id_, 6)
    assert target.read_bytes() == b"secret"


async def test_one_writer_at_a_time(spool: Spool, tmp_path: Path) -> None:
    id_ = new_id()
    other = Spool(tmp_path / "spool", quota_bytes=100, file_limit_bytes=100, free_floor_bytes=0)
    async with spool.appending(id_):
        for second in (spool, other):
            with pytest.raises(Conflict):
                await put(second, b"x", id_=id_)
    await put(other, b"x", id_=id_)


async def test_one_sender_at_a_time_beside_the_writer(spool: Spool) -> None:
    id_ = new_id("node1")
    assert id_.startswith("node1-")
    async with spool.appending(id_), spool.claimed(id_):
        with pytest.raises(Conflict):
            async with spool.claimed(id_):
                pass
    async with spool.claimed(id_):
        assert await spool.ids() == [id_]
    await spool.delete(id_)
    assert await spool.ids() == []
    async with spool.claimed(id_):
        pass
    assert await spool.ids() == [id_]  # a claim without a file is found, too


async def test_a_file_may_be_so_large(spool: Spool) -> None:
    id_ = await put(spool, b"x" * 3_000_000)
    async with spool.appending(id_) as appender:
        with pytest.raises(TooLarge) as caught:
            await appender.append(b"y")
    assert caught.value.limit_bytes == 3_000_000
    assert await spool.size_bytes(id_) == 3_000_000


async def test_all_together_may_be_so_large(spool: Spool) -> None:
    first = await put(spool, b"x" * 2_500_000)
    with pytest.raises(SpoolFull):
        await put(spool, b"y" * 2_500_000)
    await put(spool, b"y" * 1_500_000)
    with pytest.raises(SpoolFull):
        await put(spool, b"z")
    await spool.delete(first)
    await put(spool, b"z" * 2_000_000)


async def test_files_of_another_process_count(spool: Spool, tmp_path: Path) -> None:
    other = Spool(tmp_path / "spool", quota_bytes=3_000_000, file_limit_bytes=3_000_000, free_floor_bytes=0)
    await put(spool, b"x" * 2_900_000)
    with pytest.raises(SpoolFull):
        await put(other, b"y" * 200_000)


async def test_the_disk_keeps_room_for_others(tmp_path: Path) -> None:
    floor_bytes = shutil.disk_usage(tmp_path).total
    spool = Spool(tmp_path / "spool", quota_bytes=1 << 40, file_limit_bytes=100, free_floor_bytes=floor_bytes)
    await spool.prepare()
    with pytest.raises(SpoolFull):
        await put(spool, b"x")


async def test_a_full_disk_is_said_so(spool: Spool) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(SpoolFull):
            disk.write_all(full, [b"x"])
    finally:
        os.close(full)


async def test_a_cancelled_writer_waits_for_its_thread(spool: Spool) -> None:
    """Or the thread would write on under a descriptor number that belongs to another file by then."""
    started, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slow() -> str:
        started.set()
        go_on.wait(5)
        done.set()
        return "result"

    undone: list[str] = []
    task = asyncio.ensure_future(disk.in_thread(slow, undo=undone.append))
    await asyncio.to_thread(started.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()
    assert undone == ["result"]


@given(st.lists(st.binary(max_size=300_000), max_size=6), st.integers(0, 900_000))
async def test_any_pieces_from_any_offset(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], offset_bytes: int
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"), quota_bytes=1 << 30, file_limit_bytes=1 << 30, free_floor_bytes=0)
    whole = b"".join(pieces)
    id_ = await put(spool, *pieces)
    assert await get(spool, id_, len(whole), offset_bytes) == whole[offset_bytes:]
