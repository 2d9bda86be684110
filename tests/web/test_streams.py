"""Answers that are sent while they are made, and what becomes of one whose making fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack

import pytest
from aiohttp import ClientPayloadError, ClientResponse, hdrs, web
from pytest_aiohttp.plugin import AiohttpClient

from homeserver.errors import BadInput, DatabaseUnavailable, TooMany
from homeserver.web import event_streams
from homeserver.web.bodies import stream
from homeserver.web.event_streams import STREAMS, Event, Listener, Streams, of_session, push
from homeserver.web.middleware import answer_errors
from tests.patience import PATIENCE_S

Made = AsyncGenerator[str | bytes, None]


async def whole() -> Made:
    yield "one, "
    yield b"two"


async def broken() -> Made:
    yield "one, "
    raise DatabaseUnavailable("It is away.")


async def with_a_bug() -> Made:
    yield "one, "
    raise RuntimeError("a bug")


async def cut_off_itself() -> Made:
    yield "one, "
    raise ConnectionResetError("not the reader, but whoever it is made of")


async def refused() -> Made:
    for part in ["nothing that is sent"]:
        if part:
            raise BadInput("no such format")
        yield part


def app_of(make: Callable[[], Made]) -> web.Application:
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            return await stream(request, make(), {hdrs.CONTENT_TYPE: "text/plain"})
        except BadInput as error:
            return web.Response(status=400, text=str(error))

    app = web.Application()
    app.router.add_get("/", handler)
    return app


async def test_parts_arrive_one_after_the_other(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(app_of(whole))
    async with client.get("/") as response:
        assert (response.status, response.content_type, await response.text()) == (200, "text/plain", "one, two")


@pytest.mark.parametrize("make", [broken, with_a_bug, cut_off_itself])
async def test_what_breaks_off_is_not_taken_for_the_whole(
    aiohttp_client: AiohttpClient, make: Callable[[], Made]
) -> None:
    client = await aiohttp_client(app_of(make))
    async with client.get("/") as response:
        assert response.status == 200
        with pytest.raises(ClientPayloadError):
            await response.read()


async def test_what_is_wrong_from_the_beginning_is_answered(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(app_of(refused))
    async with client.get("/") as response:
        assert (response.status, await response.text()) == (400, "no such format")


# --- events -----------------------------------------------------------------------------------------------------------


async def news() -> AsyncGenerator[str | None, None]:
    for each in ("one", None, "two"):
        yield each


async def lost_news() -> AsyncGenerator[str | None, None]:
    yield "one"
    raise DatabaseUnavailable("It is away.")


async def yes() -> bool:
    return True


async def who_knows() -> bool:
    raise DatabaseUnavailable("It is away.")


def event_app(
    make: Callable[[], AsyncGenerator[str | None, None]], may_listen: Callable[[], Awaitable[bool]]
) -> web.Application:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await push(request, of_session("s"), make(), lambda each: Event("news", each, each), may_listen)

    app = web.Application(middlewares=[answer_errors])
    app[STREAMS] = Streams()
    app.router.add_get("/", handler)
    return app


OPEN = "event: open\r\ndata: hello\r\nretry: 3000\r\n\r\n"
ONE = "id: one\r\nevent: news\r\ndata: one\r\n\r\n"


async def test_events_are_told_until_there_are_no_more(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(event_app(news, yes))
    async with client.get("/") as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert await response.text() == OPEN + ONE + ONE.replace("one", "two")


async def heard_until_cut(response: ClientResponse) -> str:
    """What comes before the connection is cut, pings aside."""
    heard = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for piece in response.content.iter_any():
                heard += piece
    except ClientPayloadError:
        return heard.decode().replace(": ping\r\n\r\n", "")
    pytest.fail(f"it ended by itself after {heard!r}")


@pytest.mark.parametrize(("make", "may_listen", "told"), [(lost_news, yes, OPEN + ONE), (news, who_knows, OPEN)])
async def test_an_error_cuts_events_and_is_none_of_them(
    aiohttp_client: AiohttpClient,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], AsyncGenerator[str | None, None]],
    may_listen: Callable[[], Awaitable[bool]],
    told: str,
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_S", 1e-9)
    client = await aiohttp_client(event_app(make, may_listen))
    async with client.get("/") as response:
        assert await heard_until_cut(response) == told
    async with client.get("/") as response:  # its place is free again
        assert response.status == 200


def test_streams_are_counted_for_each_and_in_all() -> None:
    streams, hold = Streams(), ExitStack()
    with hold:
        for key in ("a", "a", "b"):
            hold.enter_context(streams.one(Listener(key, 2, 4)))
        with pytest.raises(TooMany), streams.one(Listener("a", 2, 4)):
            pass
        with pytest.raises(TooMany), streams.one(Listener("c", 2, 3)):  # who may use less of the room
            pass
        with streams.one(Listener("c", 2, 4)), pytest.raises(TooMany), streams.one(Listener("d", 2, 4)):
            pass
        with streams.one(Listener("d", 2, 4)):
            pass
    with streams.one(Listener("a", 1, 1)):
        pass
