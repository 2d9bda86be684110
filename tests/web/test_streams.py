"""Answers that are sent while they are made, and what becomes of one whose making fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest
from aiohttp import ClientPayloadError, hdrs, web
from pytest_aiohttp.plugin import AiohttpClient

from homeserver.errors import BadInput, DatabaseUnavailable
from homeserver.web.bodies import stream

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


@pytest.mark.parametrize("make", [broken, with_a_bug])
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
