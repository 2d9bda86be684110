"""The browser's leg by tus, over HTTP: every extension, every documented refusal, a line cut at every place."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import pytest
from yarl import URL

from homeserver.sandbox.mesdonnees_space import Consent
from homeserver.web.words import storage_words
from tests.patience import until
from tests.web.conftest import Browser, Stack, running_stack
from tests.web.test_files import HELLO, JSON, settled, signed_in
from tests.web.tus_client import BYTES, VERSION, Tus, metadata

NAME: Final = "HelloWorld.jpg"


async def tus_of(stack: Stack, user: str = "marie") -> Tus:
    return Tus(await signed_in(stack, user))


def upload_id(path: str) -> str:
    return path.removeprefix("/files/tus/")


def sha1(content: bytes) -> str:
    return f"sha1 {base64.b64encode(hashlib.sha1(content).digest()).decode()}"


async def uploads_of(browser: Browser) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await browser.get("/files", **JSON)).json["uploads"]
    return found


def assert_stored(stack: Stack, content: bytes, name: str = NAME) -> None:
    assert stack.sandbox.storage.files[name].sha256 == hashlib.sha256(content).hexdigest()


# --- the way of a file ----------------------------------------------------------------------------------------------


async def test_what_is_offered_is_said_to_anybody(stack: Stack) -> None:
    told = await stack.browser().request("OPTIONS", "/files/tus/", {})
    assert told.status == 204
    assert told.headers["Tus-Version"] == told.headers["Tus-Resumable"] == "1.0.0"
    assert told.headers["Tus-Max-Size"] == str(stack.settings.mesdonnees.max_file_bytes)
    assert "creation-with-upload" in told.headers["Tus-Extension"]
    assert "sha1" in told.headers["Tus-Checksum-Algorithm"]


async def test_a_file_comes_in_parts_and_is_stored(stack: Stack) -> None:
    tus = await tus_of(stack)
    made = await tus.create(NAME, len(HELLO))
    assert (made.status, made.headers["Upload-Offset"]) == (201, "0")
    assert made.headers["Tus-Resumable"] == "1.0.0"
    assert (made.json["storage"], made.json["browser"], made.json["code"]) == ("waiting", "declared", None)
    kept = parsedate_to_datetime(made.headers["Upload-Expires"]) - datetime.fromisoformat(made.json["created"])
    assert round(kept.total_seconds() / 3600) == stack.settings.mesdonnees.keep_hours
    assert made.json["id"] == upload_id(made.location)
    for begin in range(0, len(HELLO), 10_000):
        assert await tus.offset(made.location) == begin
        part = HELLO[begin : begin + 10_000]
        sent = await tus.patch(made.location, begin, part)
        assert (sent.status, sent.headers["Upload-Offset"]) == (204, str(begin + len(part)))
    told = await tus.ask("HEAD", made.location)
    assert told.headers["Upload-Length"] == told.headers["Upload-Offset"] == str(len(HELLO))
    assert told.headers["Upload-Metadata"] == metadata(NAME)
    assert told.headers["Cache-Control"] == "no-store"
    assert "Upload-Expires" not in told.headers  # nothing is waited for any more
    upload = await settled(tus.browser, upload_id(made.location))
    assert (upload["storage"], upload["name"], upload["media_type"]) == ("stored", NAME, "image/jpeg")
    assert_stored(stack, HELLO)
    # Whoever lost the last answer asks again, and is told that all is here.
    assert await tus.offset(made.location) == len(HELLO)
    assert (await tus.patch(made.location, len(HELLO), b"")).status == 204


async def test_the_first_bytes_may_come_with_the_creation(stack: Stack) -> None:
    tus = await tus_of(stack)
    made = await tus.create(NAME, len(HELLO), HELLO[:20_000])
    assert (made.status, made.headers["Upload-Offset"]) == (201, "20000")
    assert (await tus.patch(made.location, 20_000, HELLO[20_000:])).status == 204
    await settled(tus.browser, upload_id(made.location))
    assert_stored(stack, HELLO)
    whole = await tus.create("all.jpg", len(HELLO), HELLO, headers={"Upload-Checksum": sha1(HELLO)})
    assert (whole.status, whole.headers["Upload-Offset"]) == (201, str(len(HELLO)))
    await settled(tus.browser, whole.json["id"])
    assert_stored(stack, HELLO, "all.jpg")


async def test_a_creation_whose_first_bytes_are_refused_leaves_nothing(stack: Stack) -> None:
    tus = await tus_of(stack)
    for body, headers, status in (
        (HELLO, {"Upload-Checksum": sha1(b"other")}, 460),
        (HELLO + b"more", {}, 413),
        (HELLO, {"Upload-Checksum": "md5 x"}, 400),
    ):
        assert (await tus.create(NAME, len(HELLO), body, headers)).status == status
    assert {upload["storage"] for upload in await uploads_of(tus.browser)} <= {"cancelled"}
    assert not stack.sandbox.storage.files


async def test_a_part_with_a_checksum_is_kept_only_when_it_is_right(stack: Stack) -> None:
    tus = await tus_of(stack)
    path = (await tus.create(NAME, len(HELLO))).location
    wrong = await tus.patch(path, 0, HELLO[:1_000] + b"?", headers={"Upload-Checksum": sha1(HELLO[:1_001])})
    assert (wrong.status, wrong.json["code"], wrong.json["title"]) == (460, "bad_checksum", "Checksum Mismatch")
    assert await tus.offset(path) == 0
    sha256 = f"sha256 {base64.b64encode(hashlib.sha256(HELLO[:1_001]).digest()).decode()}"
    assert (await tus.patch(path, 0, HELLO[:1_001], headers={"Upload-Checksum": sha256})).status == 204
    assert (await tus.patch(path, 1_001, HELLO[1_001:], headers={"Upload-Checksum": sha1(HELLO[1_001:])})).status == 204
    await settled(tus.browser, upload_id(path))
    assert_stored(stack, HELLO)
    big = (await tus.create("big.jpg", 5 << 20)).location
    refused = await tus.patch(big, 0, bytes(5 << 20), headers={"Upload-Checksum": sha1(bytes(5 << 20))})
    assert (refused.status, refused.json["code"]) == (413, "too_large")
    assert "4,194,304 bytes" in refused.json["detail"]
    assert await tus.offset(big) == 0


async def test_an_upload_may_be_given_up(stack: Stack) -> None:
    tus = await tus_of(stack)
    path = (await tus.create(NAME, len(HELLO), HELLO[:20_000])).location
    assert (await tus.ask("DELETE", path)).status == 204
    assert [path.stat().st_size for path in stack.settings.mesdonnees.spool_dir.rglob("*") if path.is_file()] == []
    for method in ("HEAD", "DELETE"):
        assert (await tus.ask(method, path)).status == 410
    assert (await tus.patch(path, 20_000, b"x")).status == 410
    (upload,) = await uploads_of(tus.browser)
    assert upload["state"] == "cancelled"


async def test_what_is_stored_cannot_be_given_up_and_no_client_tries_again(stack: Stack) -> None:
    tus = await tus_of(stack)
    path = await tus.upload(NAME, HELLO)
    await settled(tus.browser, upload_id(path))
    refused = await tus.ask("DELETE", path)
    assert (refused.status, refused.json["code"]) == (403, "forbidden")


async def test_a_post_may_stand_for_the_other_methods(stack: Stack) -> None:
    """The protocol: a server must take X-HTTP-Method-Override for the request's method."""
    tus = await tus_of(stack)
    path = (await tus.create(NAME, 10)).location
    headers = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0", **BYTES}
    assert (await tus.ask("POST", path, headers, b"12345")).status == 204
    told = await tus.ask("POST", path, {"X-HTTP-Method-Override": "HEAD"})
    assert told.headers["Upload-Offset"] == "5"
    assert (await tus.ask("POST", path)).status == 405
    assert (await tus.ask("POST", path, {"X-HTTP-Method-Override": "PUT"})).status == 400
    assert (await tus.ask("POST", path, {"X-HTTP-Method-Override": "DELETE"})).status == 204
    assert (await tus.ask("HEAD", path)).status == 410


