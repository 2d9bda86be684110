"""A house for each test of uploads."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from homeserver.clients.transport import open_session
from homeserver.storage.database import open_database
from tests.clock import Clock
from tests.storage_service import start_storage
from tests.uploads.house import House


@pytest.fixture
async def house(tmp_path: Path, migrated_file: Path, clock: Clock) -> AsyncIterator[House]:
    url = f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'db.sqlite3')}"
    service, server = await start_storage(clock.now_ms)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        session = await stack.enter_async_context(open_session())
        database = await stack.enter_async_context(open_database(url))
        made = House(database, tmp_path / "spool", service, session, clock)
        await made.spool().prepare()
        yield made
