"""Uploads as operators see them, on both engines: lists by group, once more, given up; and what stands in the log."""

from __future__ import annotations

import pytest

from homeserver.errors import BadInput, Conflict, DatabaseUnavailable, NotFound
from homeserver.model import Act, Action, StorageLeg
from homeserver.sandbox.faults import CannedReply, Fault
from homeserver.services.moderation import Moderation
from homeserver.services.upload_desk import UploadDesk
from homeserver.services.uploads import Uploads
from homeserver.storage import moderation
from homeserver.storage.database import Transaction
from tests.uploads.house import House, L, running

WHY = {"actor": "maria", "reason": "the storage is back"}
STEP_ONE = "GET /mesdonnees/PersonalContent/V1"


def desk_of(house: House, uploads: Uploads, tokens: dict[str, str]) -> UploadDesk:
    async def token_of(user: str) -> str | None:
        return tokens.get(user)

    return UploadDesk(house.database, uploads, token_of, house.clock.now_ms)


async def failed(house: House, uploads: Uploads, name: str) -> str:
    """The id of a file that the storage has failed three times."""
    house.service.faults.add(Fault(STEP_ONE, times=3, reply=CannedReply(500, b"no")))
    upload = await house.receive(uploads, name=name)
    await house.until(uploads, upload.id, L.FAILED)
    return upload.id


async def test_uploads_are_listed_by_group_newest_first_in_pages(house_on_both: House) -> None:
    house = house_on_both
    async with running(house.open()) as uploads:
        desk = desk_of(house, uploads, {})
        ids = []
        for number in range(3):
            house.clock.advance(ms=1)
            upload = await house.receive(uploads, name=f"{number}.bin")
            await house.until(uploads, upload.id, L.STORED)
            ids.append(upload.id)
        house.clock.advance(ms=1)
        lost = await failed(house, uploads, "lost.bin")
        first = await desk.listed(limit=2)
        assert [each.id for each in first.uploads] == [lost, ids[2]]
        second = await desk.listed(after=first.next, limit=2)
        assert ([each.id for each in second.uploads], second.next) == ([ids[1], ids[0]], None)
        found = await desk.listed(group="failed", user="marie")
        assert [each.id for each in found.uploads] == [lost]
        assert dict(found.counts) == {"moving": 0, "waiting": 0, "failed": 1}
        assert (await desk.listed(user="nobody")).uploads == ()
        with pytest.raises(BadInput):
            await desk.listed(group="others")
        for never in ("x", "1.\u00e9", "-1.a"):
            with pytest.raises(BadInput):
                await desk.listed(after=never)
        for too in (0, 201):
            with pytest.raises(BadInput):
                await desk.listed(limit=too)


async def test_a_failed_file_goes_on_at_once_where_its_owner_is_signed_in(house_on_both: House) -> None:
    house = house_on_both
    async with running(house.open()) as uploads:
        id_ = await failed(house, uploads, "lost.bin")
        desk = desk_of(house, uploads, {"marie": house.token()})
        act = await desk.retry(id_, **WHY)
        await house.until(uploads, id_, L.STORED)
        with pytest.raises(Conflict):
            await desk.retry(id_, **WHY)
        with pytest.raises(Conflict):
            await desk.cancel(id_, **WHY)
    (said,) = await Moderation(house.database, house.clock.now_ms).log()
    assert (said.id, said.action, said.actor, said.detail) == (act, Action.RETRY_UPLOAD, "maria", id_)


async def test_a_failed_file_waits_for_its_owner_where_they_are_not(house_on_both: House) -> None:
    house = house_on_both
    async with running(house.open()) as uploads:
        id_ = await failed(house, uploads, "lost.bin")
        desk = desk_of(house, uploads, {})
        await desk.retry(id_, **WHY)
        assert (await uploads.find(id_, "marie")).storage is L.NEEDS_SIGN_IN
        assert not await uploads.send_waiting("marie", house.token(), StorageLeg.NEEDS_SIGN_IN)
        await house.until(uploads, id_, L.STORED)


@pytest.mark.parametrize("is_signed_in", [True, False])
async def test_nothing_is_done_that_cannot_be_logged(
    house_on_both: House, monkeypatch: pytest.MonkeyPatch, *, is_signed_in: bool
) -> None:
    house = house_on_both

    async def lost(tx: Transaction, act: Act) -> int:
        raise DatabaseUnavailable("lost")

    async with running(house.open()) as uploads:
        id_ = await failed(house, uploads, "lost.bin")
        desk = desk_of(house, uploads, {"marie": house.token()} if is_signed_in else {})
        monkeypatch.setattr(moderation, "log", lost)
        for act in (desk.retry, desk.cancel):
            with pytest.raises(DatabaseUnavailable):
                await act(id_, **WHY)
            assert (await uploads.find(id_, "marie")).storage is L.FAILED


async def test_a_file_is_given_up_for_a_reason_only(house_on_both: House) -> None:
    house = house_on_both
    async with running(house.open()) as uploads:
        id_ = await failed(house, uploads, "lost.bin")
        desk = desk_of(house, uploads, {})
        with pytest.raises(BadInput):
            await desk.cancel(id_, actor="maria", reason=" ")
        with pytest.raises(NotFound):
            await desk.cancel("nothing", **WHY)
        assert (await uploads.find(id_, "marie")).storage is L.FAILED
        await desk.cancel(id_, **WHY)
        assert (await uploads.find(id_, "marie")).storage is L.CANCELLED
        assert house.files_kept() == []
