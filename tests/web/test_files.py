"""Files on their way to the storage, through the pages: the plain form, the script's calls, every refusal in words."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import FormData
from yarl import URL

from homeserver.model import BrowserLeg, StorageLeg, Upload
from homeserver.protocol.mesdonnees_refusals import REFUSALS
from homeserver.sandbox.mesdonnees_space import Consent
from homeserver.web.files import file_name
from homeserver.web.problems import STATUS_OF
from homeserver.web.words import HEADINGS, STORAGE_WORDS, storage_words, upload_words
from tests.patience import until
from tests.web.conftest import Browser, Reply, Stack, running_stack

JSON: Final = {"Accept": "application/json"}
HELLO: Final = bytes(range(256)) * 121 + b"x" * 187
"""31163 bytes, as the guide's picture."""
BOUNDARY: Final = "----formboundary7MA4YWxkTrZu0gW"
MULTIPART: Final = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def picture(content: bytes = HELLO, name: str = "HelloWorld.jpg", media_type: str = "image/jpeg") -> FormData:
    form = FormData(quote_fields=False)
    form.add_field("file", content, filename=name, content_type=media_type)
    return form


def part(content: bytes, disposition: str = 'form-data; name="file"; filename="a.txt"') -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"


END: Final = f"--{BOUNDARY}--\r\n".encode()


async def signed_in(stack: Stack, user: str) -> Browser:
    browser = stack.browser()
    await browser.sign_in_to_storage(user)
    return browser


async def settled(browser: Browser, upload: str) -> dict[str, Any]:
    """The upload once it moves no more."""
    seen: dict[str, Any] = {}

    async def rests() -> bool:
        seen.update((await browser.get(f"/files/{upload}", **JSON)).json)
        return not seen["moving"]

    await until(rests)
    return seen


# --- the main job ---------------------------------------------------------------------------------------------------


async def test_a_file_from_the_plain_form_is_stored(stack: Stack) -> None:
    browser = await signed_in(stack, "marie")
    name = 'Übung "1" \\ é.jpg'
    sent = await browser.post("/files", picture(name=name.replace('"', "%22")))
    assert (sent.status, sent.location) == (303, "/files")
    (upload,) = (await browser.get("/files", **JSON)).json["uploads"]
    upload = await settled(browser, upload["id"])
    assert (upload["name"], upload["storage"], upload["size_bytes"]) == (name, "stored", len(HELLO))
    stored = stack.sandbox.storage.files[name]
    assert (stored.sha256, stored.media_type) == (hashlib.sha256(HELLO).hexdigest(), "image/jpeg")
    page = (await browser.get("/files")).text
    assert f"content {upload['content_id']} in folder {upload['folder_id']}" in page
    assert "31 kB" in page


async def test_a_script_gets_the_upload(stack: Stack) -> None:
    browser = await signed_in(stack, "marie")
    sent = await browser.post("/files", picture(), **JSON)
    assert sent.status == 201
    assert sent.location == f"/files/{sent.json['id']}"
    assert sent.json["code"] is None
    assert sent.json["portal_url"] is None
    assert "storage_user" not in sent.json
    assert (await settled(browser, sent.json["id"]))["state"] == "stored"


async def test_a_file_is_on_disk_before_it_has_come_whole(stack: Stack) -> None:
    """It is handed on piece by piece: the second half is not sent before the first lies in the spool."""
    browser = await signed_in(stack, "marie")
    half = b"h" * 600_000
    spool = stack.settings.mesdonnees.spool_dir

    async def body() -> AsyncIterator[bytes]:
        yield part(half)[:-2]

        async def is_spooled() -> bool:
            return any(path.stat().st_size >= 256 * 1024 for path in spool.rglob("*") if path.is_file())

        await until(is_spooled)
        yield half + b"\r\n" + END

    sent = await browser.post("/files", body(), **MULTIPART, **JSON)
    assert (sent.status, sent.json["size_bytes"]) == (201, 2 * len(half))


# --- not activated, not allowed -------------------------------------------------------------------------------------


