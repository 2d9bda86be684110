"""Whom a request came from, behind web servers that are trusted and those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from aiohttp import ClientSession, web

from homeserver.serving import listen, serving
from homeserver.web.keys import SITE, Site
from homeserver.web.security import peer

LOOPBACK = ("127.0.0.1/32",)
TWO = ("127.0.0.1/32", "10.0.0.0/8", "2001:db8::/64")


async def seen(trusted: Sequence[str], *forwarded: str) -> str:
    """Whom a server sees that trusts these, when this machine asks it with these headers."""
    app = web.Application()
    app[SITE] = Site("https://letters.example.org", trusted_proxies=tuple(map(ip_network, trusted)))

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=peer(request))

    app.router.add_get("/", answer)
    listener = listen("127.0.0.1", 0)
    headers = [("X-Forwarded-For", each) for each in forwarded]
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    async with serving(app, listener), ClientSession() as http, http.get(url, headers=headers) as response:
        return await response.text()


@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        ((), ("192.0.2.7",), "127.0.0.1"),
        (LOOPBACK, (), "127.0.0.1"),
        (LOOPBACK, ("192.0.2.7",), "192.0.2.7"),
        (LOOPBACK, ("2001:db8::1",), "2001:db8::1"),
        (LOOPBACK, ("198.51.100.1, 192.0.2.7",), "192.0.2.7"),
        (LOOPBACK, ("198.51.100.1", "192.0.2.7"), "192.0.2.7"),
        (TWO, ("192.0.2.7, 10.1.2.3",), "192.0.2.7"),
        (TWO, ("198.51.100.1, 192.0.2.7, 2001:db8::5, 10.1.2.3",), "192.0.2.7"),
        (TWO, ("192.0.2.7, ::ffff:10.1.2.3",), "192.0.2.7"),
        (TWO, ("10.9.9.9, 10.1.2.3",), "10.9.9.9"),
        (LOOPBACK, ("nonsense",), "127.0.0.1"),
        (TWO, ("nonsense, 10.1.2.3",), "10.1.2.3"),
        (LOOPBACK, ("",), "127.0.0.1"),
    ],
)
async def test_the_last_address_that_is_no_proxys_counts(
    trusted: Sequence[str], forwarded: Sequence[str], expected: str
) -> None:
    assert await seen(trusted, *forwarded) == expected