# --- what is refused ------------------------------------------------------------------------------------------------


async def test_requests_that_are_none(stack: Stack) -> None:
    tus = await tus_of(stack)
    path = (await tus.create(NAME, 10)).location
    other = await tus.create(NAME, 10, headers={"Tus-Resumable": "0.2.2"})
    assert (other.status, other.json["code"], other.headers["Tus-Version"]) == (412, "version_refused", "1.0.0")
    assert other.headers["Tus-Resumable"] == "1.0.0"
    wrong_type = await tus.patch(path, 0, b"x", {"Content-Type": "application/octet-stream"})
    assert (wrong_type.status, wrong_type.json["code"]) == (415, "unsupported_media")
    assert (await tus.patch(path, 3, b"x")).status == 409
    assert (await tus.ask("PATCH", path, BYTES, b"x")).json["field"] == "Upload-Offset"
    too_many = await tus.patch(path, 0, b"x" * 11)
    assert (too_many.status, too_many.json["code"]) == (413, "too_large")
    empty = await tus.create(NAME, 0)
    assert (empty.status, empty.json["detail"]) == (400, "The file is empty: there is nothing to store.")
    limit = stack.settings.mesdonnees.max_file_bytes
    assert (await tus.create(NAME, limit + 1)).status == 413
    for name in ("a\nb.jpg", "a\0.jpg", "n" * 256):
        refused = await tus.create(name, 10)
        assert (refused.status, refused.json["field"]) == (400, "content_name"), name
    assert (await tus.ask("PUT", path, body=b"x")).status == 405
    assert (await tus.ask("GET", path)).status == 405


