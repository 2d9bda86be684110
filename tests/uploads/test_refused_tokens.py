"""A refused token: its user's matter while others succeed, ours when nobody does."""

from __future__ import annotations

import pytest

from homeserver.errors import StoragePaused, TokenRefused
from homeserver.sandbox.faults import CannedReply, Fault
from homeserver.services.step_one import EVIDENCE_MS, FIRST_PAUSE_MS
from tests.patience import until
from tests.uploads.house import CONTENT, NAME, House, L, pieces, running

STEP_ONE = "GET /mesdonnees/PersonalContent/V1"


@pytest.fixture
async def house(house_on_both: House) -> House:
    return house_on_both


def refuse(house: House, times: int | None = 1, status: int = 401) -> None:
    house.service.faults.add(Fault(STEP_ONE, times=times, reply=CannedReply(status, b"no")))


async def test_one_users_token_is_their_matter(house: House) -> None:
    uploads = house.open()
    house.service.storage.activate("paul")
    token, pauls = house.token(), house.token("paul")
    house.service.storage.expire_tokens("marie")
    for _ in range(2):  # of the same user as often as may be
        upload = await uploads.receive("marie", token, NAME, "", pieces(CONTENT))
        assert upload.storage is L.NEEDS_SIGN_IN
    assert house.forgotten == [("marie", token)] * 2
    assert (await house.receive(uploads, "paul")).storage is L.WAITING
    house.service.storage.expire_tokens("paul")
    later = await uploads.receive("paul", pauls, NAME, "", pieces(CONTENT))
    assert later.storage is L.NEEDS_SIGN_IN  # there was a success between
    assert await house.tokens_kept() == 1


async def test_one_new_sign_in_is_asked_for_and_then_the_storages_words_are_shown(house: House) -> None:
    uploads = house.open()
    refuse(house, 2)
    upload = await house.receive(uploads)
    assert upload.storage is L.NEEDS_SIGN_IN
    assert not await uploads.send_waiting("marie", house.token(), L.NEEDS_SIGN_IN)  # they have signed in: no more of it
    refused = await uploads.find(upload.id, "marie")
    assert (refused.storage, refused.code, refused.detail) == (L.FAILED, upload.code, upload.detail)
    assert refused.code
    # By the owner's own word it goes on all the same, and ends well.
    again = await uploads.send_again(upload.id, "marie", house.token())
    assert again.storage is L.WAITING


@pytest.mark.parametrize("status", [401, 403])
async def test_two_users_refused_with_no_success_between_pause_everybody(house: House, status: int) -> None:
    uploads = house.open()
    refuse(house, 2, status)
    assert (await house.receive(uploads)).storage is L.NEEDS_SIGN_IN
    second = await house.receive(uploads, "luc")
    assert (second.storage, second.code) == (L.WAITING, "storage_paused")
    assert await house.tokens_kept() == 1
    assert [user for user, _ in house.forgotten] == ["marie"]
    pause = await house.step_one().pause()
    assert pause is not None
    assert pause.detail == f"HTTP {status}"
    asked = house.service.storage.urls_issued
    third = await house.receive(uploads)  # nobody is asked for, nobody sent to sign in
    assert (third.storage, third.code) == (L.WAITING, "storage_paused")
    declared = await uploads.declare("marie", house.token(), NAME, "", len(CONTENT))
    assert declared.storage is L.WAITING
    await uploads.receive_part(declared.id, "marie", 0, pieces(CONTENT))
    assert house.service.storage.urls_issued == asked


async def test_after_a_pause_one_trial_decides_for_all(house: House) -> None:
    uploads = house.open()
    house.service.storage.users["luc"].used_bytes = 0
    refuse(house, 3)
    await house.receive(uploads)
    waiting = [await house.receive(uploads, "luc", name="a"), await house.receive(uploads, name="b")]
    house.clock.advance(ms=FIRST_PAUSE_MS)
    async with running(uploads):
        await house.until(uploads, waiting[1].id, L.WAITING)
        await until(house.pending_faults, lambda pending: pending == 0)
        assert [user for user, _ in house.forgotten] == ["marie"]  # a trial that fails sends nobody to sign in
        assert await house.step_one().pause() is not None
        house.clock.advance(ms=4 * FIRST_PAUSE_MS)
        await house.until(uploads, waiting[0].id, L.STORED, user="luc")
        await house.until(uploads, waiting[1].id, L.STORED)
    assert await house.step_one().pause() is None


async def test_refusals_far_apart_are_not_taken_together(house: House) -> None:
    uploads = house.open()
    refuse(house, 2)
    await house.receive(uploads)
    house.clock.advance(ms=EVIDENCE_MS + 1)
    assert (await house.receive(uploads, "luc")).storage is L.NEEDS_SIGN_IN


async def test_a_business_answer_is_a_success(house: House) -> None:
    step_one = house.step_one()
    refuse(house)
    with pytest.raises(TokenRefused):
        await step_one.ask("marie", house.token(), NAME, 1)
    with pytest.raises(Exception, match="MD804"):
        await step_one.ask("paul", house.token("paul"), NAME, 1)
    refuse(house)
    with pytest.raises(TokenRefused):
        await step_one.ask("luc", house.token("luc"), NAME, 1)
    refuse(house)
    with pytest.raises(StoragePaused):
        await step_one.ask("marie", house.token(), NAME, 1)


async def test_signing_out_takes_the_tokens_of_what_waits(house: House) -> None:
    uploads = house.open()
    house.service.storage.activate("paul")
    mine, other = await house.receive(uploads), await house.receive(uploads, "paul")
    await uploads.sign_out("marie")
    assert (await uploads.find(mine.id, "marie")).storage is L.NEEDS_SIGN_IN
    assert (await uploads.find(other.id, "paul")).storage is L.WAITING
    assert await house.tokens_kept() == 1
    async with running(uploads):
        await uploads.send_waiting("marie", house.token(), L.NEEDS_SIGN_IN)
        await house.until(uploads, mine.id, L.STORED)
