"""A sandbox that runs, alone or beside a home server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from homeserver.sandbox import Sandbox
from homeserver.sandbox.people import ELIZABETH
from tests.clock import Clock
from tests.ports import free_port
from tests.sandbox.home import Home
from tests.sandboxes import Client, SignedClient, sandbox_settings, serve


@pytest.fixture
async def container(clock: Clock) -> AsyncIterator[SignedClient]:
    sandbox = Sandbox(sandbox_settings(clock.now_ms))
    http = await serve(sandbox)
    yield SignedClient(http, sandbox)
    await http.close()


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    app = web.Application()
    server = TestServer(app)
    home = Home(server)
    app.router.add_get("/gadget.xml", home.give_spec)
    app.router.add_route("*", "/{path:.*}", home.write_down)
    await server.start_server()
    yield home
    await server.close()


@pytest.fixture
async def sandbox(home: Home, clock: Clock) -> Sandbox:
    return Sandbox(
        sandbox_settings(
            clock.now_ms,
            gadget_url=f"{home.origin}/gadget.xml",
            public_url=f"http://localhost:{free_port()}",
        )
    )


@pytest.fixture
async def browser(sandbox: Sandbox) -> AsyncIterator[Client]:
    client = await serve(sandbox, urlsplit(sandbox.settings.public_url).port)
    yield client
    await client.close()


@pytest.fixture
def token(sandbox: Sandbox) -> str:
    """Elizabeth looks at her own gadget."""
    return sandbox.gadgets.token_for(ELIZABETH, ELIZABETH)
