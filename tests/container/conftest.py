"""The container client with a container of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from homeserver.clients.container import ContainerClient
from homeserver.clients.transport import open_session
from homeserver.protocol.oauth1 import Credentials
from homeserver.protocol.opensocial import GUIDE, Dialect
from tests.container.stand_in import (
    KEY,
    SECRET,
    Container,
    World,
)


@pytest.fixture
async def world(aiohttp_server: Callable[[web.Application], Awaitable[TestServer]]) -> AsyncIterator[World]:
    container = Container()
    server = await aiohttp_server(container.app)

    async with open_session() as session:

        def make(dialect: Dialect = GUIDE, **options: Any) -> ContainerClient:
            container.dialect = dialect
            options.setdefault("credentials", Credentials(KEY, SECRET))
            return ContainerClient(
                session, str(server.make_url("/rest/")), dialect, now_ms=lambda: round(made.now_s * 1000), **options
            )

        made = World(container, make(), make, base_url=str(server.make_url("/rest")))
        yield made
