"""The news of a list, pushed to its page and to the gadget: who hears them, what is said, and when it ends."""

from __future__ import annotations

from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import ClientSession

from homeserver.config import Visibility
from homeserver.sandbox.people import CHARLOTTE
from homeserver.web import event_streams
from tests.web.conftest import Browser, Gadget, Stack, running_stack
from tests.web.events import Events, listening


def page(browser: Browser, query: str = "", board: str = "letters", **headers: str) -> tuple[str, dict[str, str]]:
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return f"{browser.home_url}/boards/{board}/events?{query}", {"Cookie": cookies, **headers}


def gadgets(gadget: Gadget, query: str = "board=letters") -> tuple[str, dict[str, str]]:
    return f"{gadget.home_url}/gadget/v1/events?{query}", {"Authorization": f"Bearer {gadget.token}"}


async def test_page_and_gadget_hear_that_a_score_has_come_and_nothing_of_it(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    browser = await stack.player(CHARLOTTE)
    async with (
        listening(stack.http, *page(browser)) as on_page,
        listening(stack.http, *gadgets(gadget, "board=letters&period=day")) as in_gadget,
    ):
        for events in (on_page, in_gadget):
            assert events.response.status == 200
            assert events.response.content_type == "text/event-stream"
            await events.next("open")
        await gadget.call("POST", "scores", {"board": "letters", "value": "77"})
        for events in (on_page, in_gadget):
            event = await events.next()
            assert event == {"event": "changed", "id": event["data"], "data": event["data"]}
            assert "77" not in event["data"]
            assert ("day:" in event["data"]) is (events is in_gadget)
    known = event["id"]
    async with listening(stack.http, *gadgets(gadget, f"board=letters&period=day&version={known}")) as back:
        await back.next("open")
        await gadget.call("POST", "scores", {"board": "letters", "value": "78"})
        newest = (await back.next())["id"]
        assert newest != known
    url, headers = gadgets(gadget, "board=letters&period=day")
    async with listening(stack.http, url, {**headers, "Last-Event-ID": known}) as back:
        assert (await back.next())["id"] == newest  # at once


async def test_the_gadget_reads_it_from_another_origin(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    url, headers = gadgets(gadget)
    async with listening(stack.http, url, {**headers, "Origin": stack.sandbox_url}) as events:
        assert events.response.headers["Access-Control-Allow-Origin"] in {stack.sandbox_url, "*"}


async def test_what_is_not_there_is_said_before_the_stream_begins(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    browser = await stack.player()
    for asked, status in (
        (page(browser, board="none"), 404),
        (page(browser, "period=year"), 400),
        (gadgets(gadget, "board=none"), 404),
        (gadgets(gadget, ""), 404),
        (page(stack.browser()), 401),
        (gadgets(Gadget(stack.http, stack.home_url, "wrong")), 401),
    ):
        async with listening(stack.http, *asked) as events:
            assert events.response.status == status


async def test_a_session_has_so_many_streams(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "PER_SESSION", 1)
    browser, gadget = await stack.player(), await stack.open_gadget(CHARLOTTE)
    for asked in (page(browser), gadgets(gadget)):
        async with listening(stack.http, *asked) as first, listening(stack.http, *asked) as second:
            assert (first.response.status, second.response.status) == (200, 429)


async def test_who_signs_out_hears_nothing_more(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_S", 0.2)
    browser = await stack.player()
    async with listening(stack.http, *page(browser)) as events:
        await events.next("open")
        await browser.post("/sign-out")
        with pytest.raises(EOFError):
            await events.next()


async def test_a_gadget_whose_player_removed_the_application_hears_nothing_more(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_S", 0.2)
    gadget = await stack.open_gadget(CHARLOTTE)
    async with listening(stack.http, *gadgets(gadget)) as events:
        await events.next("open")
        removed = stack.signed("GET", "/gadget/lifecycle", viewer=None, eventtype="event.removeapp", id=CHARLOTTE)
        async with stack.http.get(removed) as told:
            assert told.status == 204
        with pytest.raises(EOFError):
            await events.next()


async def test_the_end_of_the_server_ends_the_stream_of_a_visitor(folder: Path) -> None:
    """Boards for everybody are live for everybody; and who listens does not hold up the end."""
    async with ClientSession() as http:
        async with running_stack(folder, server={"boards_visible_to": Visibility.EVERYONE}) as stack:
            response = await http.get(page(stack.browser())[0])
            events = Events(response)
            await events.next("open")
        with pytest.raises(EOFError):
            await events.next()


async def test_visitors_of_one_network_share_their_streams(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has an address of IPv6 has 2^64 of them."""
    monkeypatch.setattr(event_streams, "PER_ADDRESS", 1)
    server = {"boards_visible_to": Visibility.EVERYONE, "trusted_proxies": (ip_network("127.0.0.1/32"),)}
    async with running_stack(folder, server=server) as stack, AsyncExitStack() as held:
        statuses = []
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1", "192.0.2.2", "192.0.2.1"):
            asked = page(stack.browser(), **{"X-Forwarded-For": address})
            events = await held.enter_async_context(listening(stack.http, *asked))
            statuses.append(events.response.status)
        assert statuses == [200, 429, 200, 200, 200, 429]


async def test_visitors_leave_room_for_players(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "IN_ALL", 4)
    async with (
        running_stack(folder, server={"boards_visible_to": Visibility.EVERYONE}) as stack,
        AsyncExitStack() as held,
    ):
        player = await stack.player()
        statuses = []
        for browser in (stack.browser(), stack.browser(), stack.browser(), player, player, player):
            events = await held.enter_async_context(listening(stack.http, *page(browser)))
            statuses.append(events.response.status)
        assert statuses == [200, 200, 429, 200, 200, 429]
