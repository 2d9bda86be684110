"""How much is kept here and how long: quotas, the disk, what waits too long, what a crash leaves behind."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from homeserver.errors import SpoolBroken, SpoolFull, TooMany
from homeserver.model import StorageLeg
from homeserver.services.limits import UPLOADS
from homeserver.services.uploads import Uploads
from homeserver.storage import uploads as rows
from tests.patience import until
from tests.uploads.house import CONTENT, NAME, House, L, pieces, running

T = TypeVar("T")


@pytest.fixture
async def house(house_on_both: House) -> House:
    return house_on_both


def _result(look: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    async def found() -> T:
        return look()

    return found


async def declare(house: House, uploads: Uploads, size: int, user: str = "marie") -> str:
    return (await uploads.declare(user, house.token(user), NAME, "", size)).id


async def test_a_users_files_together_take_so_much_declared_ones_in_full(house: House) -> None:
    house.user_bytes = 100_000
    uploads = house.open()
    first = await declare(house, uploads, 60_000)
    with pytest.raises(SpoolFull, match="your files"):
        await declare(house, uploads, 40_001)
    with pytest.raises(SpoolFull, match="your files"):
        await house.receive(uploads, content=b"x" * 40_001)
    await declare(house, uploads, 40_000, "paul")  # another's room is another's
    await declare(house, uploads, 40_000)
    await uploads.cancel(first, "marie")
    await house.receive(uploads, content=b"x" * 60_000)
    assert len(house.files_kept()) == 1  # nothing is left of what was refused


async def test_a_user_has_so_many_files_and_declares_so_many_in_ten_minutes(house: House) -> None:
    house.user_files = 2
    uploads = house.open()
    first, _ = await declare(house, uploads, 1), await declare(house, uploads, 1)
    with pytest.raises(SpoolFull, match="your files"):
        await declare(house, uploads, 1)
    await uploads.cancel(first, "marie")
    for _ in range(UPLOADS.allowed - 3):
        await uploads.cancel(await declare(house, uploads, 1), "marie")
    with pytest.raises(TooMany):
        await declare(house, uploads, 1)
    with pytest.raises(TooMany):
        await house.receive(uploads)
    house.clock.advance(minutes=10)
    await declare(house, uploads, 1)


async def test_all_files_together_take_so_much(house: House) -> None:
    house.quota_bytes = 100_000
    first, second = house.open(), house.open()
    results = await asyncio.gather(
        *(declare(house, uploads, 30_000, user) for user in ("marie", "paul") for uploads in (first, second)),
        return_exceptions=True,
    )
    assert [type(result) for result in results if not isinstance(result, str)] == [SpoolFull]
    assert list(house.folder.glob("*.sending")).__len__() == 3


async def test_what_must_stay_free_on_the_disk_is_not_promised(house: House) -> None:
    house.free_floor_bytes = shutil.disk_usage(house.folder).total
    with pytest.raises(SpoolFull, match="no room"):
        await declare(house, house.open(), 1)


async def test_what_waits_too_long_is_given_up_and_later_forgotten(house: House) -> None:
    uploads = house.open()
    begun = await declare(house, uploads, len(CONTENT))
    await uploads.receive_part(begun, "marie", 0, pieces(CONTENT[:100]))
    waiting = (await house.receive(uploads, "paul")).id
    assert uploads.expires_ms(await uploads.find(begun, "marie")) == house.clock.now_ms() + 72 * 3_600_000
    house.clock.advance(hours=72)
    async with running(uploads):
        await asyncio.sleep(0.15)
        assert sorted(house.files_kept()) == sorted([begun, waiting])
        house.clock.advance(ms=1)
        for id_, user in ((begun, "marie"), (waiting, "paul")):
            expired = await house.until(uploads, id_, L.EXPIRED, user=user)
            assert expired.portal_url is None
        await until(_result(house.files_kept), lambda kept: kept == [])
        with pytest.raises(SpoolBroken):
            await uploads.offset(begun, "marie")
        with pytest.raises(SpoolBroken):
            await uploads.receive_part(begun, "marie", 100, pieces(CONTENT[100:]))
        house.clock.advance(days=91)
        await until(lambda: uploads.history("marie"), lambda history: history == [])


@pytest.mark.parametrize("leg", [L.SENDING, L.CLOSING])
async def test_what_is_on_its_way_is_not_given_up(house: House, leg: StorageLeg) -> None:
    uploads = house.open()
    upload = await house.receive(uploads)
    await house.database.write(
        lambda tx: tx.execute("UPDATE uploads SET storage = $1 WHERE upload = $2", leg.value, upload.id)
    )
    house.clock.advance(days=30)
    await uploads._room.tidy()
    assert (await uploads.find(upload.id, "marie")).storage is leg
    assert house.files_kept() == [upload.id]
    assert not await house.database.write(lambda tx: rows.expire(tx, upload.id, 0))


async def test_leftovers_are_removed_and_what_is_needed_is_not(house: House) -> None:
    uploads = house.open()
    waiting = await house.receive(uploads, "paul")
    stored = await house.receive(uploads)
    await house.database.write(
        lambda tx: tx.execute("UPDATE uploads SET storage = 'stored' WHERE upload = $1", stored.id)
    )
    (house.folder / "leftover-of-a-crash").write_bytes(b"x")
    (house.folder / "leftover-of-a-claim.sending").write_bytes(b"")
    async with house.spool().appending("being-received-slowly") as appender:
        await appender.append(b"x")
        await appender.sync()
        for path in house.folder.iterdir():
            os.utime(path, (0, 0))
        (house.folder / "being-received-just-now").write_bytes(b"x")
        expected = sorted(["being-received-just-now", "being-received-slowly", waiting.id])
        async with running(house.open()) as next_one:
            await until(_result(house.files_kept), lambda kept: kept == expected)
            done = await house.receive(next_one)
            await house.until(next_one, done.id, L.STORED)
        assert house.files_kept() == expected
