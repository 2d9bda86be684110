"""How fast the engine asks, reads and stores circles of fifty friends, over HTTP, into SQLite.

Values: requests a second. `ratio` is how many times as long it takes as the ideal (so many at a time, each answered
after so long), or as plain aiohttp fetching the same bytes. One value in twenty changed since it was asked before. All
on the event loop that the server has.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
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
PROCESSES: Final = 2
"""That share the work, and the connections: what `serve --workers 2` does on a machine with as many cores."""
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
    with container(DELAY_S) as address:
        seconds = serving.run(_shared(address, asked))
        name = f"sync.engine.50ms.{PROCESSES}_processes"
        yield Figure(name, asked / seconds, "requests/s", seconds / ideal_s, IDEAL_TARGET)
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
async def _database() -> AsyncIterator[tuple[Database, str]]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'sync.db'}"
        await asyncio.to_thread(migrate, url)
        async with open_database(url) as database:
            yield database, url


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


async def _ask_all(database: Database, asked: int) -> None:
    tasks = [(asker + 1, Kind.AROUND) for asker in _askers(asked)]
    await database.write(lambda tx: sync_tasks.add(tx, "stub", tasks, priority=Priority.ROUND, now_ms=_now_ms()))


@asynccontextmanager
async def _engine(database: Database, address: str, at_a_time: int) -> AsyncIterator[Sync]:
    async with open_session(max_connections=at_a_time) as session:
        client = ContainerClient(session, address, GUIDE, CREDENTIALS, now_ms=_now_ms)

        async def fields() -> Sequence[str]:
            return ("letters",)

        pace = Pace(database, "stub", _now_ms, concurrency=at_a_time)
        yield Sync(database, client, "stub", fields, _now_ms, concurrency=3 * at_a_time, pace=pace)


async def _work_off(sync: Sync) -> None:
    running = asyncio.create_task(sync.run())
    await sync.settled()
    running.cancel()
    await asyncio.wait({running})


def _check(answered: int, asked: int) -> None:
    if answered != asked:
        raise AssertionError(f"{answered} of {asked} answered")


async def _synced(address: str, asked: int) -> tuple[float, float]:
    """Seconds, and of them this process's CPU, to sync that many circles a second time."""
    async with _database() as (database, _), _engine(database, address, AT_A_TIME) as sync:
        await _prepare(database, asked)
        for _ in range(2):
            await _ask_all(database, asked)
            began_s, cpu_s = time.perf_counter(), time.process_time()
            await _work_off(sync)
            took = time.perf_counter() - began_s, time.process_time() - cpu_s
        _check(sync.tally.answered, 2 * asked)
        return took


async def _shared(address: str, asked: int) -> float:
    """Seconds until several processes, which have the connections together, synced that many circles a second time."""
    async with _database() as (database, url):
        await _prepare(database, asked)
        with _colleagues(url, address) as pipes:
            for _ in range(2):
                await _ask_all(database, asked)
                began_s = time.perf_counter()
                for pipe in pipes:
                    pipe.send(True)
                answered = [await asyncio.to_thread(pipe.recv) for pipe in pipes]
                seconds = time.perf_counter() - began_s
                _check(sum(answered), asked)
        return seconds


@contextmanager
def _colleagues(url: str, address: str) -> Iterator[list[Connection]]:
    """Processes that have opened the database; each works the queue off when it is told, and says how many it asked."""
    spawn = multiprocessing.get_context("spawn")
    pairs = [spawn.Pipe() for _ in range(PROCESSES)]
    processes = [spawn.Process(target=_colleague, args=(url, address, there), daemon=True) for _, there in pairs]
    try:
        for process, (_, there) in zip(processes, pairs, strict=True):
            process.start()
            there.close()  # theirs alone now: one that fails is not waited for
        for here, _ in pairs:
            here.recv()
        yield [here for here, _ in pairs]
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _colleague(url: str, address: str, told: Connection) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

    async def work() -> None:
        async with open_database(url) as database, _engine(database, address, AT_A_TIME // PROCESSES) as sync:
            told.send(True)
            while await asyncio.to_thread(told.recv):
                before = sync.tally.answered
                await _work_off(sync)
                told.send(sync.tally.answered - before)

    serving.run(work())


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
    async with _database() as (database, _):
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
