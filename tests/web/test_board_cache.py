"""Pages that are kept for visitors: the same bytes as long as the list is the same, and never an older list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.pytest_plugin import AiohttpClient
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr

from homeserver.config import Visibility
from homeserver.sandbox.people import CHARLOTTE
from homeserver.web.board_cache import BoardPages, KeptResponse, Version
from homeserver.web.keys import CHANGES
from homeserver.web.security import FIXED_HEADERS
from tests.conftest import Place, sweep
from tests.web.conftest import Stack, running_stack
from tests.web.test_pages import page, texts, values

BOARD = "/boards/letters"


@pytest.fixture
async def stack(folder: Path, borrowed_place: Place, database_kind: str) -> AsyncIterator[Stack]:
    """Boards for everybody, on each engine."""
    if database_kind == "postgresql":
        await sweep(borrowed_place.url, borrowed_place.schema)
    database = {"url": SecretStr(borrowed_place.url), "schema_name": borrowed_place.schema}
    async with running_stack(folder, server={"boards_visible_to": Visibility.EVERYONE}, database=database) as running:
        yield running


async def test_a_page_is_the_same_until_the_list_is_another(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    visitor = stack.browser()
    first = await visitor.get(BOARD)
    again = await visitor.get(BOARD)
    assert (again.status, again.body, again.headers["ETag"]) == (200, first.body, first.headers["ETag"])
    assert first.headers["Cache-Control"] == "no-cache"
    assert "Cookie" in first.headers["Vary"]
    for known in (first.headers["ETag"], f'"other", W/{first.headers["ETag"]}'):
        unchanged = await visitor.get(BOARD, If_None_Match=known)
        assert (unchanged.status, unchanged.body) == (304, b"")
        for name in ("ETag", "Vary", "Cache-Control"):
            assert unchanged.headers[name] == first.headers[name]
    await gadget.call("POST", "scores", {"board": "letters", "value": "4321"})
    changed = await visitor.get(BOARD, If_None_Match=first.headers["ETag"])
    assert changed.status == 200
    assert texts(page(changed), "(//tbody//td[@class='num'])[1]") == ["4,321"]


async def test_languages_states_and_sessions_are_told_apart(stack: Stack) -> None:
    player, visitor = await stack.player(), stack.browser()
    pages = {
        (path, language): (await visitor.get(path, Accept_Language=language)).body
        for path in (BOARD, f"{BOARD}?period=month", f"{BOARD}?limit=5")
        for language in ("en", "fr")
        for _ in range(2)
    }
    assert len(set(pages.values())) == 6
    own = await player.get(BOARD, If_None_Match=(await visitor.get(BOARD)).headers["ETag"])
    assert own.status == 200
    assert "ETag" not in own.headers
    assert own.headers["Cache-Control"] == "no-store"
    assert "Elizabeth Bennet" in texts(page(own), "//header")[0]
    assert "Elizabeth Bennet" not in texts(page(await visitor.get(BOARD)), "//header")[0]
    ended = stack.browser()
    ended.cookies = {"hs": "x" * 43}  # of a session that is over: nobody in particular
    assert (await ended.get(BOARD)).status == 200
    assert (await visitor.get("/boards/none")).status == 404
    assert (await visitor.get(f"{BOARD}?period=year")).status == 400


async def test_each_player_finds_themselves_in_what_is_kept_of_all(stack: Stack) -> None:
    elizabeth, charlotte = await stack.player(), await stack.player(CHARLOTTE)
    gadget = await stack.open_gadget(CHARLOTTE)
    for score in ("30", "1"):
        await gadget.call("POST", "scores", {"board": "letters", "value": score})
        marks = []
        for browser in (elizabeth, charlotte, elizabeth):
            tree = page(await browser.get(BOARD))
            marks.append(values(tree, "//*[local-name()='rect'][@class='mine']/@x"))
            (label,) = texts(tree, "//dl/div[@class='mine']/dt")
            (own,) = texts(tree, "//aside//span[@class='hint'][contains(., 'with')][1]")
            least, greatest = (int(end) for end in (label.split(" \u2013 ") * 2)[:2])
            assert least <= int(own.rpartition(" ")[2]) <= greatest
        assert marks[0] == marks[2]
        if score == "30":
            assert marks[0] != marks[1]


async def test_who_saw_a_score_committed_sees_it_on_the_page(stack: Stack) -> None:
    """However many ask meanwhile."""
    gadget = await stack.open_gadget()
    over = asyncio.Event()

    async def keep_asking() -> None:
        browser = stack.browser()
        while not over.is_set():
            assert (await browser.get(BOARD)).status == 200

    asking = [asyncio.create_task(keep_asking()) for _ in range(4)]
    for score in range(1001, 1011):
        written = await gadget.call("POST", "scores", {"board": "letters", "value": str(score)})
        assert written.status == 201
        seen = page(await stack.browser().get(BOARD))
        assert texts(seen, "(//tbody//td[@class='num'])[1]") == [f"{score:,}"]
    over.set()
    await asyncio.gather(*asking)


class Unchanging:
    """Lists that never change."""

    async def version(self, board: str, period: str) -> str:
        return f"{board} {period}"


async def test_pages_take_only_so_much_room_and_are_made_once(aiohttp_client: AiohttpClient) -> None:
    pages = BoardPages(max_bytes=5_000)
    made: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        async def make() -> tuple[web.Response, Version]:
            made.append(request.path_qs)
            await asyncio.sleep(0)
            headers = {"Content-Type": "text/html", "Content-Language": "en", "Vary": "Cookie"}
            return web.Response(body=b"x" * 1_000, headers=headers), Version("b", "all", "b all")

        return await pages.answer(request, make)

    app = web.Application()
    app[FIXED_HEADERS] = {}
    app[CHANGES] = Unchanging()  # type: ignore[misc]
    app.router.add_get("/", handler)
    client = await aiohttp_client(app)
    got = await asyncio.gather(*(client.get("/?same") for _ in range(10)))
    assert {each.status for each in got} == {200}
    assert made == ["/?same"]
    for number in range(20):
        await client.get(f"/?{number}")
        await client.get("/?same")  # used all the time
    assert pages.size_bytes == 5_000
    assert made.count("/?same") == 1
    await client.get(f"/?{'x' * 600}")
    assert pages.size_bytes == 5_000


class Failing(Exception):
    pass


@pytest.mark.parametrize("address", ["/fails", f"/{'x' * 600}"], ids=["fails", "is not kept"])
async def test_who_waited_in_vain_makes_it_at_once(address: str) -> None:
    """Not one after the other, each when the one before is done."""
    pages, makers = BoardPages(), list[asyncio.Event]()

    async def make() -> tuple[web.Response, Version]:
        makers.append(asyncio.Event())
        await makers[-1].wait()
        if address == "/fails":
            raise Failing
        headers = {"Content-Type": "text/html", "Content-Language": "en", "Vary": "Cookie"}
        return web.Response(body=b"x", headers=headers), Version("b", "all", "b all")

    async def settled() -> int:
        for _ in range(20):
            await asyncio.sleep(0)
        return len(makers)

    app = web.Application()
    app[FIXED_HEADERS] = {}
    app[CHANGES] = Unchanging()  # type: ignore[misc]
    asking = [asyncio.create_task(pages.answer(make_mocked_request("GET", address, app=app), make)) for _ in range(5)]
    assert await settled() == 1
    makers[0].set()
    assert await settled() == 5
    for each in makers[::-1]:
        each.set()
        await settled()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(each) for each in found} == {Failing if address == "/fails" else KeptResponse}
    assert not pages._making


async def test_a_board_weighs_little_and_waits_for_no_script(stack: Stack) -> None:
    """All that the first look at the page asks for, but pictures, as it travels without compression."""
    await stack.open_gadget()
    browser = stack.browser()
    reply = await browser.get(f"{BOARD}?limit=20")
    tree = page(reply)
    assert values(tree, "//script[@src][not(@type='module') and not(@defer)]/@src") == []
    weight = len(reply.body)
    linked = [*values(tree, "//script/@src"), *values(tree, "//link/@href")]
    assert any("board.js" in each for each in linked)
    for address in [*linked, "/static/words.js"]:
        found = await browser.get(address)
        assert found.status == 200
        weight += len(found.body)
    assert weight < 150_000