async def test_a_stranger_and_nobody_see_nothing_of_it(stack: Stack) -> None:
    tus, stranger = await tus_of(stack), await tus_of(stack, "ines")
    path = (await tus.create(NAME, 10)).location
    nobody = Tus(stack.browser())
    for method, body in (("HEAD", None), ("PATCH", b"x"), ("DELETE", None)):
        headers = {**BYTES, "Upload-Offset": "0"} if body else {}
        assert (await stranger.ask(method, path, headers, body)).status == 404
        assert (await nobody.ask(method, path, headers, body)).status == 401
    assert (await nobody.create(NAME, 10)).json["code"] == "not_signed_in"
    assert await tus.offset(path) == 0


async def test_a_page_of_somebody_else_cannot_begin_uploads_in_this_session(stack: Stack) -> None:
    """It was opened before; who holds the session now is not whose files it has."""
    tus = await tus_of(stack)
    page = (await tus.browser.get("/files")).text
    (owner,) = re.findall(r'data-owner="(\w+)"', page)
    assert (await tus.create(NAME, 10, headers={"Upload-Owner": owner})).status == 201
    other = await tus_of(stack, "ines")
    refused = await other.create(NAME, 10, headers={"Upload-Owner": owner})
    assert (refused.status, refused.json["code"]) == (401, "not_signed_in")


async def test_another_site_can_neither_begin_nor_end_an_upload(stack: Stack) -> None:
    tus = await tus_of(stack)
    path = (await tus.create(NAME, 10)).location
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await tus.create(NAME, 10, headers=evil)).status == 403
    assert (await tus.patch(path, 0, b"x", evil)).status == 403
    assert (await tus.ask("DELETE", path, evil)).status == 403
    assert await tus.offset(path) == 0


# --- what the storage says, before a byte travels --------------------------------------------------------------------


