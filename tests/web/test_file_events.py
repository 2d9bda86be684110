"""What becomes of files, pushed to their page: events, coming back, limits, signing out, the end of the server."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from aiohttp import ClientResponse

from homeserver.web import event_streams
from tests.patience import PATIENCE_S
from tests.web.conftest import Browser, Stack
from tests.web.events import listening_for_files

FORM = {"Content-Type": "multipart/form-data; boundary=b", "Accept": "application/json"}


def file(name: str) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + b"content\r\n--b--\r\n"


async def test_a_page_sees_what_is_there_and_what_changes(stack: Stack) -> None:
    marie, paul = stack.browser(), stack.browser()
    await marie.sign_in_to_storage("marie")
    await paul.sign_in_to_storage("paul")
    earlier = (await paul.post("/files", file("earlier"), **FORM)).json
    async with listening_for_files(paul) as events:
        assert events.response.status == 200
        assert events.response.content_type == "text/event-stream"
        assert events.response.headers["Cache-Control"] == "no-cache"
        seen = await events.upload()
        assert (seen["id"], seen["storage"], seen["code"]) == (earlier["id"], "needs_activation", "MD804")
        assert seen["portal_url"]
        await marie.post("/files", file("maries"), **FORM)
        later = (await paul.post("/files", file("later"), **FORM)).json
        while (seen := await events.upload())["storage"] != "needs_activation":
            assert seen["id"] == later["id"]
        stack.sandbox.storage.activate("paul")
        await paul.post(f"/files/{later['id']}/send")
        stored = await events.until("stored")
        assert (stored["id"], stored["name"]) == (later["id"], "later")
        heard = events.last_id
        await paul.post(f"/files/{earlier['id']}/cancel")
    async with listening_for_files(paul, heard) as events:  # the same page, back again
        assert {(await events.upload())["storage"] for _ in range(2)} == {"stored", "cancelled"}


async def test_a_page_hears_of_changes_made_anywhere(stack: Stack) -> None:
    """The database alone says what changed: no process tells another."""
    paul = stack.browser()
    await paul.sign_in_to_storage("paul")
    upload = (await paul.post("/files", file("a"), **FORM)).json
    async with listening_for_files(paul) as events:
        await events.upload()
        path = stack.settings.database_url.removeprefix("sqlite:///")
        with sqlite3.connect(path) as other:
            other.execute("UPDATE uploads SET storage = 'expired', updated_ms = updated_ms + 1")
        other.close()
        assert (await events.upload())["id"] == upload["id"]


async def test_who_is_not_signed_in_is_told_so_and_not_sent_elsewhere(stack: Stack) -> None:
    async with listening_for_files(stack.browser()) as events:
        assert events.response.status == 401
        assert (await events.response.json())["code"] == "not_signed_in"


async def test_a_session_has_so_many_streams_and_closed_ones_make_room(stack: Stack) -> None:
    marie, other = stack.browser(), stack.browser()
    await marie.sign_in_to_storage("marie")
    await other.sign_in_to_storage("marie")
    held = [await _hold(marie) for _ in range(event_streams.PER_SESSION)]
    async with listening_for_files(marie) as events:
        assert events.response.status == 429
        assert events.response.headers["Retry-After"] == "5"
    async with listening_for_files(other) as events:
        assert events.response.status == 200
    held.pop().close()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with listening_for_files(marie) as events:
                if events.response.status == 200:
                    break
    for response in held:
        response.close()


async def _hold(browser: Browser) -> ClientResponse:
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    response = await browser.http.get(f"{browser.home_url}/files/events", headers={"Cookie": cookies})
    assert response.status == 200
    return response


async def test_who_signs_out_hears_nothing_more(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_S", 0.2)
    marie = stack.browser()
    await marie.sign_in_to_storage("marie")
    async with listening_for_files(marie) as events:
        await marie.post("/sign-out")
        with pytest.raises(EOFError):
            await events.upload()
