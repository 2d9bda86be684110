"""Uploads, from a browser's bytes to the storage stand-in over HTTP: documented errors, cut lines, dead processes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from homeserver.errors import BadInput, Conflict, NotFound, SpoolBroken, SpoolFull, TooLarge
from homeserver.model import StorageLeg, Upload
from homeserver.sandbox.faults import CannedReply, Fault
from homeserver.sandbox.mesdonnees_space import Consent
from homeserver.sandbox.mesdonnees_xml import STEP_ONE_DETAILS, UPLOAD_MESSAGES
from homeserver.services.upload_verdicts import PortalRule
from homeserver.services.uploads import Uploads
from homeserver.storage import uploads as rows
from tests.patience import reached, until
from tests.uploads.house import CONTENT, FALLBACK, LARGE, NAME, SHA256, House, L, pieces, running

# --- the straight way -----------------------------------------------------------------------------------------------


async def test_a_file_is_stored_and_nothing_of_it_is_kept(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads)
        assert upload.storage in {L.WAITING, L.SENDING, L.CLOSING, L.STORED}
        assert (upload.size_bytes, upload.name, upload.media_type) == (len(CONTENT), NAME, "image/jpeg")
        stored = await house.until(uploads, upload.id, L.STORED)
    arrived = house.service.storage.files[NAME]
    assert (arrived.sha256, arrived.media_type) == (SHA256, "image/jpeg")
    assert (stored.content_id, stored.folder_id) == (arrived.content_id, "3449")
    assert (stored.attempts, stored.sent_bytes, stored.code) == (1, len(CONTENT), None)
    assert house.service.storage.urls_issued == 1
    assert house.files_kept() == []
    assert list(house.folder.iterdir()) == []
    assert await house.tokens_kept() == 0
    assert await uploads.history("marie") == [stored]


async def test_many_files_at_once_each_arrive_once(house: House) -> None:
    async with running(house.open()) as uploads:
        received = await asyncio.gather(*(house.receive(uploads, name=f"{n}.bin") for n in range(8)))
        for upload in received:
            await house.until(uploads, upload.id, L.STORED)
    assert sorted(file.name for file in house.service.storage.received) == [f"{n}.bin" for n in range(8)]
    assert {file.sha256 for file in house.service.storage.received} == {SHA256}


@pytest.mark.parametrize("name", ["", "a\r\nb", "x" * 256])
async def test_a_name_that_cannot_be_sent_is_refused_before_a_byte_is_taken(house: House, name: str) -> None:
    chunks = pieces(CONTENT)
    with pytest.raises(BadInput):
        await house.open().receive("marie", house.token(), name, "", chunks)
    assert await anext(chunks) == CONTENT[:20_000]


async def test_what_cannot_be_received_leaves_nothing(house: House) -> None:
    house.file_limit_bytes = len(CONTENT) - 1
    uploads = house.open()
    with pytest.raises(BadInput, match="empty"):
        await house.receive(uploads, content=b"")
    with pytest.raises(TooLarge):
        await house.receive(uploads)
    house.quota_bytes = 10
    with pytest.raises(SpoolFull):
        await house.receive(house.open(), content=b"x" * 11)

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 20_000
        raise BadInput("the line", field="file")

    with pytest.raises(BadInput, match="the line"):
        await uploads.receive("marie", house.token(), NAME, "", broken())
    assert house.files_kept() == []
    assert await uploads.history("marie") == []
    assert house.service.storage.urls_issued == 0


async def test_uploads_are_their_owners(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads, "paul")
        with pytest.raises(NotFound):
            await uploads.find(upload.id, "marie")
        with pytest.raises(NotFound):
            await uploads.find("nothing", "marie")
        with pytest.raises(NotFound):
            await uploads.send_again(upload.id, "marie", house.token())
        with pytest.raises(NotFound):
            await uploads.cancel(upload.id, "marie")
        assert await uploads.history("marie") == []
        assert (await uploads.find(upload.id, "paul")).storage is L.NEEDS_ACTIVATION


# --- step one says no -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "leg", "kept"),
    [
        ("PA003", L.NEEDS_NAME, True),
        ("PA004", L.REFUSED, False),
        ("MD113", L.REFUSED, False),
        ("MD803", L.REFUSED, False),
        ("MD327", L.OUT_OF_SPACE, True),
        ("MD804", L.NEEDS_ACTIVATION, True),
        ("-3", L.NEEDS_CONSENT, True),
        ("-4", L.NEEDS_SIGN_IN, True),
    ],
)
async def test_a_final_error_of_step_one_is_known_at_once(house: House, code: str, leg: StorageLeg, kept: bool) -> None:
    house.service.storage.fail_next(code, None if code in STEP_ONE_DETAILS else "InvalidToken")
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads)
        assert (upload.storage, upload.code) == (leg, code)
        assert upload.detail == STEP_ONE_DETAILS.get(code, "InvalidToken")
        assert upload.attempts == 1
        assert house.files_kept() == ([upload.id] if kept else [])
        assert await house.tokens_kept() == 0
        if kept:
            await uploads.send_again(upload.id, "marie", house.token())
            assert (await house.until(uploads, upload.id, L.STORED)).attempts == 2
            assert house.service.storage.files[NAME].sha256 == SHA256
        else:
            with pytest.raises(Conflict):
                await uploads.send_again(upload.id, "marie", house.token())


@pytest.mark.parametrize(("code", "failures", "leg"), [("PA900", 2, L.STORED), ("PA900", 3, L.FAILED)])
async def test_pa900_is_tried_again_twice(house: House, code: str, failures: int, leg: StorageLeg) -> None:
    house.service.storage.fail_next(code, times=failures)
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads)
        ended = await house.until(uploads, upload.id, L.STORED, L.FAILED)
    assert (ended.storage, ended.attempts) == (leg, 3)
    assert ended.code == (None if leg is L.STORED else "PA900")
    assert house.waits_s == [1.0, 3.0]


@pytest.mark.parametrize(("failures", "leg"), [(1, L.STORED), (2, L.FAILED)])
async def test_an_unknown_code_is_tried_again_once(house: House, failures: int, leg: StorageLeg) -> None:
    house.service.storage.fail_next("MD999", "Lune", times=failures)
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads)
        ended = await house.until(uploads, upload.id, L.STORED, L.FAILED)
    assert (ended.storage, ended.attempts) == (leg, 2)
    assert (ended.code, ended.detail) == ((None, None) if leg is L.STORED else ("MD999", "Lune"))


async def test_a_5xx_without_the_services_xml_is_tried_again_and_retry_after_is_heard(house: House) -> None:
    fault = Fault("GET /mesdonnees/PersonalContent/V1", reply=CannedReply(503, b"<html>", {"Retry-After": "20"}))
    house.service.faults.add(fault)
    house.service.faults.add(Fault("GET /mesdonnees/PersonalContent/V1", drop=True, times=2))  # one is aiohttp's own
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads)
        ended = await house.until(uploads, upload.id, L.STORED, L.FAILED)
    assert ended.storage is L.STORED
    assert house.waits_s[0] == 20.0


async def test_activation_at_the_portal_then_send_now(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads, "paul")
        assert upload.portal_url == f"{house.storage_url}/mesdonnees/portal?user=paul"
        again = await uploads.send_again(upload.id, "paul", house.token("paul"))
        assert again.storage is L.NEEDS_ACTIVATION  # not activated yet: told again, no loop
        house.service.storage.activate("paul")
        again = await uploads.send_again(upload.id, "paul", house.token("paul"))
        assert again.portal_url is None
        stored = await house.until(uploads, upload.id, L.STORED, user="paul")
        assert (stored.code, stored.portal_url) == (None, None)
    assert house.service.storage.files[NAME].sha256 == SHA256


async def test_consent_then_send_now(house: House) -> None:
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads, "chloe")
        assert upload.storage is L.NEEDS_CONSENT
        assert (upload.portal_url or "").startswith(f"{house.storage_url}/mesdonnees/consent?family=content&")
        house.service.storage.consent("chloe", Consent.ALWAYS)
        await uploads.send_again(upload.id, "chloe", house.token("chloe"))
        await house.until(uploads, upload.id, L.STORED, user="chloe")


@pytest.mark.parametrize(
    ("portal", "expected"),
    [
        (PortalRule((), FALLBACK), FALLBACK),
        (PortalRule((), None), None),
        (PortalRule(("elsewhere.example",), None), None),
        (PortalRule((), None, http_loopback=True), "http://127.0.0.1"),
    ],
)
async def test_a_portal_that_is_not_allowed_is_replaced(house: House, portal: PortalRule, expected: str | None) -> None:
    house.portal = portal
    upload = await house.receive(house.open(), "paul")
    assert upload.storage is L.NEEDS_ACTIVATION
    assert (upload.portal_url is None) is (expected is None)
    assert (upload.portal_url or "").startswith(expected or "")


async def test_a_portal_on_an_allowed_host(house: House) -> None:
    house.portal = PortalRule((".orange.fr",), FALLBACK)
    body = b"<r><error><code>MD804</code><detail/></error><url> https://%s/a?b=1&amp;c </url></r>"
    for host, expected in ((b"mesdonnees.orange.fr", "https://mesdonnees.orange.fr/a?b=1&c"), (b"orange.fr", FALLBACK)):
        reply = CannedReply(500, body % host)
        house.service.faults.add(Fault("GET /mesdonnees/PersonalContent/V1", reply=reply))
        assert (await house.receive(house.open())).portal_url == expected


async def test_no_room_points_to_the_operators_portal(house: House) -> None:
    upload = await house.receive(house.open(), "luc")
    assert (upload.storage, upload.portal_url) == (L.OUT_OF_SPACE, FALLBACK)


async def test_a_token_that_ends_while_the_file_waits(house: House) -> None:
    uploads = house.open()
    upload = await house.receive(uploads)
    house.clock.advance(minutes=1)  # the URL is too old to be used, so step one comes again
    house.service.storage.expire_tokens("marie")
    async with running(uploads):
        settled = await house.until(uploads, upload.id, L.NEEDS_SIGN_IN)
        assert settled.attempts == 1
        await uploads.send_again(upload.id, "marie", house.token())
        await house.until(uploads, upload.id, L.STORED)


async def test_an_upload_url_that_lay_about_is_not_used(house: House) -> None:
    uploads = house.open()
    upload = await house.receive(uploads)
    house.clock.advance(s=11)
    async with running(uploads):
        stored = await house.until(uploads, upload.id, L.STORED)
    assert (stored.attempts, house.service.storage.urls_issued) == (1, 2)


# --- step two fails -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", UPLOAD_MESSAGES)
async def test_every_documented_message_of_step_two(house: House, message: str) -> None:
    retries = {"upload.method": 0, "upload.preprocess": 0, "upload.postprocess": 0, "upload.parameter": 1}
    house.service.storage.fail_next_upload(message, inner="x", times=3)
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads)
        ended = await house.until(uploads, upload.id, L.STORED, L.FAILED)
        assert ended.storage is L.FAILED
        assert ended.detail == message.format(inner="x", where="request")
        assert ended.attempts == 1 + retries.get(ended.code or "", 2)
        assert house.service.storage.urls_issued == ended.attempts  # a URL is good for one attempt
        house.service.faults.clear()
        await uploads.send_again(upload.id, "marie", house.token())
        assert (await house.until(uploads, upload.id, L.STORED)).code is None
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


@pytest.mark.parametrize("after_bytes", [0, 100, 200_000, 3_000_000])
async def test_a_line_cut_in_the_middle_is_sent_again_on_a_new_url(house: House, after_bytes: int) -> None:
    house.service.storage.drop_next_upload_after(bytes_=after_bytes)
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads, content=LARGE)
        stored = await house.until(uploads, upload.id, L.STORED, L.FAILED, L.UNKNOWN)
    assert (stored.storage, stored.attempts) == (L.STORED, 2)
    assert house.service.storage.urls_issued == 2
    assert [file.sha256 for file in house.service.storage.received] == [hashlib.sha256(LARGE).hexdigest()]


async def test_a_url_that_expired_is_asked_for_again(house: House) -> None:
    house.service.storage.expire_next_upload_url()
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads)
        stored = await house.until(uploads, upload.id, L.STORED, L.FAILED)
    assert (stored.storage, stored.attempts) == (L.STORED, 2)


async def test_three_cut_lines_are_enough(house: House) -> None:
    for _ in range(3):
        house.service.storage.drop_next_upload_after(bytes_=1_000_000)
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads, content=LARGE)
        failed = await house.until(uploads, upload.id, L.STORED, L.FAILED)
    assert (failed.storage, failed.code, failed.attempts) == (L.FAILED, "remote_unavailable", 3)
    assert house.files_kept() == [upload.id]
    assert await house.tokens_kept() == 0
    assert not house.service.storage.received


@pytest.mark.parametrize("answer", [None, CannedReply(502, b"<html>Bad Gateway"), CannedReply(200, b"")])
async def test_a_lost_answer_is_never_repeated_silently(house: House, answer: CannedReply | None) -> None:
    if answer is None:
        house.service.storage.lose_next_upload_answer()
    else:
        house.service.faults.add(Fault("POST /mesdonnees/upload/*", reply_after=answer))
    async with running(house.open()) as uploads:
        upload = await house.receive(uploads)
        unknown = await house.until(uploads, upload.id, L.STORED, L.FAILED, L.UNKNOWN)
        assert (unknown.storage, unknown.code, unknown.attempts) == (L.UNKNOWN, "upload_uncertain", 1)
        assert len(house.service.storage.received) == 1
        assert house.files_kept() == [upload.id]
        await uploads.send_again(upload.id, "marie", house.token())  # by the user's word, and only so
        await house.until(uploads, upload.id, L.STORED)
    assert len(house.service.storage.received) == 2


# --- progress and cancelling ----------------------------------------------------------------------------------------


async def sending(house: House, uploads: Uploads) -> tuple[Upload, asyncio.Event]:
    """An upload whose bytes stand before the storage; the event lets them in."""
    hold = house.service.faults.add(Fault("POST /mesdonnees/upload/*", hold=True))
    upload = await house.receive(uploads, content=LARGE)
    await reached(hold)
    return upload, hold.release


async def test_progress_is_seen_at_once_and_written_down_by_the_second(house: House) -> None:
    async with running(house.open()) as uploads:
        hold = house.service.faults.add(Fault("POST /mesdonnees/upload/*", hold=True))
        upload = await house.receive(uploads, content=LARGE)
        await reached(hold)
        seen = await until(lambda: uploads.find(upload.id, "marie"), lambda upload: upload.sent_bytes > 0)
        assert seen.sent_bytes < len(LARGE)
        assert (await house.open().find(upload.id, "marie")).sent_bytes == 0
        house.clock.advance(s=1)
        hold.release.set()
        stored = await house.until(uploads, upload.id, L.STORED)
        assert stored.sent_bytes == len(LARGE)


async def test_cancelling_while_it_is_sent(house: House) -> None:
    async with running(house.open()) as uploads:
        upload, let_in = await sending(house, uploads)
        cancelled = await uploads.cancel(upload.id, "marie")
        assert cancelled.storage is L.CANCELLED
        let_in.set()
        with pytest.raises(Conflict):
            await uploads.cancel(upload.id, "marie")
        with pytest.raises(Conflict):
            await uploads.send_again(upload.id, "marie", house.token())
    assert not house.service.storage.received
    assert list(house.folder.iterdir()) == []
    assert await house.tokens_kept() == 0


async def test_cancelling_in_another_process_stops_the_sender_before_the_end(house: House) -> None:
    async with running(house.open()) as uploads:
        upload, let_in = await sending(house, uploads)
        tasks = list(uploads._sender._running.values())
        await house.open().cancel(upload.id, "marie")
        let_in.set()
        await asyncio.wait(tasks)
    assert (await uploads.find(upload.id, "marie")).storage is L.CANCELLED
    assert not house.service.storage.received


async def test_cancelling_before_and_after(house: House) -> None:
    uploads = house.open()
    waiting = await house.receive(uploads)
    failed = await house.receive(uploads, "paul")
    assert (await uploads.cancel(waiting.id, "marie")).storage is L.CANCELLED
    assert (await uploads.cancel(failed.id, "paul")).storage is L.CANCELLED
    assert house.files_kept() == []
    async with running(uploads):
        done = await house.receive(uploads, name="other")
        await house.until(uploads, done.id, L.STORED)
        with pytest.raises(Conflict):
            await uploads.cancel(done.id, "marie")
    assert [file.name for file in house.service.storage.received] == ["other"]
    assert list(house.folder.iterdir()) == []


async def test_what_is_out_whole_cannot_be_cancelled(house: House) -> None:
    async with running(house.open()) as uploads:
        upload, hold = await closing(house, uploads)
        with pytest.raises(Conflict):
            await uploads.cancel(upload.id, "marie")
        hold.set()
        await house.until(uploads, upload.id, L.STORED)


async def closing(house: House, uploads: Uploads) -> tuple[Upload, asyncio.Event]:
    """An upload that is out whole, unanswered; the event lets the answer come."""
    hold = house.service.faults.add(Fault("POST /mesdonnees/upload/*", hold=True))
    upload = await house.receive(uploads, content=b"small enough for every buffer on the way")
    await reached(hold)
    return await house.until(uploads, upload.id, L.CLOSING), hold.release


# --- the process ends -----------------------------------------------------------------------------------------------


async def test_a_stopped_sender_is_followed_by_the_next_one(house: House) -> None:
    first = house.open()
    async with running(first):
        upload, let_in = await sending(house, first)
    assert (await first.find(upload.id, "marie")).storage is L.WAITING
    let_in.set()
    async with running(house.open()) as second:
        stored = await house.until(second, upload.id, L.STORED)
    assert stored.attempts == 1  # the storage did not fail
    assert [file.size_bytes for file in house.service.storage.received] == [len(LARGE)]


async def test_a_stopping_process_waits_for_the_last_answer(house: House) -> None:
    uploads = house.open()
    job = asyncio.create_task(uploads.run())
    upload, let_in = await closing(house, uploads)
    job.cancel()
    await asyncio.sleep(0)
    let_in.set()
    await asyncio.wait({job})
    assert (await uploads.find(upload.id, "marie")).storage is L.STORED


@pytest.mark.parametrize(
    ("leg", "ended"), [(L.ASKING, L.STORED), (L.WAITING, L.STORED), (L.SENDING, L.STORED), (L.CLOSING, L.UNKNOWN)]
)
async def test_what_a_dead_process_left(house: House, leg: StorageLeg, ended: StorageLeg) -> None:
    upload = await house.receive(house.open())
    await house.database.write(
        lambda tx: tx.execute("UPDATE uploads SET storage = $1, attempts = 3 WHERE upload = $2", leg.value, upload.id)
    )
    async with running(house.open()) as uploads:
        assert (await house.until(uploads, upload.id, L.STORED, L.UNKNOWN, L.FAILED)).storage is ended
        if ended is L.UNKNOWN:
            assert not house.service.storage.received
            await uploads.send_again(upload.id, "marie", house.token())
            await house.until(uploads, upload.id, L.STORED)
    assert [file.sha256 for file in house.service.storage.received] == [SHA256]


async def test_two_processes_never_send_the_same_file(house: House) -> None:
    first = house.open()
    async with running(first):
        upload, let_in = await closing(house, first)
        async with running(house.open()) as second:
            other = await house.receive(second, name="other")
            await house.until(second, other.id, L.STORED)  # its start has been through all that it found
            assert (await second.find(upload.id, "marie")).storage is L.CLOSING
        let_in.set()
        await house.until(first, upload.id, L.STORED)
    assert sorted(file.name for file in house.service.storage.received) == [NAME, "other"]


async def test_another_machines_uploads_are_left_alone(house: House) -> None:
    upload = await house.receive(house.open(node="left"))
    async with running(house.open(node="right")) as uploads:
        other = await house.receive(uploads)
        await house.until(uploads, other.id, L.STORED)
        assert (await uploads.find(upload.id, "marie")).storage is L.WAITING


async def test_a_file_that_is_gone_is_said_so(house: House) -> None:
    uploads = house.open()
    upload = await house.receive(uploads)
    (house.folder / upload.id).unlink()
    async with running(uploads):
        failed = await house.until(uploads, upload.id, L.FAILED)
        assert failed.code == "spool_broken"
        with pytest.raises(SpoolBroken):
            await uploads.send_again(upload.id, "marie", house.token())
    assert house.service.storage.urls_issued == 1


async def test_a_secret_key_that_was_replaced_asks_for_a_new_sign_in(house: House) -> None:
    upload = await house.receive(house.open())
    async with running(house.open(key=b"n" * 32)) as uploads:
        await house.until(uploads, upload.id, L.NEEDS_SIGN_IN)
        await uploads.send_again(upload.id, "marie", house.token())
        await house.until(uploads, upload.id, L.STORED)


async def test_a_token_lies_sealed_in_its_row(house: House) -> None:
    upload = await house.receive(house.open())
    sealed = await house.database.look(lambda reader: rows.sealed_token(reader, upload.id))
    assert sealed is not None
    assert "B64" not in sealed
    assert house.token() not in sealed


async def test_an_error_of_ours_settles_the_upload(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with running(house.open()) as uploads:
        monkeypatch.setattr(uploads._sender._kit.client, "send", explode)
        upload = await house.receive(uploads)
        failed = await house.until(uploads, upload.id, L.FAILED)
        assert failed.code == "error"
        monkeypatch.undo()
        await uploads.send_again(upload.id, "marie", house.token())
        await house.until(uploads, upload.id, L.STORED)
