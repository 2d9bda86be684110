"""Fixtures for every test. What a test may need from outside of Python is in `tests/requirements.py`."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from homeserver.storage.database import Database, open_database
from homeserver.storage.migrate import migrate
from tests import requirements
from tests.clock import Clock
from tests.embedded_postgres import embedded_postgres

# The same examples in every run: a test that fails on one machine fails on all. `make test-long` searches further, at
# random; what lets a change in searches as far, and always at the same places (`repeatable`).
# How fast examples are made says something of the machine and its load, nothing of them.
_UNHURRIED: Final = [HealthCheck.too_slow]
settings.register_profile("quick", derandomize=True, deadline=None, database=None, suppress_health_check=_UNHURRIED)
settings.register_profile("long", max_examples=400, deadline=None, print_blob=True, suppress_health_check=_UNHURRIED)
settings.register_profile("repeatable", settings.get_profile("long"), derandomize=True, database=None)
settings.load_profile("quick")

_SCHEMA_NUMBERS: Final = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    requirements.install(config)
    # The settings of the developer's own server are none of the tests' business.
    for name in [name for name in os.environ if name.startswith("HOMESERVER_") and "_TESTS_" not in name]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A command that a test runs in this process writes its log to what standard error is for that test alone."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


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


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to be copied: a tenth of the time of migrating another."""
    path = tmp_path_factory.mktemp("migrated") / "homeserver.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def shared_schema(postgres_url: str) -> str:
    """A migrated schema that tests use one after the other."""
    migrate(postgres_url, "shared")
    return "shared"


async def sweep(url: str, schema: str) -> None:
    """Leave nothing of an earlier test behind."""
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    names = {row[0] for row in tables} - {"alembic_version", "meta"}
    deletes = [f"DELETE FROM {name};" for name in sorted(names)]
    await connection.execute("".join([*deletes, "DELETE FROM meta WHERE name <> 'erasure_key'"]))
    await connection.close()


@pytest.fixture
def borrowed_place(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A migrated place on each engine that was made before, for a test that leaves its schema as it is."""
    if database_kind == "postgresql":
        return Place(request.getfixturevalue("postgres_url"), request.getfixturevalue("shared_schema"))
    path = tmp_path / "homeserver.sqlite3"
    shutil.copyfile(request.getfixturevalue("migrated_file"), path)
    return Place(f"sqlite:///{path}", "public")


@pytest.fixture
async def database(borrowed_place: Place, database_kind: str) -> AsyncIterator[Database]:
    """An open, empty database on each engine, for this test alone."""
    if database_kind == "postgresql":
        await sweep(borrowed_place.url, borrowed_place.schema)
    async with open_database(borrowed_place.url, borrowed_place.schema) as opened:
        yield opened