@pytest.mark.parametrize(("user", "code"), [("luc", "MD327"), ("ines", "MD113"), ("hugo", "MD803")])
async def test_what_the_storage_refuses_is_said_before_a_byte_travels(stack: Stack, user: str, code: str) -> None:
    tus = await tus_of(stack, user)
    refused = await tus.create(NAME, len(HELLO))
    assert (refused.status, refused.json["storage_code"]) == (422, code)  # 409 and 423 would be tried again
    assert storage_words(code).title in refused.json["detail"]
    assert storage_words(code).advice in refused.json["detail"]
    assert "Location" not in refused.headers
    if code == "MD327":
        assert refused.json["portal_url"].startswith(stack.sandbox_url)
    (upload,) = await uploads_of(tus.browser)
    assert (upload["storage"], upload["code"], upload["received_bytes"]) == ("refused", code, 0)


async def test_whoever_has_no_room_is_told_where_to_make_some(folder: Path) -> None:
    async with running_stack(folder, mesdonnees={"portal_url": "https://portal.example/space"}) as stack:
        refused = await (await tus_of(stack, "luc")).create(NAME, len(HELLO))
        assert (refused.status, refused.json["portal_url"]) == (422, "https://portal.example/space")


@pytest.mark.parametrize(("code", "detail"), [("PA003", 'Invalid input parameter "content_name"'), ("PA004", "size")])
async def test_a_refused_name_or_size_is_said_before_a_byte_travels(stack: Stack, code: str, detail: str) -> None:
    tus = await tus_of(stack)
    stack.sandbox.storage.fail_next(code, detail)
    refused = await tus.create("no good.jpg", len(HELLO))
    assert (refused.status, refused.json["storage_code"]) == (422, code)
    assert storage_words(code).title in refused.json["detail"]


@pytest.mark.parametrize(
    ("user", "storage", "code"), [("paul", "needs_activation", "MD804"), ("chloe", "needs_consent", "-3")]
)
async def test_what_its_owner_can_put_right_is_no_refusal(stack: Stack, user: str, storage: str, code: str) -> None:
    tus = await tus_of(stack, user)
    made = await tus.create(NAME, len(HELLO))
    assert (made.status, made.json["storage"], made.json["code"]) == (201, storage, code)
    assert made.json["portal_url"].startswith(stack.sandbox_url)
    assert (await tus.patch(made.location, 0, HELLO)).status == 204
    upload = (await tus.browser.get(f"/files/{upload_id(made.location)}", **JSON)).json
    assert (upload["storage"], upload["browser"], upload["received_bytes"]) == (storage, "received", len(HELLO))
    assert not stack.sandbox.storage.files

    still = await tus.browser.post("/files/send", {"waiting": storage}, **JSON)
    assert still.json["still"].startswith("Orange says")
    if user == "paul":
        stack.sandbox.storage.activate("paul")
    else:
        stack.sandbox.storage.consent("chloe", Consent.ALWAYS)
    assert (await tus.browser.post("/files/send", {"waiting": storage}, **JSON)).json == {"still": None}
    assert (await settled(tus.browser, upload_id(made.location)))["storage"] == "stored"
    assert_stored(stack, HELLO)


async def test_whoever_activates_while_bytes_travel_is_not_asked_again(stack: Stack) -> None:
    tus = await tus_of(stack, "paul")
    path = (await tus.create(NAME, len(HELLO), HELLO[:10_000])).location
    stack.sandbox.storage.activate("paul")
    again = await tus.browser.post(f"/files/{upload_id(path)}/send", **JSON)
    assert again.json["state"] == "receiving"
    assert (await tus.patch(path, 10_000, HELLO[10_000:])).status == 204
    assert (await settled(tus.browser, upload_id(path)))["storage"] == "stored"
    assert_stored(stack, HELLO)


# --- a line that breaks ---------------------------------------------------------------------------------------------


def patch_head(tus: Tus, path: str, size: int) -> bytes:
    return (
        f"PATCH {path} HTTP/1.1\r\nHost: h\r\nCookie: hs={tus.browser.cookies['hs']}\r\n"
        f"Origin: {tus.browser.home_url}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
        f"Content-Type: {BYTES['Content-Type']}\r\nContent-Length: {size}\r\n\r\n"
    ).encode()


