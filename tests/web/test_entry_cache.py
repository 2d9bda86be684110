"""Answers about entries that are kept: right for each who asks, and never of an older list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from pydantic import SecretStr

from homeserver.sandbox.people import CHARLOTTE, ELIZABETH
from tests.conftest import Place, sweep
from tests.web.conftest import Gadget, Stack, running_stack

TOP = "boards/letters/entries?limit=1"


@pytest.fixture
async def stack(folder: Path, borrowed_place: Place, database_kind: str) -> AsyncIterator[Stack]:
    if database_kind == "postgresql":
        await sweep(borrowed_place.url, borrowed_place.schema)
    database = {"url": SecretStr(borrowed_place.url), "schema_name": borrowed_place.schema}
    async with running_stack(folder, database=database) as running:
        yield running


async def top(gadget: Gadget) -> tuple[str, bool]:
    """The first entry's score, and whether it is the caller's."""
    (entry,) = (await gadget.call("GET", TOP)).json["entries"]
    return entry["score"], entry["me"]


async def test_each_is_told_of_themselves_and_everybody_of_what_is_new(stack: Stack) -> None:
    elizabeth, charlotte = await stack.open_gadget(ELIZABETH), await stack.open_gadget(CHARLOTTE)
    nobody = await stack.open_gadget(None)
    for score in ("5000", "5001", "5002"):
        await charlotte.call("POST", "scores", {"board": "letters", "value": score})
        for _ in range(2):
            assert await top(elizabeth) == (score, False)
            assert await top(charlotte) == (score, True)
            assert await top(nobody) == (score, False)
    await elizabeth.call("POST", "scores", {"board": "letters", "value": "6000"})
    assert [await top(each) for each in (charlotte, elizabeth)] == [("6000", False), ("6000", True)]


async def test_a_token_that_ends_opens_nothing_that_is_kept(stack: Stack) -> None:
    gadget = await stack.open_gadget(CHARLOTTE)
    assert (await gadget.call("GET", TOP)).status == 200
    removed = stack.signed("GET", "/gadget/lifecycle", viewer=None, eventtype="event.removeapp", id=CHARLOTTE)
    async with ClientSession() as http, http.get(removed) as told:
        assert told.status == 204
    assert (await gadget.call("GET", TOP)).status == 401
