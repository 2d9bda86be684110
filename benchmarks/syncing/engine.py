"""How fast the engine asks, reads and stores circles of fifty friends, over HTTP, into SQLite.

Values: requests a second. `ratio` is how many times as long it takes as the ideal (so many at a time, each answered
after so long), or as plain aiohttp fetching the same bytes. One value in twenty changed since it was asked before. All
on the event loop that the server has.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
from aiohttp import ClientSession
from yarl import URL

from benchmarks.report import Figure
from benchmarks.syncing.stub import APART, PEOPLE, container, friends_of, value_of
from homeserver import serving
from homeserver.clients.container import ContainerClient
from homeserver.clients.transport import Signer, open_session
from homeserver.model import Board, HttpReply
from homeserver.protocol.dialects import GUIDE
from homeserver.protocol.oauth1 import Credentials
from homeserver.protocol.opensocial import parse_appdata
from homeserver.services.pace import Pace
from homeserver.services.sync import Sync
from homeserver.services.sync_answers import Answers, apply
from homeserver.storage import leaderboards, sync_tasks
from homeserver.storage.database import Database, Transaction, open_database
from homeserver.storage.migrate import migrate
from homeserver.storage.sync_tasks import Kind, Priority

AT_A_TIME: Final = 100
DELAY_S: Final = 0.05
IDEAL_TARGET: Final = 1 / 0.90
PLAIN_TARGET: Final = 1 / 0.40
CREDENTIALS: Final = Credentials("orkut.com:623061448914", "a-consumer-secret-of-24-c")


def run(*, quick: bool) -> Iterator[Figure]:
    """With answers that take 50 ms, then with immediate ones, then what a request costs, part by part."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield from _measured(quick=quick)
    finally:
        structlog.configure(**before)


def _measured(*, quick: bool) -> Iterator[Figure]:
    asked = 200 if quick else 4_000
    with container(DELAY_S) as address:
        seconds, _ = serving.run(_synced(address, asked))
        ideal_s = asked / AT_A_TIME * DELAY_S
        yield Figure("sync.engine.50ms", asked / seconds, "requests/s", seconds / ideal_s, IDEAL_TARGET)
    with container(0.0) as address:
        plain_s = serving.run(_plain(address, asked))
        seconds, cpu_s = serving.run(_synced(address, asked))
        yield Figure("sync.engine.0ms", asked / seconds, "requests/s", seconds / plain_s, PLAIN_TARGET)
        yield Figure("sync.engine.0ms.reference", asked / plain_s, "requests/s")
        yield Figure("sync.engine.cpu", cpu_s / asked * 1e6, "us a request")
    yield from _parts(200 if quick else 2_000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _plain(address: str, asked: int) -> float:
    urls = iter([URL(f"{address}/appdata/p{asker}/@friends/@app") for asker in _askers(asked)])

    async def fetch(session: ClientSession) -> None:
        for url in urls:
            async with session.get(url) as response:
                await response.read()

    async with open_session(max_connections=AT_A_TIME) as session:
        began_s = time.perf_counter()
        await asyncio.gather(*(fetch(session) for _ in range(AT_A_TIME)))
        return time.perf_counter() - began_s


@asynccontextmanager
async def _database() -> AsyncIterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'sync.db'}"
        await asyncio.to_thread(migrate, url)
        async with open_database(url) as database:
            yield database


def _askers(asked: int) -> list[int]:
    return [number * APART % PEOPLE for number in range(asked)]


async def _prepare(database: Database, asked: int) -> None:
    async def work(tx: Transaction) -> None:
        await leaderboards.seed(tx, [Board("letters", "Letters", "letters")])
        await tx.execute_many(
            "INSERT INTO players (player, public_id, container, user_id) VALUES ($1, $2, 'stub', $2)",
            [(number + 1, f"p{number}") for number in range(PEOPLE)],
        )
        await tx.execute_many(
            "INSERT INTO friendships (player, friend) VALUES ($1, $2)",
            [(asker + 1, friend + 1) for asker in _askers(asked) for friend in friends_of(asker)],
        )

    await database.write(work)


async def _synced(address: str, asked: int) -> tuple[float, float]:
    """Seconds, and of them this process's CPU, to sync that many circles a second time."""
    async with _database() as database, open_session(max_connections=AT_A_TIME) as session:
        await _prepare(database, asked)
        client = ContainerClient(session, address, GUIDE, CREDENTIALS, now_ms=_now_ms)

        async def fields() -> Sequence[str]:
            return ("letters",)

        pace = Pace(database, "stub", _now_ms, concurrency=AT_A_TIME)
        sync = Sync(database, client, "stub", fields, _now_ms, concurrency=3 * AT_A_TIME, pace=pace)
        tasks = [(asker + 1, Kind.AROUND) for asker in _askers(asked)]
        for _ in range(2):
            await database.write(
                lambda tx: sync_tasks.add(tx, "stub", tasks, priority=Priority.ROUND, now_ms=_now_ms())
            )
            began_s, cpu_s = time.perf_counter(), time.process_time()
            running = asyncio.create_task(sync.run())
            await sync.settled()
            took = time.perf_counter() - began_s, time.process_time() - cpu_s
            running.cancel()
            await asyncio.wait({running})
        if sync.tally.answered != 2 * asked:
            raise AssertionError(f"{sync.tally.answered} of {2 * asked} answered")
        return took


def _parts(calls: int) -> Iterator[Figure]:
    signer = Signer(CREDENTIALS, now_ms=_now_ms)
    address = "http://127.0.0.1:8081/rest/appdata/p17/@friends/@app?fields=letters"
    yield _each("sync.engine.sign", calls, lambda: signer.sign("GET", address, requestor_id="p17"))
    items = ",".join(f'"p{friend}":{{"letters":"100"}}' for friend in friends_of(17))
    reply = HttpReply(200, {}, f'{{"entry":{{{items}}}}}'.encode())
    yield _each("sync.engine.parse", calls, lambda: parse_appdata(reply, GUIDE))
    yield serving.run(_storing(calls // 20))


def _each(name: str, calls: int, work: object) -> Figure:
    began_ns = time.process_time_ns()
    for _ in range(calls):
        work()  # type: ignore[operator]
    return Figure(name, (time.process_time_ns() - began_ns) / 1000 / calls, "us a request")


async def _storing(batches: int) -> Figure:
    """Applying circles, 32 in a transaction, of which one value in twenty changed (others are left out before)."""
    async with _database() as database:
        await _prepare(database, 32)
        took_ns = 0
        for batch in range(batches + 1):
            now_ms = _now_ms()
            answers = [
                Answers(
                    asker + 1,
                    f"p{asker}",
                    Kind.AROUND,
                    now_ms,
                    now_ms,
                    values={
                        f"p{friend}": {"letters": str(value_of(friend, batch))}
                        for friend in friends_of(asker)
                        if not batch or value_of(friend, batch) != value_of(friend, batch - 1)
                    },
                )
                for asker in _askers(32)
            ]
            began_ns = time.process_time_ns()
            await database.write(
                lambda tx, answers=answers, now_ms=now_ms: apply(  # type: ignore[misc]
                    tx, "stub", answers, holder="", now_ms=now_ms, offline=True
                )
            )
            took_ns += (time.process_time_ns() - began_ns) if batch else 0
            await asyncio.sleep(0.002)
        return Figure("sync.engine.store", took_ns / 1000 / 32 / batches, "us a request")
