"""A file that is declared first and comes in parts: what step one says, offsets, one writer, what is kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from homeserver.errors import (
    BadInput,
    Conflict,
    Locked,
    NotFound,
    SpoolBroken,
    SpoolFull,
    Stopping,
    StorageRefused,
    TooLarge,
    WrongNode,
    WrongOffset,
)
from homeserver.model import BrowserLeg, StorageLeg, Upload
from homeserver.sandbox.mesdonnees_xml import STEP_ONE_DETAILS
from homeserver.services.uploads import Uploads
from homeserver.storage import spool as spool_module
from tests.patience import PATIENCE_S, until
from tests.uploads.house import CONTENT, NAME, SHA256, House, L, Line, on_disk, pieces, running


@pytest.fixture
async def house(house_on_both: House) -> House:
    return house_on_both


async def declare(house: House, uploads: Uploads, user: str = "marie", *, size: int = len(CONTENT)) -> Upload:
    return await uploads.declare(user, house.token(user), NAME, "image/jpeg", size)


async def test_a_file_in_parts_is_stored(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        assert (upload.browser, upload.storage, upload.received_bytes) == (BrowserLeg.DECLARED, L.WAITING, 0)
        assert await uploads.offset(upload.id, "marie") == 0
        assert await uploads.receive_part(upload.id, "marie", 0, pieces(CONTENT[:30_000])) == 30_000
        assert await uploads.offset(upload.id, "marie") == 30_000
        assert (await uploads.find(upload.id, "marie")).browser is BrowserLeg.RECEIVING
        end = await uploads.receive_part(upload.id, "marie", 30_000, pieces(CONTENT[30_000:]))
        assert end == len(CONTENT)
        stored = await house.until(uploads, upload.id, L.STORED)
        assert await uploads.offset(upload.id, "marie") == len(CONTENT)
        assert await uploads.receive_part(upload.id, "marie", end, pieces(b"")) == end  # said twice, taken once
    assert (stored.attempts, stored.received_bytes) == (1, len(CONTENT))
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]
    assert list(house.folder.iterdir()) == []


@pytest.mark.parametrize("code", ["MD327", "MD113", "MD803", "PA003", "PA004"])
async def test_what_the_storage_will_not_have_is_refused_before_a_byte_travels(house: House, code: str) -> None:
    house.service.storage.fail_next(code)
    uploads = house.open()
    with pytest.raises(StorageRefused) as refused:
        await declare(house, uploads)
    assert (refused.value.storage_code, refused.value.detail) == (code, STEP_ONE_DETAILS[code])
    [kept] = await uploads.history("marie")
    assert (kept.storage, kept.code, kept.browser) == (L.REFUSED, code, BrowserLeg.DECLARED)
    with pytest.raises(SpoolBroken):
        await uploads.offset(kept.id, "marie")
    with pytest.raises(SpoolBroken):
        await uploads.receive_part(kept.id, "marie", 0, pieces(CONTENT))
    with pytest.raises(Conflict):
        await uploads.send_again(kept.id, "marie", house.token())
    assert house.files_kept() == []
    assert await house.tokens_kept() == 0


@pytest.mark.parametrize(("user", "leg"), [("paul", L.NEEDS_ACTIVATION), ("chloe", L.NEEDS_CONSENT)])
async def test_without_activation_or_consent_the_bytes_are_taken_and_wait(
    house: House, user: str, leg: StorageLeg
) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads, user)
        assert upload.storage is leg
        assert upload.portal_url
        await uploads.receive_part(upload.id, user, 0, pieces(CONTENT[:30_000]))
        house.service.storage.activate(user)
        house.service.storage.users[user].consent = house.service.storage.users["marie"].consent
        again = await uploads.send_again(upload.id, user, house.token(user))  # while bytes still travel
        assert (again.storage, again.browser) == (L.WAITING, BrowserLeg.RECEIVING)
        await uploads.receive_part(upload.id, user, 30_000, pieces(CONTENT[30_000:]))
        await house.until(uploads, upload.id, L.STORED, user=user)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


async def test_a_part_begins_where_the_file_ends(house: House) -> None:
    uploads = house.open()
    upload = await declare(house, uploads)
    await uploads.receive_part(upload.id, "marie", 0, pieces(CONTENT[:100]))
    for offset in (0, 99, 101):
        with pytest.raises(WrongOffset) as wrong:
            await uploads.receive_part(upload.id, "marie", offset, pieces(b"x"))
        assert wrong.value.offset_bytes == 100
    with pytest.raises(TooLarge):
        await uploads.receive_part(upload.id, "marie", 100, pieces(CONTENT))
    await uploads.receive_part(upload.id, "marie", await uploads.offset(upload.id, "marie"), pieces(b""))


async def test_one_writer_at_a_time(house: House) -> None:
    first, second = house.open(), house.open()
    upload = await declare(house, first)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT[:100]
        begun.set()
        await go_on.wait()
        yield CONTENT[100:200]

    writing = asyncio.create_task(first.receive_part(upload.id, "marie", 0, slow()))
    await begun.wait()
    for uploads in (first, second):
        with pytest.raises(Locked):
            await uploads.receive_part(upload.id, "marie", 0, pieces(b"x"))
    go_on.set()
    assert await writing == 200
    assert await second.receive_part(upload.id, "marie", 200, pieces(CONTENT[200:300])) == 300


async def test_what_came_before_the_line_broke_is_kept(house: House) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT[:12_345]
        raise BadInput("the line", field="file")

    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        with pytest.raises(BadInput, match="the line"):
            await uploads.receive_part(upload.id, "marie", 0, broken())
        assert await uploads.offset(upload.id, "marie") == 12_345
        await uploads.receive_part(upload.id, "marie", 12_345, pieces(CONTENT[12_345:]))
        await house.until(uploads, upload.id, L.STORED)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


async def test_a_silent_line_ends_the_part_and_another_may_come(house: House) -> None:
    house.silence_s = 1.0
    uploads = house.open()
    upload = await declare(house, uploads)
    line = Line()
    line.put(CONTENT[:100])
    with pytest.raises(BadInput, match="silent"):
        await uploads.receive_part(upload.id, "marie", 0, line.chunks())
    assert await uploads.receive_part(upload.id, "marie", 100, pieces(CONTENT[100:200])) == 200


async def test_a_server_ends_while_a_part_is_ending_already(house: House) -> None:
    is_waiting, is_ending, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT[:100]
        is_waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            is_ending.set()
            await go_on.wait()

    uploads = house.open()
    upload = await declare(house, uploads)
    part = asyncio.ensure_future(uploads.receive_part(upload.id, "marie", 0, slow()))
    async with asyncio.timeout(PATIENCE_S):
        await is_waiting.wait()
        uploads.close()
        await is_ending.wait()
        uploads.close()
        go_on.set()
        with pytest.raises(Stopping):
            await part


async def test_a_full_disk_keeps_what_could_be_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a write that stopped half way nothing is kept: nobody knows how much of it is there."""
    uploads = house.open()
    upload = await declare(house, uploads)
    await uploads.receive_part(upload.id, "marie", 0, pieces(CONTENT[:10_000]))

    def half(descriptor: int, waiting: list[bytes]) -> int:
        os.write(descriptor, waiting[0][: len(waiting[0]) // 2])
        raise SpoolFull("The disk is full. Try again later.")

    with monkeypatch.context() as full:
        full.setattr(spool_module, "write_all", half)
        with pytest.raises(SpoolFull):
            await uploads.receive_part(upload.id, "marie", 10_000, pieces(CONTENT[10_000:]))
    assert await uploads.offset(upload.id, "marie") == 10_000
    async with running(uploads):
        await uploads.receive_part(upload.id, "marie", 10_000, pieces(CONTENT[10_000:]))
        await house.until(uploads, upload.id, L.STORED)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


async def test_what_is_taken_in_is_forced_to_the_disk_before_it_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []
    fdatasync = os.fdatasync

    def force(descriptor: int) -> None:
        forced.append(os.fstat(descriptor).st_size)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", force)
    uploads = house.open()
    upload = await declare(house, uploads)
    assert await uploads.receive_part(upload.id, "marie", 0, pieces(CONTENT[:10_000])) == 10_000
    assert forced[-1] == 10_000
    line = Line()
    part = asyncio.create_task(uploads.receive_part(upload.id, "marie", 10_000, line.chunks()))
    line.put(CONTENT[10_000:20_000])
    await until(lambda: on_disk(house, upload.id), lambda size: size == 20_000)
    assert await uploads.offset(upload.id, "marie") == 10_000
    house.clock.advance(s=1)
    line.put(CONTENT[20_000:20_001])
    assert await until(lambda: uploads.offset(upload.id, "marie"), lambda offset: offset > 10_000) == 20_001
    assert forced[-1] == 20_001
    line.end()
    assert await part == 20_001


async def test_a_file_that_is_gone_or_shorter_is_said_so(house: House) -> None:
    uploads = house.open()
    upload = await declare(house, uploads)
    await uploads.receive_part(upload.id, "marie", 0, pieces(CONTENT[:100]))
    (house.folder / upload.id).write_bytes(CONTENT[:99])
    with pytest.raises(SpoolBroken):
        await uploads.receive_part(upload.id, "marie", 100, pieces(CONTENT[100:]))


async def test_what_nobody_was_told_of_is_taken_away(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        await uploads.receive_part(upload.id, "marie", 0, pieces(CONTENT[:100]))
        with (house.folder / upload.id).open("ab") as file:
            file.write(b"left by a process that was killed")
        assert await uploads.offset(upload.id, "marie") == 100
        await uploads.receive_part(upload.id, "marie", 100, pieces(CONTENT[100:]))
        await house.until(uploads, upload.id, L.STORED)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


async def test_parts_are_their_owners_and_their_machines(house: House) -> None:
    left, right = house.open(node="left"), house.open(node="right")
    upload = await declare(house, left)
    for uploads, user, error in ((left, "paul", NotFound), (right, "paul", NotFound), (right, "marie", WrongNode)):
        with pytest.raises(error):
            await uploads.offset(upload.id, user)
        with pytest.raises(error):
            await uploads.receive_part(upload.id, user, 0, pieces(b"x"))


async def test_a_size_is_at_least_one_byte_and_at_most_the_limit(house: House) -> None:
    uploads = house.open()
    with pytest.raises(BadInput, match="empty"):
        await declare(house, uploads, size=0)
    with pytest.raises(TooLarge):
        await declare(house, uploads, size=house.file_limit_bytes + 1)
    assert house.service.storage.urls_issued == 0


async def test_a_refused_name_is_replaced_without_choosing_the_file_again(house: House) -> None:
    house.service.storage.fail_next("PA003")
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads, name="no*such?name")
        assert (upload.storage, upload.code) == (L.NEEDS_NAME, "PA003")
        with pytest.raises(BadInput):
            await uploads.rename_and_send(upload.id, "marie", house.token(), "a\nb")
        again = await uploads.rename_and_send(upload.id, "marie", house.token(), "another name.jpg")
        assert again.name == "another name.jpg"
        await house.until(uploads, upload.id, L.STORED)
    assert [(file.filename, file.sha256) for file in house.service.storage.received] == [("another name.jpg", SHA256)]
