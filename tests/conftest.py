"""Fixtures for every test. What a test may need from outside of Python is in `tests/requirements.py`."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from homeserver.storage.database import Database, open_database
from homeserver.storage.migrate import migrate
from tests import requirements
from tests.clock import Clock
from tests.embedded_postgres import embedded_postgres

# The same examples in every run: a test that fails on one machine fails on all. `make test-long` searches further.
settings.register_profile("quick", derandomize=True, deadline=None, database=None)
settings.register_profile("long", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile("quick")

_SCHEMA_NUMBERS: Final = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    requirements.install(config)
    # The settings of the developer's own server are none of the tests' business.
    for name in [name for name in os.environ if name.startswith("HOMESERVER_") and "_TESTS_" not in name]:
        del os.environ[name]


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at noon of 2026-11-22 (UTC) until the test moves it."""
    return Clock()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a real PostgreSQL that all tests of this run share; see `postgres_schema`."""
    with embedded_postgres() as url:
        yield url


@pytest.fixture
def postgres_schema(postgres_url: str) -> str:
    """The name of a schema that no other test uses. It does not exist yet."""
    return f"test_{next(_SCHEMA_NUMBERS)}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Runs the test on each engine: "sqlite" and "postgresql"."""
    kind: str = request.param
    return kind


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test's own database is."""

    url: str
    schema: str


@pytest.fixture
def empty_place(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place on each engine where nothing was migrated yet."""
    if database_kind == "sqlite":
        return Place(f"sqlite:///{tmp_path / 'homeserver.sqlite3'}", "public")
    return Place(request.getfixturevalue("postgres_url"), request.getfixturevalue("postgres_schema"))


@pytest.fixture
def place(empty_place: Place) -> Place:
    """A migrated place on each engine, for tests that open it more than once: each opening is like another process."""
    migrate(empty_place.url, empty_place.schema)
    return empty_place


@pytest.fixture
async def database(place: Place) -> AsyncIterator[Database]:
    """An open, empty database on each engine."""
    async with open_database(place.url, place.schema) as opened:
        yield opened