async def test_whoever_has_not_activated_lands_on_the_portal_and_loses_nothing(stack: Stack) -> None:
    browser = await signed_in(stack, "paul")
    sent = await browser.post("/files", picture())
    assert sent.status == 303
    assert sent.location.startswith(f"{stack.sandbox_url}/mesdonnees/portal")
    directives = sent.headers["Content-Security-Policy"].split("; ")
    (form_action,) = [directive for directive in directives if directive.startswith("form-action ")]
    assert stack.sandbox_url in form_action.split()  # a browser refuses the redirect otherwise

    by_script = await browser.post("/files", picture(name="second.jpg"), **JSON)
    assert by_script.status == 201
    assert (by_script.json["code"], by_script.json["portal_url"]) == ("MD804", sent.location)

    page = (await browser.get("/files")).text
    assert "Your Mes Données space is not switched on yet." in page
    assert "MD804" in page
    assert "Activate at Orange" in page
    upload = by_script.json["id"]
    still = await browser.post(f"/files/{upload}/send")
    assert (still.status, still.location) == (303, "/files")

    stack.sandbox.storage.activate("paul")
    assert (await browser.post(f"/files/{upload}/send")).status == 303
    assert (await settled(browser, upload))["storage"] == "stored"
    assert stack.sandbox.storage.files["second.jpg"].sha256 == hashlib.sha256(HELLO).hexdigest()


@pytest.mark.parametrize("consent", [Consent.ALWAYS, Consent.REFUSED])
async def test_consent_is_asked_for_once_and_what_waited_is_tried_once_more(stack: Stack, consent: Consent) -> None:
    browser = await signed_in(stack, "chloe")
    sent = await browser.post("/files", picture())
    assert sent.location.startswith(f"{stack.sandbox_url}/mesdonnees/consent")
    (back,) = parse_qs(urlsplit(sent.location).query)["urlRetour"]
    assert back == f"{stack.home_url}/files/answered"
    stack.sandbox.storage.consent("chloe", consent)
    asked = stack.sandbox.storage.urls_issued
    returned = await browser.get("/files/answered")
    (upload,) = (await browser.get("/files", **JSON)).json["uploads"]
    if consent is Consent.ALWAYS:
        assert (returned.status, returned.location) == (303, "/files")
        assert (await settled(browser, upload["id"]))["storage"] == "stored"
    else:
        assert (returned.status, returned.location) == (303, "/files?still=needs_consent")
        assert "Orange says that you have not allowed it." in (await browser.get(returned.location)).text
        assert (upload["storage"], stack.sandbox.storage.urls_issued) == ("needs_consent", asked)


async def test_a_refused_name_is_replaced_by_the_form(stack: Stack) -> None:
    browser = await signed_in(stack, "marie")
    stack.sandbox.storage.fail_next("PA003")
    assert (await browser.post("/files", picture(name="no good.jpg"))).location == "/files"
    (upload,) = (await browser.get("/files", **JSON)).json["uploads"]
    page = (await browser.get("/files")).text
    assert f'action="/files/{upload["id"]}/rename"' in page
    assert 'value="no good.jpg"' in page
    for wrong in ("", "a\nb", "n" * 256):
        assert (await browser.post(f"/files/{upload['id']}/rename", {"name": wrong}, **JSON)).status == 400
    renamed = await browser.post(f"/files/{upload['id']}/rename", {"name": "better.jpg"})
    assert (renamed.status, renamed.location) == (303, "/files")
    assert (await settled(browser, upload["id"]))["storage"] == "stored"
    assert stack.sandbox.storage.files["better.jpg"].sha256 == hashlib.sha256(HELLO).hexdigest()


async def test_many_files_that_wait_for_one_thing_go_on_by_one_word(stack: Stack) -> None:
    browser = await signed_in(stack, "paul")
    names = [f"{number}.jpg" for number in range(4)]
    for name in names:
        await browser.post("/files", picture(name=name))
    page = (await browser.get("/files")).text
    assert page.count("I have activated it, send now") == 1
    still = await browser.post("/files/send", {"waiting": "needs_activation"})
    assert (still.status, still.location) == (303, "/files?still=needs_activation")
    assert "Orange says that it is not switched on yet." in (await browser.get(still.location)).text
    stack.sandbox.storage.activate("paul")
    assert (await browser.post("/files/send", {"waiting": "needs_activation"})).location == "/files"
    for upload in (await browser.get("/files", **JSON)).json["uploads"]:
        assert (await settled(browser, upload["id"]))["storage"] == "stored"
    assert set(stack.sandbox.storage.files) == set(names)


async def test_a_file_can_be_given_up(stack: Stack) -> None:
    browser = await signed_in(stack, "luc")
    upload = (await browser.post("/files", picture(), **JSON)).json["id"]
    cancelled = await browser.post(f"/files/{upload}/cancel", **JSON)
    assert cancelled.json["state"] == "cancelled"
    again = await browser.post(f"/files/{upload}/cancel")
    assert again.status == 409
    assert (await browser.post(f"/files/{upload}/send", **JSON)).json["code"] == "conflict"


