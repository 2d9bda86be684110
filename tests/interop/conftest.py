"""Each release of Shindig in turn, with our server beside it. Every test of this folder is one of `make interop`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from aiohttp import ClientSession, DummyCookieJar, web
from aiohttp.typedefs import Handler
from playwright.async_api import Browser

from homeserver.clients.transport import open_session
from homeserver.model import HttpRequest
from homeserver.serving import listen, serving
from homeserver.storage.migrate import migrate
from homeserver.wiring import make_app
from tests.browser.conftest import opened_browser
from tests.interop import society
from tests.interop.shindig import SHINDIGS, running
from tests.interop.world import Capture, World, settings


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=list(SHINDIGS))
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One release of Shindig, our server with an empty database, and the capturing address. Shared by all tests."""
    folder = tmp_path_factory.mktemp("interop")
    keys = society.make_keys()
    handshakes: list[HttpRequest] = []

    @web.middleware
    async def write_down(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "oauth_signature" in request.query:
            headers = {name.lower(): value for name, value in request.headers.items()}
            handshakes.append(HttpRequest(request.method, request.raw_path, headers))
        return await handler(request)

    async with AsyncExitStack() as stack:
        home_listener, capture_listener = (stack.enter_context(listen("127.0.0.1", 0)) for _ in range(2))
        home_url, capture_url = (
            f"http://127.0.0.1:{one.getsockname()[1]}" for one in (home_listener, capture_listener)
        )
        shindig = stack.enter_context(running(society.setup(request.param, keys, f"{home_url}/gadget.xml")))
        chosen = settings(folder, home_url, shindig, keys)
        migrate(chosen.database_url)
        app = make_app(chosen)
        app.middlewares.insert(0, write_down)
        capture = Capture(capture_url)
        await stack.enter_async_context(serving(app, home_listener))
        await stack.enter_async_context(serving(capture.app, capture_listener))
        yield World(
            shindig=shindig,
            home_url=home_url,
            app=app,
            capture=capture,
            keys=keys,
            session=await stack.enter_async_context(ClientSession(cookie_jar=DummyCookieJar())),
            signed_session=await stack.enter_async_context(open_session()),
            handshakes=handshakes,
            writers=iter(society.WRITERS),
        )


@pytest_asyncio.fixture(loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    async with opened_browser() as chromium:
        yield chromium
