"""A house for each test of uploads."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homeserver.storage.database import Database, open_database
from tests.clock import Clock
from tests.uploads.house import House, open_house


@pytest.fixture
async def house(tmp_path: Path, migrated_file: Path, clock: Clock) -> AsyncIterator[House]:
    """On SQLite."""
    url = f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'db.sqlite3')}"
    async with open_database(url) as database, open_house(database, tmp_path / "spool", clock) as made:
        yield made


@pytest.fixture
async def house_on_both(tmp_path: Path, database: Database, clock: Clock) -> AsyncIterator[House]:
    """On each engine."""
    async with open_house(database, tmp_path / "spool", clock) as made:
        yield made
