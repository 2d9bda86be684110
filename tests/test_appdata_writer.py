"""Writing AppData in the sandbox's container: all other keys stay, and no two writers undo each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from homeserver.clients.container import ContainerClient
from homeserver.clients.transport import open_session
from homeserver.errors import BadInput, NotFound, RemoteError, RemoteUnauthorized, RemoteUnavailable, TooMany
from homeserver.protocol.dialects import GUIDE, ORKUT, SHINDIG, Dialect
from homeserver.protocol.oauth1 import Credentials
from homeserver.sandbox import CannedReply, Fault, Sandbox
from homeserver.sandbox.container import SHINDIG as SHINDIG_QUIRKS
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from homeserver.services.appdata import LEASE_S, SETTLE_S, TURN_S, AppDataWrite, AppDataWriter
from homeserver.services.limits import SCORES, Limits
from homeserver.services.turns import Sleep
from homeserver.storage import leases, people
from homeserver.storage.database import Database, Transaction, open_database
from tests.clock import Clock
from tests.conftest import Place
from tests.patience import reached
from tests.sandboxes import sandbox_settings, serve

AWKWARD = {"a": "&", "b": "<b>", "c": '"', "d": "&amp;", "e": "é 🎈", "last_letter_date": "2008-10-30"}
PUT = f"PUT /social/rest/appdata/{ELIZABETH}/@self/@app"


@dataclass
class Container:
    """The sandbox's container and a client of it."""

    sandbox: Sandbox
    client: ContainerClient
    clock: Clock

    def writer(self, database: Database, sleep: Sleep = asyncio.sleep) -> AppDataWriter:
        return AppDataWriter(database, self.client, "sandbox", self.clock.now_ms, sleep=sleep)

    def stored(self, user_id: str = ELIZABETH) -> dict[str, str]:
        return self.sandbox.container.appdata_of(user_id)


@pytest.fixture
def dialect() -> Dialect:
    return GUIDE


@pytest.fixture
async def container(clock: Clock, dialect: Dialect) -> AsyncIterator[Container]:
    sandbox = Sandbox(sandbox_settings(clock.now_ms))
    if dialect is SHINDIG:
        sandbox.container.quirks = SHINDIG_QUIRKS
    http = await serve(sandbox)
    async with open_session() as session:
        client = ContainerClient(
            session,
            str(http.make_url("/social/rest")),
            dialect,
            Credentials(sandbox.settings.consumer_key, sandbox.settings.consumer_secret),
            now_ms=clock.now_ms,
        )
        yield Container(sandbox, client, clock)
    await http.close()


async def player_of(database: Database, user_id: str = ELIZABETH, container: str = "sandbox") -> int:
    return await database.write(lambda tx: people.player_of(tx, container, user_id))


async def update(writer: AppDataWriter, player: int, changes: Mapping[str, str]) -> AppDataWrite:
    """Write, and keep nothing of it here."""
    async with writer.updating(player, changes) as written:
        return written


async def test_a_player_is_ones_own_until_the_write_is_kept(container: Container, database: Database) -> None:
    """What the first write brought is in our database before the second one may begin."""
    player, writer = await player_of(database), container.writer(database)
    order: list[str] = []

    async def second() -> None:
        async with container.writer(database).updating(player, {"letters": "6"}):
            order.append("second")

    async with writer.updating(player, {"letters": "5"}):
        task = asyncio.create_task(second())
        for _ in range(20):
            await database.read(lambda reader: people.user_of(reader, player))
        order.append("first")
    await task
    assert order == ["first", "second"]


@pytest.mark.parametrize("dialect", [GUIDE, ORKUT, SHINDIG], ids=lambda dialect: dialect.name)
async def test_a_score_written_ten_times_leaves_all_other_keys_as_they_were(
    container: Container, database: Database
) -> None:
    container.sandbox.container.set_appdata(ELIZABETH, {"letters": "3", **AWKWARD})
    writer, player = container.writer(database), await player_of(database)
    for letters in range(4, 14):
        container.clock.advance(s=1)
        written = await update(writer, player, {"letters": str(letters)})
        assert written.before == {"letters": str(letters - 1), **AWKWARD}
        assert written.after == {"letters": str(letters), **AWKWARD}
        assert written.read_at_ms == written.written_at_ms == container.clock.now_ms()
    assert container.stored() == {"letters": "13", **AWKWARD}