@pytest.mark.parametrize(
    ("user", "code", "state"),
    [
        ("chloe", "-3", "waiting for consent"),
        ("luc", "MD327", "no space"),
        ("ines", "MD113", "refused"),
        ("hugo", "MD803", "refused"),
    ],
)
async def test_each_refusal_of_a_person_is_shown_in_words(stack: Stack, user: str, code: str, state: str) -> None:
    browser = await signed_in(stack, user)
    sent = await browser.post("/files", picture())
    assert sent.status == 303
    assert (sent.location == "/files") == (code != "-3")  # consent is asked for elsewhere
    page = (await browser.get("/files")).text
    assert storage_words(code).title in page
    assert code in page
    assert state in page


async def test_a_file_of_somebody_else_is_not_there(stack: Stack) -> None:
    paul, marie = await signed_in(stack, "paul"), await signed_in(stack, "marie")
    upload = (await paul.post("/files", picture(), **JSON)).json["id"]
    for answer in (
        await marie.get(f"/files/{upload}", **JSON),
        await marie.post(f"/files/{upload}/send", **JSON),
        await marie.post(f"/files/{upload}/cancel", **JSON),
        await marie.get("/files/nothing-like-this-at-all", **JSON),
    ):
        assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert upload not in (await marie.get("/files")).text
    assert (await paul.get(f"/files/{upload}", **JSON)).status == 200


# --- what a browser may not send ------------------------------------------------------------------------------------


async def test_bodies_that_are_no_file(stack: Stack) -> None:
    browser = await signed_in(stack, "marie")
    cases: list[tuple[bytes, dict[str, str]]] = [
        (b"file=x", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"", MULTIPART),
        (b"nonsense", MULTIPART),
        (part(b"x") + END, {"Content-Type": "multipart/form-data"}),
        (END, MULTIPART),
        (part(b"", 'form-data; name="file"; filename=""') + END, MULTIPART),
        (part(b"x", 'form-data; name="file"') + END, MULTIPART),
        (part(b"x", 'form-data; name="other"; filename="a.txt"') + END, MULTIPART),
        (part(b"") + END, MULTIPART),
        (part(b"x" * 300_000)[:-2], MULTIPART),
        (part(b"x" * 300_000)[:-2] + b"\r\n--", MULTIPART),
        (part(b"x") + part(b"y") + END, MULTIPART),
        (part(b"x", 'form-data; name="file"; filename="a\tb.txt"') + END, MULTIPART),
        (part(b"x", f'form-data; name="file"; filename="{"n" * 300}.txt"') + END, MULTIPART),
        (part(b"x", f'form-data; name="file"; filename="{"n" * 100_000}.txt"') + END, MULTIPART),
        (part(b"x", 'form-data; name="file"; filename="a.txt"\r\n' + "X: y\r\n" * 1_000 + "Z: z") + END, MULTIPART),
        (part(b"x", 'form-data; name="file"; filename="a.txt"\r\nno colon') + END, MULTIPART),
        (part(b"x") + part(b"y", f'form-data; name="{"n" * 100_000}"') + END, MULTIPART),
        (part(b"x") + part(b"y", "form-data\r\n" + "X: y\r\n" * 1_000 + "Z: z") + END, MULTIPART),
        (f"--{BOUNDARY}\r\nContent-Type: multipart/mixed\r\n\r\n".encode() + END, MULTIPART),
        (part(b"x") + f"--{BOUNDARY}\r\nContent-Type: multipart/mixed\r\n\r\n".encode() + END, MULTIPART),
    ]
    for number, (body, headers) in enumerate(cases):
        answer = await browser.post("/files", body, **headers, **JSON)
        assert (answer.status, answer.json["code"]) == (400, "bad_input"), number
    assert (await browser.get("/files", **JSON)).json == {"uploads": []}
    assert not stack.sandbox.storage.files
    assert _spooled(stack) == []


def _spooled(stack: Stack) -> list[Path]:
    return [path for path in stack.settings.mesdonnees.spool_dir.rglob("*") if path.is_file() and path.stat().st_size]


async def test_a_file_beyond_the_limit_is_413_declared_or_not(folder: Path) -> None:
    async with running_stack(folder, mesdonnees={"max_file_bytes": 100_000}) as stack:
        browser = await signed_in(stack, "marie")
        assert (await browser.post("/files", picture(b"x" * 100_000), **JSON)).status == 201
        by_a_byte = await browser.post("/files", picture(b"x" * 100_001), **JSON)
        assert (by_a_byte.status, by_a_byte.json["code"], by_a_byte.json["field"]) == (413, "too_large", "file")

        async def undeclared() -> AsyncIterator[bytes]:
            yield part(b"x" * 150_000)
            yield END

        assert (await browser.post("/files", undeclared(), **MULTIPART)).status == 413
        url = URL(f"{stack.home_url}/files")
        reader, writer = await asyncio.open_connection(url.host, url.port)
        cookie = f"hs={browser.cookies['hs']}"
        writer.write(
            f"POST /files HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\nOrigin: {stack.home_url}\r\n"
            f"Content-Type: {MULTIPART['Content-Type']}\r\nContent-Length: 999999999\r\n\r\n".encode()
        )
        assert b" 413 " in await reader.readline()  # said before a byte of the file was sent
        writer.close()
        await writer.wait_closed()


