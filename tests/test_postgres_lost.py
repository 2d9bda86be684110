"""A PostgreSQL that is lost on the way: what was asked for is done once or not at all, and it is said which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeserver.errors import DatabaseUnavailable
from homeserver.storage import postgres
from homeserver.storage.database import Database, Transaction, open_database
from tests.conftest import sweep
from tests.postgres_proxy import Cut, Proxy, proxied

pytestmark = pytest.mark.postgres

COUNTER = "INSERT INTO limits (name, starts_ms, used) VALUES ('calls', 0, 1) ON CONFLICT (name) DO UPDATE SET used = "


@pytest.fixture
async def proxy(postgres_url: str, shared_schema: str) -> AsyncIterator[Proxy]:
    await sweep(postgres_url, shared_schema)
    async with proxied(postgres_url) as opened:
        yield opened


@pytest.fixture
async def database(proxy: Proxy, shared_schema: str) -> AsyncIterator[Database]:
    async with open_database(proxy.url, shared_schema, connections=2) as opened:
        yield opened


class Counter:
    """Adds 1 each time its work is done."""

    def __init__(self) -> None:
        self.runs = 0

    async def work(self, tx: Transaction) -> int:
        self.runs += 1
        await tx.execute(f"{COUNTER} limits.used + 1")
        return self.runs


async def used(database: Database) -> int:
    found: int | None = await database.read(lambda db: db.fetch_value("SELECT used FROM limits WHERE name = 'calls'"))
    return found or 0


@pytest.mark.parametrize(("cut", "runs"), [(Cut.BEFORE_COMMIT, 2), (Cut.BEFORE_ANSWER, 1)])
async def test_what_was_lost_at_commit_is_done_once(database: Database, proxy: Proxy, cut: Cut, runs: int) -> None:
    counter = Counter()
    await database.write(counter.work)
    proxy.cut = cut
    assert await database.write(counter.work) == 1 + runs
    assert proxy.cuts == 1
    assert await used(database) == 2
    await database.write(counter.work)
    assert await used(database) == 3


@pytest.mark.parametrize("cut", Cut)
async def test_what_comes_afterwards_is_done_too(database: Database, proxy: Proxy, cut: Cut) -> None:
    counter = Counter()

    async def work(tx: Transaction) -> None:
        await counter.work(tx)
        await tx.afterwards(counter.work)

    proxy.cut = cut
    await database.write(work)
    assert await used(database) == 2


async def test_a_transaction_that_wrote_nothing_is_not_run_again(database: Database, proxy: Proxy) -> None:
    runs = 0

    async def work(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await tx.fetch("SELECT 1")

    proxy.cut = Cut.BEFORE_COMMIT
    await database.write(work)
    assert (runs, proxy.cuts) == (1, 1)


async def test_who_does_not_come_back_leaves_it_uncertain(
    database: Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "ASKED_AT_MOST", 3)
    counter = Counter()
    proxy.cut, proxy.after_cut_down = Cut.BEFORE_ANSWER, True
    with pytest.raises(DatabaseUnavailable) as lost:
        await database.write(counter.work)
    assert lost.value.uncertain
    proxy.down = False
    assert await used(database) == 1


async def test_what_is_lost_before_commit_is_said_and_leaves_nothing(database: Database, proxy: Proxy) -> None:
    counter = Counter()

    async def work(tx: Transaction) -> None:
        await counter.work(tx)
        proxy.close()
        await tx.fetch("SELECT pg_sleep(60)")

    with pytest.raises(DatabaseUnavailable) as lost:
        await database.write(work)
    assert not lost.value.uncertain
    assert await used(database) == 0


async def test_a_server_that_lets_nobody_in_or_ends_us_is_unavailable(
    database: Database, proxy: Proxy, shared_schema: str
) -> None:
    async def ended(db: Any) -> None:
        await db.fetch("SELECT pg_terminate_backend(pg_backend_pid())")

    for work in (database.read, database.look, database.write):
        with pytest.raises(DatabaseUnavailable):
            await work(ended)
    proxy.close()
    proxy.down = True
    for work in (database.read, database.look, database.write):
        with pytest.raises(DatabaseUnavailable):
            await work(ended)
    proxy.down = False
    assert await used(database) == 0


async def test_a_mistake_of_ours_is_no_lost_database(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(tx.fetch("SELECT pg_sleep(0.2)"))
            both.create_task(tx.fetch("SELECT 1"))  # on a connection that is busy

    with pytest.raises(ExceptionGroup) as raised:
        await database.write(work)
    assert not raised.group_contains(DatabaseUnavailable)