LONG: Final = bytes(range(251)) * 3_000
HEAD_BYTES: Final = 100_000
"""Stands for the whole head, which is shorter."""
CUTS: Final = {
    "before the head": (0, 0),
    "in the head": (50, 0),
    "after the head": (HEAD_BYTES, 0),
    "after the first byte": (HEAD_BYTES, 1),
    "in the middle": (HEAD_BYTES, 400_000),
    "before the last byte": (HEAD_BYTES, len(LONG) - 1),
}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_line_cut_anywhere_costs_what_was_under_way_at_most(stack: Stack, cut: str) -> None:
    """By hand on a socket. What is said to be here is here; the rest follows, and the file is stored once."""
    tus = await tus_of(stack)
    path = (await tus.create(NAME, len(LONG))).location
    head_bytes, sent_bytes = CUTS[cut]
    spool = stack.settings.mesdonnees.spool_dir
    written_bytes = sent_bytes // (256 * 1024) * (256 * 1024)  # the spool writes in pieces of this size
    url = URL(stack.home_url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(patch_head(tus, path, len(LONG))[:head_bytes] + LONG[:sent_bytes])
    await writer.drain()

    async def has_come() -> bool:
        return max((each.stat().st_size for each in spool.rglob("*") if each.is_file()), default=0) >= written_bytes

    await until(has_come)
    writer.close()
    await writer.wait_closed()
    offsets = []

    async def goes_on() -> bool:  # 423 or 409 while the broken part is still being put away
        offsets.append(await tus.offset(path))
        return (await tus.patch(path, offsets[-1], LONG[offsets[-1] :])).status == 204

    await until(goes_on)
    assert written_bytes <= offsets[-1] <= sent_bytes
    assert (await settled(tus.browser, upload_id(path)))["storage"] == "stored"
    assert_stored(stack, LONG)
    assert [each.name for each in stack.sandbox.storage.received] == [NAME]


async def test_an_answer_that_is_lost_costs_nothing(stack: Stack) -> None:
    """All bytes came, and the line breaks before the answer is read: HEAD says so, and nothing is sent twice."""
    tus = await tus_of(stack)
    path = (await tus.create(NAME, len(HELLO))).location
    url = URL(stack.home_url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(patch_head(tus, path, len(HELLO)) + HELLO)
    await writer.drain()

    async def is_whole() -> bool:
        return await tus.offset(path) == len(HELLO)

    await until(is_whole)
    writer.transport.abort()
    assert (await settled(tus.browser, upload_id(path)))["storage"] == "stored"
    assert_stored(stack, HELLO)
    assert [each.name for each in stack.sandbox.storage.received] == [NAME]


async def test_two_parts_at_once_are_one_too_many(stack: Stack) -> None:
    tus = await tus_of(stack)
    path = (await tus.create(NAME, 600_000)).location
    spool = stack.settings.mesdonnees.spool_dir
    second: list[int] = []

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 300_000

        async def has_begun() -> bool:
            return any(each.stat().st_size >= 256 * 1024 for each in spool.rglob("*") if each.is_file())

        await until(has_begun)
        second.append((await tus.patch(path, 0, b"y" * 600_000)).status)
        yield b"x" * 300_000

    assert (await tus.patch(path, 0, slowly())).status == 204
    assert second == [423]
    assert (await settled(tus.browser, upload_id(path)))["storage"] == "stored"
    assert_stored(stack, b"x" * 600_000)


async def test_the_limits_of_the_settings_hold(folder: Path) -> None:
    async with running_stack(folder, mesdonnees={"max_file_bytes": 100_000}) as stack:
        tus = await tus_of(stack)
        told = await stack.browser().request("OPTIONS", "/files/tus/", VERSION)
        assert told.headers["Tus-Max-Size"] == "100000"
        assert (await tus.create(NAME, 100_000)).status == 201
        refused = await tus.create(NAME, 100_001)
        assert (refused.status, refused.json["field"]) == (413, "Upload-Length")