async def test_whoever_hangs_up_leaves_nothing_behind(stack: Stack) -> None:
    browser = await signed_in(stack, "marie")
    url = URL(f"{stack.home_url}/files")
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST /files HTTP/1.1\r\nHost: h\r\nCookie: hs={browser.cookies['hs']}\r\nOrigin: {stack.home_url}\r\n"
        f"Content-Type: {MULTIPART['Content-Type']}\r\nContent-Length: 2000000\r\n\r\n"
    )
    writer.write(head.encode() + part(b"x" * 600_000)[:-2])
    await writer.drain()

    async def has_begun() -> bool:
        return bool(_spooled(stack))

    async def is_gone() -> bool:
        return not _spooled(stack)

    await until(has_begun)
    writer.close()
    await until(is_gone)
    assert (await browser.get("/files", **JSON)).json == {"uploads": []}


async def test_a_form_on_another_site_sends_nothing(stack: Stack) -> None:
    browser = await signed_in(stack, "marie")
    refused: Reply = await browser.post("/files", picture(), Origin="https://evil.example", Sec_Fetch_Site="cross-site")
    assert refused.status == 403
    assert (await browser.get("/files", **JSON)).json == {"uploads": []}


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("HelloWorld.jpg", "HelloWorld.jpg"),
        ("a;b; c=d.txt", "a;b; c=d.txt"),
        ("%22quoted%22 100%25.txt", '"quoted" 100%25.txt'),
        ('curl \\"quotes\\" \\\\.txt', 'curl "quotes" \\.txt'),
        ("C:\\dir\\b.txt", "C:\\dir\\b.txt"),
        ("ends in a backslash\\", "ends in a backslash\\"),
        ("/etc/passwd", "/etc/passwd"),
        ("Übung 太郎.txt", "Übung 太郎.txt"),
        ("", ""),
    ],
)
def test_a_name_is_what_the_browser_meant(written: str, name: str) -> None:
    assert file_name(f'form-data; name="file"; filename="{written}"') == name


@pytest.mark.parametrize("disposition", ["", "form-data", 'form-data; name="file"', 'attachment; filename="a"'])
def test_a_part_without_a_file_has_no_name(disposition: str) -> None:
    assert file_name(disposition) == ""


@pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader")
async def test_a_name_with_semicolons_arrives(stack: Stack) -> None:
    browser = await signed_in(stack, "marie")
    body = part(b"x", 'form-data; name="file"; filename="a;b;c.txt"') + END
    sent = await browser.post("/files", body, **MULTIPART, **JSON)
    assert (sent.status, sent.json["name"]) == (201, "a;b;c.txt")


# --- words ----------------------------------------------------------------------------------------------------------


def test_every_documented_refusal_has_words() -> None:
    assert STORAGE_WORDS.keys() >= REFUSALS.keys()
    assert storage_words("XY123") == STORAGE_WORDS["unknown"]
    for words in STORAGE_WORDS.values():
        for sentence in (words.title, words.advice):
            assert sentence[0].isupper()
            assert sentence.endswith(".")


def every_leg() -> Iterator[Upload]:
    base = Upload(
        "id", "marie", "a.txt", "text/plain", 5, 5, 0, BrowserLeg.RECEIVED, StorageLeg.WAITING, 1,
        None, None, None, None, None, 0, 0,
    )  # fmt: skip
    for leg in StorageLeg:
        for code in (None, *STORAGE_WORDS, "XY123"):
            yield replace(base, storage=leg, code=code)


def test_every_state_of_an_upload_has_words() -> None:
    for upload in every_leg():
        words = upload_words(upload)
        assert words.state
        assert words.line
        assert words.tone in {"", "good", "warn", "bad"}
        assert not (words.moving and words.send), upload.storage
    assert upload_words(replace(next(every_leg()), browser=BrowserLeg.RECEIVING)).state == "receiving"


def test_every_status_that_errors_have_has_a_headline() -> None:
    assert set(STATUS_OF.values()) - {500} <= HEADINGS.keys()
