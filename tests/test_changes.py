"""Versions of lists, and the news of them: over both databases, by more than one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing
from itertools import pairwise

import asyncpg
import pytest

from homeserver.errors import BadInput, DatabaseUnavailable, NotFound
from homeserver.model import Board, Change, Origin
from homeserver.services import changes
from homeserver.services.board_states import BoardStates
from homeserver.services.changes import GONE, Changes, Key
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Transaction, WatchedDatabase, open_database
from homeserver.storage.postgres import lock_key
from homeserver.storage.postgres_hints import Hints
from tests.at_work import at_work
from tests.clock import NOON_MS, Clock
from tests.conftest import Place
from tests.leaderboards_kit import BOARD, give, make_players
from tests.patience import PATIENCE_S

OTHER = Board("words", "Words", "words")


@pytest.fixture
async def opened(borrowed_place: Place, database: Database) -> AsyncIterator[WatchedDatabase]:
    """Empty but for two boards."""
    await database.write(lambda tx: store.seed(tx, [BOARD, OTHER]))
    async with open_database(borrowed_place.url, borrowed_place.schema) as watched:
        yield watched


async def next_of(news: AsyncGenerator[str | None, None]) -> str:
    async with asyncio.timeout(PATIENCE_S):
        async for version in news:
            if version is not None:
                return version
    raise EOFError


async def test_a_version_is_another_one_whenever_the_list_is(opened: WatchedDatabase, clock: Clock) -> None:
    service = Changes(opened, clock.now_ms)
    anna, bert = await make_players(opened, "Anna", "Bert")
    seen = [await service.version("letters", "all")]
    for score in ("5", "7", "6", None):  # comes, rises, does not fall (the best stands), and goes
        await give(opened, {anna: score})
        seen.append(await service.version("letters", "all"))
    assert [one != other for one, other in pairwise(seen)] == [True, True, False, True]
    before = await service.version("words", "all")
    await give(opened, {bert: "5"})
    assert await service.version("letters", "all") != seen[-1]
    assert await service.version("words", "all") == before
    assert await service.version("letters", "month") == await service.version("letters", "month:2026-11")


async def test_what_ends_or_is_defined_anew_has_another_version(opened: WatchedDatabase, clock: Clock) -> None:
    service = Changes(opened, clock.now_ms)
    today = await service.version("letters", "day")
    clock.advance(hours=12)
    assert await service.version("letters", "day") != today
    assert await service.version("letters", "day:2026-11-22") == today
    await opened.write(lambda tx: tx.execute("UPDATE boards SET revision = revision + 1 WHERE board = 'letters'"))
    again = await service.version("letters", "day:2026-11-22")
    assert again != today
    states = BoardStates(opened, Rebuilds(opened, clock.now_ms), clock.now_ms)
    await states.close("letters", actor="maria", reason="the cup is over")
    assert await service.version("letters", "day:2026-11-22") != again
    await states.open("letters", actor="maria", reason="it goes on")
    assert await service.version("letters", "day:2026-11-22") == again


async def test_the_period_before_is_part_of_what_is_seen(opened: WatchedDatabase, clock: Clock) -> None:
    service = Changes(opened, clock.now_ms)
    anna, bert = await make_players(opened, "Anna", "Bert")
    await give(opened, {anna: "5"}, NOON_MS)
    today, month = await service.version("letters", "day"), await service.version("letters", "month")
    await give(opened, {bert: "5"}, NOON_MS - 86_400_000)  # an import brings what was yesterday
    assert await service.version("letters", "day") != today
    assert await service.version("letters", "month") != month
    yesterday = await service.version("letters", "day:2026-11-21")
    await give(opened, {anna: "6"}, NOON_MS)
    assert await service.version("letters", "day:2026-11-21") == yesterday


async def test_a_board_or_period_that_there_is_not_is_said_to_each_who_asks(
    opened: WatchedDatabase, clock: Clock
) -> None:
    service = Changes(opened, clock.now_ms)
    asked = [service.version(*each) for each in (("letters", "all"), ("none", "all"), ("letters", "year"))]
    found, unknown, wrong = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found, str)
    assert isinstance(unknown, NotFound)
    assert isinstance(wrong, BadInput)


async def test_a_score_that_is_committed_is_in_every_version_asked_for_afterwards(
    opened: WatchedDatabase, clock: Clock
) -> None:
    """By any process, and while others ask all the time: cached bytes are judged by it."""
    service = Changes(opened, clock.now_ms)
    (anna,) = await make_players(opened, "Anna")
    over = asyncio.Event()

    async def keep_asking() -> None:
        while not over.is_set():
            await service.version("letters", "all")
            await asyncio.sleep(0)

    asking = [asyncio.create_task(keep_asking()) for _ in range(5)]
    seen = set()
    for score in range(1, 21):
        await give(opened, {anna: str(score)})
        seen.add(await service.version("letters", "all"))
    over.set()
    await asyncio.gather(*asking)
    assert len(seen) == 20


async def test_news_come_from_another_process_and_several_changes_are_one(
    opened: WatchedDatabase, borrowed_place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SELDOM_S", PATIENCE_S * 10)  # by hints alone
    service = Changes(opened, clock.now_ms, often_s=0.01)
    (anna,) = await make_players(opened, "Anna")
    async with (
        open_database(borrowed_place.url, borrowed_place.schema) as elsewhere,
        at_work(service.run()),
        aclosing(service.watch("letters", "all")) as news,
    ):
        assert await anext(news) is None  # nothing yet; by now it listens
        await give(elsewhere, {anna: "1"})
        await give(elsewhere, {anna: "2"})
        heard = [await next_of(news)]
        while heard[-1] != await service.version("letters", "all"):
            heard.append(await next_of(news))
        assert len(heard) <= 2


async def test_who_comes_back_hears_at_once_whether_anything_changed(opened: WatchedDatabase, clock: Clock) -> None:
    service = Changes(opened, clock.now_ms)
    (anna,) = await make_players(opened, "Anna")
    known = await service.version("letters", "all")
    await give(opened, {anna: "1"})
    async with aclosing(service.watch("letters", "all", known)) as news:
        assert await anext(news) == await service.version("letters", "all")
        assert await anext(news) is None
        service.close()
        with pytest.raises(StopAsyncIteration):
            await anext(news)


async def test_a_board_that_is_taken_away_and_a_period_that_ends_are_news(
    opened: WatchedDatabase, clock: Clock
) -> None:
    service = Changes(opened, clock.now_ms)
    async with aclosing(service.watch("words", "day")) as news:
        assert await anext(news) is None
        clock.advance(hours=12)
        await service.look()
        assert await next_of(news) == await service.version("words", "day")
        await opened.write(lambda tx: tx.execute("DELETE FROM boards WHERE board = 'words'"))
        await service.look()
        assert await next_of(news) == GONE


async def test_what_a_look_saw_before_a_reader_came_is_no_news_to_it(
    opened: WatchedDatabase, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Changes(opened, clock.now_ms)
    (anna,) = await make_players(opened, "Anna")
    before = await service.version("letters", "all")
    original, late = Changes._read, service.watch("letters", "all", before)
    heard: list[str | None] = []

    async def slow(self: Changes, keys: Collection[Key]) -> Mapping[Key, object]:
        monkeypatch.setattr(Changes, "_read", original)
        found = await original(self, keys)
        await give(opened, {anna: "1"})
        heard.append(await anext(late))
        return found

    async with aclosing(service.watch("letters", "all")) as early, aclosing(late):
        assert await anext(early) is None
        monkeypatch.setattr(Changes, "_read", slow)
        await service.look()
        assert heard == [await service.version("letters", "all")]
        assert await anext(late) is None


@pytest.mark.parametrize("error", [KeyError, DatabaseUnavailable, asyncio.CancelledError])
async def test_whoever_asks_for_a_version_is_answered_whatever_goes_wrong(
    opened: WatchedDatabase, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    service = Changes(opened, clock.now_ms)
    late: list[asyncio.Task[str]] = []

    async def broken(self: Changes, keys: Collection[Key]) -> Mapping[Key, object]:
        monkeypatch.undo()
        late.append(asyncio.create_task(self.version("words", "all")))
        await asyncio.sleep(0)
        raise error("while it was read")

    monkeypatch.setattr(Changes, "_read", broken)
    async with asyncio.timeout(PATIENCE_S):
        (found,) = await asyncio.gather(service.version("letters", "all"), return_exceptions=True)
        await asyncio.wait(late)
    assert isinstance(found, error)
    assert late[0].cancelled() or late[0].result()
    assert await service.version("letters", "all")


@pytest.mark.postgres
async def test_a_process_announces_at_most_so_often(postgres_url: str, shared_schema: str) -> None:
    """Whatever is announced between two hints is in the second one, and none is sent inside of a transaction."""
    async with asyncpg.create_pool(postgres_url, min_size=1, max_size=2) as pool:
        key = lock_key("some schema", "hints")
        hints = Hints(pool, lambda: asyncpg.connect(postgres_url), key, pause_s=PATIENCE_S)
        heard = asyncio.Queue[str]()
        listener = await asyncpg.connect(postgres_url)
        await listener.add_listener(f"homeserver_{key % 2**64:016x}", lambda *told: heard.put_nowait(told[2]))
        for _ in range(50):
            hints.announce()
        async with asyncio.timeout(PATIENCE_S):
            await heard.get()
        hints.announce()
        await pool.execute("SELECT 1")
        await listener.execute("SELECT 1")  # what was sent before has come by now
        assert heard.empty()
        await hints.close()
        await listener.close()


async def test_a_transaction_that_is_undone_changes_no_version(opened: WatchedDatabase, clock: Clock) -> None:
    service = Changes(opened, clock.now_ms)
    (anna,) = await make_players(opened, "Anna")
    await give(opened, {anna: "1"})
    before = await service.version("letters", "all")

    async def failing(tx: Transaction) -> None:
        boards = await store.begin(tx)
        change = Change(anna, "letters", "1", "2", NOON_MS, Origin.READ)
        await store.record(tx, boards, [change], NOON_MS)
        raise KeyError

    with pytest.raises(KeyError):
        await opened.write(failing)
    assert await service.version("letters", "all") == before