@pytest.mark.parametrize("dialect", [GUIDE, ORKUT, SHINDIG], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("user_id", [ELIZABETH, JANE, CHARLOTTE])
async def test_the_first_score_of_a_player_makes_their_item(
    container: Container, database: Database, user_id: str
) -> None:
    """The guide's three ids: two above 2^63, one with a leading 0."""
    container.sandbox.container.set_appdata(user_id, {})
    written = await update(container.writer(database), await player_of(database, user_id), {"letters": "1"})
    assert (written.before, written.after) == ({}, {"letters": "1"})
    assert container.stored(user_id) == {"letters": "1"}


async def test_writers_of_two_processes_at_the_same_time_lose_nothing(place: Place, container: Container) -> None:
    """Each put is held up in the container until another would have read the old item, were it let in."""
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as two:
        writers = [container.writer(database) for database in (one, one, two, two)]
        player = await player_of(one)
        held = [container.sandbox.faults.add(Fault(PUT, hold=True)) for _ in range(10)]
        writes = [asyncio.create_task(update(writers[n % 4], player, {f"key{n}": str(n)})) for n in range(10)]
        for put in held:
            await reached(put)
            assert sum(not task.done() for task in writes) == len(held) - held.index(put)
            put.release.set()
        written = await asyncio.gather(*writes)
    assert {f"key{n}": str(n) for n in range(10)}.items() <= container.stored().items()
    assert container.stored()["letters"] == "3"
    assert sorted(len(write.after) for write in written) == list(range(3, 13))


async def test_writers_of_one_process_wait_without_asking_the_database_again_and_again(
    container: Container, database: Database
) -> None:
    async def sleep(seconds: float) -> None:
        pytest.fail("nobody else has the turn")

    writer, player = container.writer(database, sleep), await player_of(database)
    await asyncio.gather(*(update(writer, player, {f"key{n}": str(n)}) for n in range(5)))
    assert {f"key{n}": str(n) for n in range(5)}.items() <= container.stored().items()


class Leaving:
    """A database whose first write is done, and whose caller was cancelled meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, work: Any) -> Any:
        self._writes += 1
        answer = await self._database.write(work)
        if self._writes == 1:
            raise asyncio.CancelledError
        return answer


async def test_who_is_cancelled_while_asking_for_a_turn_does_not_keep_it(
    container: Container, database: Database
) -> None:
    """Until its lease ended, the player could not be written."""
    player = await player_of(database)
    with pytest.raises(asyncio.CancelledError):
        await update(container.writer(cast("Database", Leaving(database))), player, {"letters": "4"})
    assert await until_of_lease(database, player, container.clock) == []


async def test_different_players_do_not_wait_for_each_other(container: Container, database: Database) -> None:
    writer = container.writer(database)
    held = container.sandbox.faults.add(Fault(PUT, hold=True))
    first = asyncio.create_task(update(writer, await player_of(database), {"letters": "4"}))
    await reached(held)
    await update(writer, await player_of(database, JANE), {"letters": "5"})
    assert not first.done()
    held.release.set()
    await first
    assert container.stored(JANE)["letters"] == "5"


async def hold_lease(database: Database, player: int, clock: Clock, seconds: float) -> None:
    now_ms = clock.now_ms()
    assert await database.write(
        lambda tx: leases.acquire(
            tx, f"appdata:{player}", "another", now_ms=now_ms, until_ms=now_ms + int(seconds * 1000)
        )
    )


async def test_the_turn_of_a_process_that_died_ends_by_itself(container: Container, database: Database) -> None:
    player = await player_of(database)
    await hold_lease(database, player, container.clock, 5)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        container.clock.advance(ms=int(seconds * 1000))

    await update(container.writer(database, sleep), player, {"letters": "4"})
    assert sum(slept) == pytest.approx(5, abs=0.5)
    assert max(slept) <= 0.3


async def test_nobody_waits_for_their_turn_without_end(container: Container, database: Database) -> None:
    player = await player_of(database)
    await hold_lease(database, player, container.clock, LEASE_S)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        container.clock.advance(ms=int(seconds * 1000))

    with pytest.raises(TooMany):
        await update(container.writer(database, sleep), player, {"letters": "4"})
    assert sum(slept) == pytest.approx(TURN_S, abs=0.5)
    assert not container.sandbox.container.requests


async def until_of_lease(database: Database, player: int, clock: Clock) -> list[int]:
    """In how many milliseconds the player's turn ends; nothing where nobody has it."""
    rows = await database.read(
        lambda reader: reader.fetch("SELECT until_ms FROM leases WHERE name = $1", f"appdata:{player}")
    )
    return [row[0] - clock.now_ms() for row in rows]


async def test_a_turn_ends_with_its_write(container: Container, database: Database) -> None:
    player = await player_of(database)
    await update(container.writer(database), player, {"letters": "4"})
    assert await until_of_lease(database, player, container.clock) == []


async def test_after_a_write_without_an_answer_others_wait_a_moment(container: Container, database: Database) -> None:
    """It may still arrive, and would undo what the next one wrote."""
    player = await player_of(database)
    container.sandbox.faults.add(Fault(PUT, drop=True, times=None))
    with pytest.raises(RemoteUnavailable):
        await update(container.writer(database), player, {"letters": "4"})
    assert await until_of_lease(database, player, container.clock) == [SETTLE_S * 1000]


async def test_a_cancelled_write_gives_its_turn_back(container: Container, database: Database) -> None:
    player = await player_of(database)
    held = container.sandbox.faults.add(Fault(PUT, hold=True))
    write = asyncio.create_task(update(container.writer(database), player, {"letters": "4"}))
    await reached(held)
    write.cancel()
    await asyncio.wait({write})
    assert write.cancelled()
    assert await until_of_lease(database, player, container.clock) == [SETTLE_S * 1000]
    held.release.set()


async def test_a_refused_write_gives_its_turn_back_at_once(container: Container, database: Database) -> None:
    player = await player_of(database)
    container.sandbox.container.remove_app(ELIZABETH)
    with pytest.raises(RemoteUnauthorized):
        await update(container.writer(database), player, {"letters": "4"})
    assert await until_of_lease(database, player, container.clock) == []
    with pytest.raises(BadInput):
        await update(container.writer(database), player, {"no key": "4"})
    assert await until_of_lease(database, player, container.clock) == []


@pytest.mark.parametrize("reply", [CannedReply(500), CannedReply(200, b"<html>")])
async def test_an_item_that_cannot_be_read_is_not_overwritten(
    container: Container, database: Database, reply: CannedReply
) -> None:
    container.sandbox.faults.add(Fault("GET *", reply=reply))
    before = container.stored()
    with pytest.raises(RemoteError):
        await update(container.writer(database), await player_of(database), {"letters": "4"})
    assert container.stored() == before


async def test_only_players_of_this_container_can_be_written(container: Container, database: Database) -> None:
    writer = container.writer(database)
    for player in (4_711, await player_of(database, ELIZABETH, "elsewhere")):
        with pytest.raises(NotFound):
            await update(writer, player, {"letters": "4"})
    assert not container.sandbox.container.requests


async def test_a_player_is_not_written_without_end(container: Container, database: Database) -> None:
    writer, player = container.writer(database), await player_of(database)
    for letters in range(60):
        await update(writer, player, {"letters": str(letters)})
    with pytest.raises(TooMany) as refused:
        await update(writer, player, {"letters": "61"})
    assert 0 < refused.value.wait_s <= 60
    assert container.stored()["letters"] == "59"


async def test_one_write_too_many_is_refused_at_once_and_does_not_wait_for_its_turn(
    container: Container, database: Database
) -> None:
    writer, player = container.writer(database), await player_of(database)
    held = container.sandbox.faults.add(Fault(PUT, hold=True))
    first = asyncio.create_task(update(writer, player, {"letters": "4"}))
    await reached(held)
    limits = Limits(database, container.clock.now_ms)
    for _ in range(SCORES.allowed - 1):
        await limits.take(SCORES, str(player))
    with pytest.raises(TooMany) as refused:
        await update(writer, player, {"letters": "5"})
    assert refused.value.wait_s > 1  # until the window ends, not a moment as for a turn
    assert not first.done()
    held.release.set()
    await first


async def test_a_turn_given_back_with_a_transaction_is_free_when_that_is_committed(
    container: Container, database: Database
) -> None:
    """And only then: one that fails gives nothing back, and the end of the write does."""
    player = await player_of(database)

    async def failing(tx: Transaction) -> None:
        await written.turn.leave(tx)
        raise LookupError

    async with container.writer(database).updating(player, {"letters": "4"}) as written:
        with pytest.raises(LookupError):
            await database.write(failing)
        assert await until_of_lease(database, player, container.clock) == [LEASE_S * 1000]
    assert await until_of_lease(database, player, container.clock) == []
    async with container.writer(database).updating(player, {"letters": "5"}) as written:
        await database.write(written.turn.leave)
        written.turn.is_over = True
        assert await until_of_lease(database, player, container.clock) == []
        await hold_lease(database, player, container.clock, 5)  # somebody else's now, and left alone
    assert await until_of_lease(database, player, container.clock) == [5000]
