"""The sender follows a file that still comes in: what is sent when, who is to blame, and what is never sent twice."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from homeserver.errors import BadInput
from homeserver.model import BrowserLeg, Upload
from homeserver.sandbox.faults import Fault
from homeserver.services.uploads import Uploads
from tests.patience import reached, until
from tests.uploads.house import LARGE, NAME, House, L, Line, on_disk, running

SHA256 = hashlib.sha256(LARGE).hexdigest()
HALF = len(LARGE) // 2


@pytest.fixture
async def house(house_on_both: House) -> House:
    return house_on_both


async def declare(house: House, uploads: Uploads, user: str = "marie", size: int = len(LARGE)) -> Upload:
    return await uploads.declare(user, house.token(user), NAME, "image/jpeg", size)


@asynccontextmanager
async def receiving(uploads: Uploads, id_: str, offset: int = 0, user: str = "marie") -> AsyncIterator[Line]:
    """A part under way; it is ended at the end, and what it raises is raised."""
    line = Line()
    part = asyncio.create_task(uploads.receive_part(id_, user, offset, line.chunks()))
    try:
        yield line
    finally:
        line.end()
        await part


async def sent(uploads: Uploads, id_: str, bytes_: int, user: str = "marie") -> Upload:
    """The upload as soon as the storage was given so much."""
    return await until(lambda: uploads.find(id_, user), lambda upload: upload.sent_bytes >= bytes_)


async def waits_for_more(uploads: Uploads, id_: str) -> bool:
    """Whether the sender has given all that is there."""
    return bool(uploads._sender._kit.spool._followers.get(id_))


async def test_bytes_go_out_while_others_still_come_in(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        async with receiving(uploads, upload.id) as line:
            line.put(LARGE[:1])
            seen = await sent(uploads, upload.id, 1)
            assert (seen.storage, seen.sent_bytes) == (L.SENDING, 1)
            line.put(LARGE[1:HALF])
            seen = await sent(uploads, upload.id, HALF)
            assert (seen.browser, seen.storage) == (BrowserLeg.DECLARED, L.SENDING)
            line.put(LARGE[HALF:])
        stored = await house.until(uploads, upload.id, L.STORED)
    assert (stored.attempts, house.service.storage.urls_issued) == (1, 1)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]
    assert list(house.folder.iterdir()) == []


async def test_a_part_that_ends_leaves_the_request_open_for_the_next(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        for start, end in ((0, HALF), (HALF, HALF + 7), (HALF + 7, len(LARGE))):
            async with receiving(uploads, upload.id, start) as line:
                line.put(LARGE[start:end])
        stored = await house.until(uploads, upload.id, L.STORED)
    assert (stored.attempts, house.service.storage.urls_issued) == (1, 1)


async def test_the_row_hears_by_the_second_how_far_both_legs_are(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        async with receiving(uploads, upload.id) as line:
            line.put(LARGE[:HALF])
            await sent(uploads, upload.id, HALF)
            house.clock.advance(s=1)
            line.put(LARGE[HALF : HALF + 1])
            other = house.open()
            seen = await until(
                lambda: other.find(upload.id, "marie"), lambda seen: seen.received_bytes > 0 and seen.sent_bytes > 0
            )
            assert (seen.browser, seen.received_bytes) == (BrowserLeg.RECEIVING, HALF + 1)
            line.put(LARGE[HALF + 1 :])
        await house.until(uploads, upload.id, L.STORED)


async def test_a_silent_browser_ends_the_request_and_nothing_is_counted(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        async with receiving(uploads, upload.id) as line:
            line.put(LARGE[:HALF])
            await sent(uploads, upload.id, HALF)
            await until(lambda: waits_for_more(uploads, upload.id))
            house.clock.advance(s=9)
            await asyncio.sleep(0.3)
            assert (await uploads.find(upload.id, "marie")).storage is L.SENDING
            house.clock.advance(s=1)
            waiting = await house.until(uploads, upload.id, L.WAITING)
            assert waiting.attempts == 1
            line.put(LARGE[HALF : HALF + 10])  # it comes back, but is not followed any more
            await until(lambda: on_disk(house, upload.id), lambda size: size == HALF + 10)
            assert (await uploads.find(upload.id, "marie")).storage is L.WAITING
            assert house.service.storage.urls_issued == 1
            line.put(LARGE[HALF + 10 :])
        stored = await house.until(uploads, upload.id, L.STORED)
    assert (stored.attempts, house.service.storage.urls_issued) == (1, 2)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


async def test_a_browser_too_slow_for_the_url_is_not_followed(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        async with receiving(uploads, upload.id) as line:
            line.put(LARGE[:1000])
            await sent(uploads, upload.id, 1000)
            house.clock.advance(s=5)  # 200 bytes a second: the file would take 16 hours
            line.put(LARGE[1000:1010])
            await house.until(uploads, upload.id, L.WAITING)
            line.put(LARGE[1010:])
        stored = await house.until(uploads, upload.id, L.STORED)
    assert (stored.attempts, house.service.storage.urls_issued) == (1, 2)


async def test_a_slow_browser_that_is_quick_enough_is_followed(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        async with receiving(uploads, upload.id) as line:
            for start in range(0, len(LARGE), 100_000):  # 20 kB a second: it ends within ten minutes, as the URL does
                line.put(LARGE[start : start + 100_000])
                await sent(uploads, upload.id, min(start + 100_000, len(LARGE)) - 1)
                house.clock.advance(s=4)
        stored = await house.until(uploads, upload.id, L.STORED)
    assert (stored.attempts, house.service.storage.urls_issued) == (1, 1)


async def test_a_broken_line_that_comes_back_in_time_goes_on_in_the_same_request(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        line = Line()
        part = asyncio.create_task(uploads.receive_part(upload.id, "marie", 0, line.chunks()))
        line.put(LARGE[:HALF])
        await sent(uploads, upload.id, HALF)
        line.cut()
        with pytest.raises(BadInput, match="the line"):
            await part
        assert await uploads.offset(upload.id, "marie") == HALF
        async with receiving(uploads, upload.id, HALF) as line:
            line.put(LARGE[HALF:])
        await house.until(uploads, upload.id, L.STORED)
    assert house.service.storage.urls_issued == 1
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


@pytest.mark.parametrize("after_bytes", [0, 100, 300_000])
async def test_the_storage_fails_while_bytes_come_in_and_the_browser_sends_none_twice(
    house: House, after_bytes: int
) -> None:
    house.service.storage.drop_next_upload_after(bytes_=after_bytes)
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        async with receiving(uploads, upload.id) as line:
            line.put(LARGE[:HALF])
            await until(lambda: uploads.find(upload.id, "marie"), lambda upload: upload.attempts == 2)
            await sent(uploads, upload.id, HALF)  # replayed from the spool, then followed again
            line.put(LARGE[HALF:])
        stored = await house.until(uploads, upload.id, L.STORED)
    assert (stored.attempts, house.service.storage.urls_issued) == (2, 2)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


async def test_three_failures_of_the_storage_are_the_end_but_the_rest_is_received_all_the_same(house: House) -> None:
    for _ in range(3):
        house.service.storage.drop_next_upload_after(bytes_=10)
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        async with receiving(uploads, upload.id) as line:
            line.put(LARGE[:HALF])
            failed = await house.until(uploads, upload.id, L.FAILED)
            assert failed.attempts == 3
            line.put(LARGE[HALF:])
        assert (await uploads.find(upload.id, "marie")).browser is BrowserLeg.RECEIVED
        await uploads.send_again(upload.id, "marie", house.token())
        await house.until(uploads, upload.id, L.STORED)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


async def test_failures_are_counted_across_processes(house: House) -> None:
    for _ in range(4):
        house.service.storage.fail_next_upload("Can not create content")
    first = house.open()
    async with running(first):
        upload = await house.receive(first, content=LARGE)
        await until(lambda: first.find(upload.id, "marie"), lambda upload: upload.attempts >= 2)
    async with running(house.open()) as second:
        failed = await house.until(second, upload.id, L.FAILED)
    assert failed.attempts == 3
    assert house.service.storage.urls_issued in {3, 4}  # an attempt that our own end cut short is not the storage's


async def test_a_cancelled_upload_stops_both_legs(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await declare(house, uploads)
        with suppress(Exception):
            async with receiving(uploads, upload.id) as line:
                line.put(LARGE[:HALF])
                await sent(uploads, upload.id, HALF)
                await house.open().cancel(upload.id, "marie")  # by another process
                house.clock.advance(s=1)
                line.put(LARGE[HALF:])
                await until(lambda: _idle(uploads), lambda idle: idle)
        assert (await uploads.find(upload.id, "marie")).storage is L.CANCELLED
    assert not house.service.storage.received
    assert house.files_kept() == []


async def _idle(uploads: Uploads) -> bool:
    return not uploads._sender._running


# --- several processes ----------------------------------------------------------------------------------------------


async def test_parts_alternate_between_two_processes_and_one_sends(house: House) -> None:
    first, second = house.open(), house.open()
    async with running(first), running(second):
        upload = await declare(house, first)
        step = len(LARGE) // 6 + 1
        for number, start in enumerate(range(0, len(LARGE), step)):
            async with receiving((first, second)[number % 2], upload.id, start) as line:
                line.put(LARGE[start : start + step])
                if not number:
                    await sent(first, upload.id, 1)
        stored = await house.until(first, upload.id, L.STORED)
    assert (stored.attempts, house.service.storage.urls_issued) == (1, 1)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


async def test_the_process_that_receives_takes_over_from_a_sender_that_stopped(house: House) -> None:
    first, second = house.open(), house.open()
    upload = await declare(house, first)
    async with running(second):
        async with running(first), receiving(first, upload.id) as line:
            line.put(LARGE[:HALF])
            await sent(first, upload.id, HALF)
        assert (await first.find(upload.id, "marie")).received_bytes == HALF
        async with receiving(second, upload.id, HALF) as line:
            line.put(LARGE[HALF:])
        stored = await house.until(second, upload.id, L.STORED)
    assert (stored.attempts, len(house.service.storage.received)) == (1, 1)


async def test_a_sender_that_is_ahead_of_a_file_that_was_cut_starts_over(house: House) -> None:
    """A process died with bytes that nobody was told of; the sender, in another one, had read them."""
    uploads = house.open()
    async with running(uploads):
        upload = await declare(house, uploads)
        async with receiving(uploads, upload.id) as line:
            line.put(LARGE[:HALF])
            await sent(uploads, upload.id, HALF)
        with (house.folder / upload.id).open("ab") as file:
            file.write(b"x" * 1000)  # as a process does before it is killed
        await sent(uploads, upload.id, HALF + 1000)
        async with receiving(uploads, upload.id, HALF) as line:
            line.put(LARGE[HALF:])
        stored = await house.until(uploads, upload.id, L.STORED)
    assert (stored.attempts, house.service.storage.urls_issued) == (1, 2)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


# --- turns ----------------------------------------------------------------------------------------------------------


async def test_one_users_files_take_turns_and_hold_nobody_else_up(house: House) -> None:
    async with running(house.open()) as uploads:
        holds = [house.service.faults.add(Fault("POST /mesdonnees/upload/*", hold=True)) for _ in range(3)]
        maries = [await house.receive(uploads, name=f"{n}.bin") for n in range(4)]
        await reached(*holds[:2])
        house.service.storage.activate("paul")
        pauls = await house.receive(uploads, "paul", name="pauls.bin")
        await reached(holds[2])
        await house.until(uploads, pauls.id, L.CLOSING, user="paul")
        legs = [(await uploads.find(upload.id, "marie")).storage for upload in maries]
        assert sorted(legs) == sorted([L.CLOSING, L.CLOSING, L.WAITING, L.WAITING])
        for hold in holds:
            hold.release.set()
        for upload in maries:
            await house.until(uploads, upload.id, L.STORED)
    assert len(house.service.storage.received) == 5


async def test_turns_are_counted_across_processes(house: House) -> None:
    house.user_sending = 1
    first, second = house.open(), house.open()
    async with running(first), running(second):
        hold = house.service.faults.add(Fault("POST /mesdonnees/upload/*", hold=True))
        one = await house.receive(first, name="one")
        await reached(hold)
        other = await house.receive(second, name="other")
        await asyncio.sleep(0.25)  # it looks again and again meanwhile
        assert (await second.find(other.id, "marie")).storage is L.WAITING
        hold.release.set()
        for upload in (one, other):
            await house.until(second, upload.id, L.STORED)
