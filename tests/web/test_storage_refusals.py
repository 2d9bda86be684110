"""Every error that the storage documents, by the plain form and by tus: what becomes of the file, and the words.

The codes and texts stand here as the guide has them ("error codes", "content upload"), so that a slip in ours shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from homeserver.web.words import storage_words
from tests.web.conftest import Browser, Stack
from tests.web.test_files import HELLO, JSON, picture, settled, signed_in
from tests.web.tus_client import Tus

NAME: Final = "HelloWorld.jpg"

# Step one: the code, what the plain form's file does, and the status of a tus creation.
STEP_ONE: Final = [
    ("PA003", "needs_name", 422),
    ("PA004", "refused", 422),
    ("MD113", "refused", 422),
    ("MD327", "out_of_space", 422),
    ("MD803", "refused", 422),
    ("MD804", "needs_activation", 201),
    ("-3", "needs_consent", 201),
]
# Step two: the guide's text, our name for it, and whether another attempt is made by itself.
STEP_TWO: Final = [
    ("Error while creating temporary file upl1234.tmp", "upload.tmp_create", True),
    ("An error has occured while writing file in temporary directory", "upload.tmp_write", True),
    ("Error while getting tmp file info", "upload.tmp_info", True),
    ("Parameter downloadUploadKey is not found in cookie", "upload.parameter", True),
    ("Can not create content", "upload.no_content", True),
    ("Error while uploading content", "upload.failed", True),
    ("HTTP Request method must be POST", "upload.method", False),
    ("PreprocessURL is mis-configured", "upload.preprocess", False),
    ("PostprocessURL is mis-configured", "upload.postprocess", False),
]

Send = Callable[[Browser], Awaitable[str]]


async def by_form(browser: Browser) -> str:
    """The file's id, after the plain form has been sent."""
    assert (await browser.post("/files", picture())).status == 303
    (upload,) = (await browser.get("/files", **JSON)).json["uploads"]
    return str(upload["id"])


async def by_tus(browser: Browser) -> str:
    """The same, in parts."""
    return (await Tus(browser).upload(NAME, HELLO)).removeprefix("/files/tus/")


WAYS: Final = pytest.mark.parametrize("send", [by_form, by_tus])


async def shown(browser: Browser) -> str:
    return (await browser.get("/files")).text


@pytest.mark.parametrize(("code", "storage", "status"), STEP_ONE)
async def test_step_one_by_the_form(stack: Stack, code: str, storage: str, status: int) -> None:
    browser = await signed_in(stack, "marie")
    stack.sandbox.storage.fail_next(code)
    upload = await settled(browser, await by_form(browser))
    assert (upload["storage"], upload["code"]) == (storage, code)
    page = await shown(browser)
    assert storage_words(code).title.replace("'", "&#39;") in page
    assert f"({code}" in page
    assert not stack.sandbox.storage.files


@pytest.mark.parametrize(("code", "storage", "status"), STEP_ONE)
async def test_step_one_by_tus(stack: Stack, code: str, storage: str, status: int) -> None:
    tus = Tus(await signed_in(stack, "marie"))
    stack.sandbox.storage.fail_next(code)
    made = await tus.create(NAME, len(HELLO))
    assert made.status == status
    if status == 422:
        words = storage_words(code)
        assert (made.json["storage_code"], made.json["detail"]) == (code, f"{words.title} {words.advice}")
    else:
        assert (made.json["storage"], made.json["code"]) == (storage, code)
        assert (await tus.patch(made.location, 0, HELLO)).status == 204
    (upload,) = (await tus.browser.get("/files", **JSON)).json["uploads"]
    assert (upload["storage"], upload["code"]) == ("refused" if status == 422 else storage, code)


@WAYS
async def test_an_internal_error_is_tried_again(stack: Stack, send: Send) -> None:
    browser = await signed_in(stack, "marie")
    stack.sandbox.storage.fail_next("PA900")
    upload = await settled(browser, await send(browser))
    assert (upload["storage"], upload["attempts"], upload["code"]) == ("stored", 2, None)
    assert stack.sandbox.storage.files[NAME].sha256 == hashlib.sha256(HELLO).hexdigest()


@WAYS
@pytest.mark.parametrize(("message", "code", "again"), STEP_TWO)
async def test_step_two(stack: Stack, send: Send, message: str, code: str, again: bool) -> None:
    browser = await signed_in(stack, "marie")
    stack.sandbox.storage.fail_next_upload(message)
    upload = await settled(browser, await send(browser))
    if again:
        assert (upload["storage"], upload["attempts"]) == ("stored", 2)
        assert stack.sandbox.storage.files[NAME].sha256 == hashlib.sha256(HELLO).hexdigest()
        return
    assert (upload["storage"], upload["code"], upload["attempts"]) == ("failed", code, 1)
    assert message in upload["detail"]
    assert storage_words(code).title in await shown(browser)
    sent_again: dict[str, Any] = (await browser.post(f"/files/{upload['id']}/send", **JSON)).json
    assert (await settled(browser, sent_again["id"]))["storage"] == "stored"


@WAYS
@pytest.mark.parametrize("code", ["XY123", "MD999"])
async def test_a_code_that_nobody_knows_is_kept_and_shown(stack: Stack, send: Send, code: str) -> None:
    browser = await signed_in(stack, "marie")
    stack.sandbox.storage.fail_next(code, "Something else", times=2)
    upload = await settled(browser, await send(browser))
    assert (upload["storage"], upload["code"], upload["detail"]) == ("failed", code, "Something else")
    assert f"({code}: Something else)" in await shown(browser)
    assert (await browser.post(f"/files/{upload['id']}/send")).status == 303
    assert (await settled(browser, upload["id"]))["storage"] == "stored"
