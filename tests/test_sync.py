"""The sync against the sandbox's container over HTTP: what it brings, and that no failure loses anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from homeserver.clients.container import ContainerClient
from homeserver.clients.transport import open_session
from homeserver.errors import NotFound, RemoteError, RemoteUnauthorized, TooMany
from homeserver.model import Board, Origin, SyncState
from homeserver.protocol.dialects import GUIDE, SHINDIG, Dialect
from homeserver.protocol.oauth1 import Credentials
from homeserver.sandbox import CannedReply, Fault, Sandbox
from homeserver.sandbox.container import SHINDIG as SHINDIG_QUIRKS
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from homeserver.services.pace import Pace
from homeserver.services.sync import ASKED_AT_MOST, DEBOUNCE_MS, LEASE_S, Sync
from homeserver.storage import appdata, leaderboards, people, sync_tasks
from homeserver.storage.database import Database, Reader, open_database
from tests.at_work import at_work
from tests.clock import Clock
from tests.conftest import Place
from tests.patience import reached
from tests.sandboxes import Client, sandbox_settings, serve

PEOPLE = "GET /social/rest/people/*/@friends"
APPDATA = "GET /social/rest/appdata/*/@friends/@app"


@dataclass
class Setting:
    """A sandbox with a home server's sync."""

    sandbox: Sandbox
    database: Database
    connect: Callable[[Dialect], ContainerClient]
    clock: Clock
    dialect: Dialect = GUIDE
    fields: list[str] = field(default_factory=lambda: ["letters"])
    sync: Sync = field(init=False)

    def __post_init__(self) -> None:
        self.sync = self.another_process(self.database)

    def another_process(self, database: Database, *, concurrency: int = 4) -> Sync:
        client, now_ms = self.connect(self.dialect), self.clock.now_ms
        pace = Pace(database, "sandbox", now_ms, tries=1, break_after=1_000)
        return Sync(database, client, "sandbox", self.board_fields, now_ms, concurrency=concurrency, pace=pace)

    async def board_fields(self) -> Sequence[str]:
        return self.fields

    async def player(self, user_id: str, container: str = "sandbox") -> int:
        return await self.database.write(lambda tx: people.player_of(tx, container, user_id))

    async def letters(self) -> dict[str, str | None]:
        """What we hold, by user id."""

        async def work(reader: Reader) -> dict[str, str | None]:
            rows = await reader.fetch(
                "SELECT p.user_id, a.value FROM appdata AS a JOIN players AS p ON p.player = a.player "
                "WHERE a.key = 'letters'"
            )
            return {row[0]: row[1] for row in rows}

        return await self.database.read(work)

    async def friends(self, user_id: str) -> set[str]:
        player = await self.player(user_id)

        async def work(reader: Reader) -> set[str]:
            return {(await people.user_of(reader, friend))[1] for friend in await people.friends_of(reader, player)}

        return await self.database.read(work)

    async def everything(self) -> list[list[tuple[object, ...]]]:
        """All that a sync writes."""

        async def work(reader: Reader) -> list[list[tuple[object, ...]]]:
            tables = ("players", "friendships", "appdata", "events", "entries")
            return [sorted(map(tuple, await reader.fetch(f"SELECT * FROM {table}")), key=repr) for table in tables]

        return await self.database.read(work)

    async def synced(self, user_id: str) -> None:
        """One more sync, a second later."""
        self.clock.advance(s=1)
        await self.sync.sync_player(await self.player(user_id))

    def expected_friends(self, user_id: str) -> set[str]:
        container = self.sandbox.container
        return {friend for friend in container.friends[user_id] if container.has_app(friend)}


async def set_the_scene(sandbox: Sandbox, http: Client, database: Database, clock: Clock) -> AsyncIterator[Setting]:
    settings = sandbox.settings
    async with open_session() as session:

        def connect(dialect: Dialect) -> ContainerClient:
            return ContainerClient(
                session,
                str(http.make_url("/social/rest")),
                dialect,
                Credentials(settings.consumer_key, settings.consumer_secret),
                now_ms=clock.now_ms,
            )

        yield Setting(sandbox, database, connect, clock)


@pytest.fixture
async def setting(clock: Clock, database: Database) -> AsyncIterator[Setting]:
    """On both engines."""
    sandbox = Sandbox(sandbox_settings(clock.now_ms))
    http = await serve(sandbox)
    async for setting in set_the_scene(sandbox, http, database, clock):
        yield setting
    await http.close()


only_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
"""For tests of what travels, where the engine makes no difference."""


# --- what a sync brings -----------------------------------------------------------------------------------------------


async def test_a_sync_brings_the_profile_the_friends_and_the_scores(setting: Setting) -> None:
    setting.sandbox.container.set_appdata(JANE, {"letters": "2", "secret_note": "not ours to keep"})
    elizabeth = await setting.player(ELIZABETH)
    result = await setting.sync.sync_player(elizabeth)

    friends = setting.expected_friends(ELIZABETH)
    assert await setting.friends(ELIZABETH) == friends
    assert {JANE, CHARLOTTE} < friends
    letters = {
        user_id: item["letters"]
        for user_id, item in setting.sandbox.container.appdata.items()
        if user_id in friends | {ELIZABETH} and "letters" in item
    }
    assert await setting.letters() == letters
    assert letters[CHARLOTTE] == "1"
    assert (result.friends, result.values, result.changed) == (len(friends), len(letters), len(letters))
    assert result.requests == len(setting.sandbox.container.requests)
    assert (await setting.database.look(lambda r: people.card(r, elizabeth))).name == "Elizabeth Bennet"
    jane = await setting.player(JANE)
    assert (await setting.database.look(lambda r: people.card(r, jane))).name == "Jane Bennet"
    assert await setting.database.look(lambda r: appdata.values_of(r, jane)) == {"letters": "2"}


async def test_a_sync_asks_for_nothing_but_what_boards_need(setting: Setting) -> None:
    setting.fields = ["letters", "best_time"]
    await setting.synced(ELIZABETH)
    asked = [r for r in setting.sandbox.container.requests if r.path.startswith("appdata")]
    assert [(r.path, r.query["fields"]) for r in asked] == [
        (f"appdata/{ELIZABETH}/@self/@app", "letters,best_time"),
        (f"appdata/{ELIZABETH}/@friends/@app", "letters,best_time"),
    ]
    assert {r.requestor for r in setting.sandbox.container.requests} == {ELIZABETH}


async def test_without_boards_no_appdata_is_asked_for(setting: Setting) -> None:
    setting.fields = []
    await setting.synced(ELIZABETH)
    assert not [r for r in setting.sandbox.container.requests if r.path.startswith("appdata")]
    assert await setting.friends(ELIZABETH) == setting.expected_friends(ELIZABETH)


async def test_a_second_sync_of_the_same_writes_nothing_but_its_time(setting: Setting) -> None:
    await setting.synced(ELIZABETH)
    before = await setting.everything()
    setting.clock.advance(s=1)
    result = await setting.sync.sync_player(await setting.player(ELIZABETH))
    assert result.changed == 0
    after = await setting.everything()
    assert after[1:] == before[1:]
    assert len([1 for old, new in zip(before[0], after[0], strict=True) if old != new]) == 1


async def test_the_boards_follow_a_sync(setting: Setting) -> None:
    board = Board("letters", "Letters", "letters")
    await setting.database.write(lambda tx: leaderboards.seed(tx, [board]))
    await setting.synced(ELIZABETH)
    setting.sandbox.container.set_appdata(CHARLOTTE, {"letters": "900"})
    await setting.synced(ELIZABETH)

    async def best(reader: Reader) -> object:
        return await reader.fetch_value(
            "SELECT p.user_id FROM entries AS e JOIN lists AS l ON l.list = e.list AND l.period = 'all' "
            "JOIN players AS p ON p.player = e.player ORDER BY e.key LIMIT 1"
        )

    assert await setting.database.read(best) == CHARLOTTE


async def test_a_container_that_counts_from_0_and_ignores_the_filter(setting: Setting) -> None:
    setting.sandbox.container.quirks = SHINDIG_QUIRKS
    setting.dialect = SHINDIG
    setting.sync = setting.another_process(setting.database)
    await setting.synced(ELIZABETH)
    assert await setting.friends(ELIZABETH) == setting.expected_friends(ELIZABETH)
    assert (await setting.letters())[JANE] == "2"


# --- what is gone, and what is not ------------------------------------------------------------------------------------


async def test_a_friend_is_gone_when_two_walks_in_a_row_missed_them(setting: Setting) -> None:
    await setting.synced(ELIZABETH)
    setting.sandbox.container.unfriend(ELIZABETH, JANE)
    await setting.synced(ELIZABETH)
    assert JANE in await setting.friends(ELIZABETH)
    await setting.synced(ELIZABETH)
    assert JANE not in await setting.friends(ELIZABETH)
    assert (await setting.letters())[JANE] == "2"


async def test_ones_own_entry_without_the_key_clears_it(setting: Setting) -> None:
    await setting.synced(ELIZABETH)
    setting.sandbox.container.set_appdata(ELIZABETH, {"last_letter_date": "2008-10-30T18:30:02Z"})
    await setting.synced(ELIZABETH)
    assert (await setting.letters())[ELIZABETH] is None


@pytest.mark.parametrize("left", [{}, {"other": "1"}])
async def test_a_friend_who_lost_a_value_is_asked_for_alone_before_it_is_cleared(
    setting: Setting, left: dict[str, str]
) -> None:
    await setting.synced(ELIZABETH)
    setting.sandbox.container.set_appdata(JANE, left)
    setting.sandbox.container.requests.clear()
    await setting.synced(ELIZABETH)
    assert [r.path for r in setting.sandbox.container.requests if "@self/@app" in r.path] == [
        f"appdata/{ELIZABETH}/@self/@app",
        f"appdata/{JANE}/@self/@app",
    ]
    assert (await setting.letters())[JANE] is None


async def test_a_friend_who_is_missing_in_the_answer_alone_loses_nothing(setting: Setting) -> None:
    await setting.synced(ELIZABETH)
    before = await setting.letters()
    empty = CannedReply(200, b'{"entry": {}}', {"Content-Type": "application/json"})
    setting.sandbox.faults.add(Fault(APPDATA, reply=empty))
    await setting.synced(ELIZABETH)
    assert await setting.letters() == before
    asked = [r for r in setting.sandbox.container.requests if "@self/@app" in r.path]
    assert len(asked) <= 2 + ASKED_AT_MOST


@pytest.mark.parametrize(
    "reply",
    [
        CannedReply(401, b"unauthorized"),
        CannedReply(500, b"oops"),
        CannedReply(200, b'{"entry": {}}', {"Content-Type": "application/json"}),
        CannedReply(200, b"<html>", {"Content-Type": "text/html"}),
    ],
)
async def test_a_friend_about_whom_nothing_can_be_learned_loses_nothing(setting: Setting, reply: CannedReply) -> None:
    await setting.synced(ELIZABETH)
    setting.sandbox.container.set_appdata(JANE, {})
    setting.sandbox.container.set_appdata(CHARLOTTE, {"letters": "7"})
    setting.sandbox.faults.add(Fault(f"GET /social/rest/appdata/{JANE}/@self/@app", reply=reply, times=None))
    await setting.synced(ELIZABETH)
    letters = await setting.letters()
    assert (letters[JANE], letters[CHARLOTTE]) == ("2", "7")


async def test_an_own_answer_without_an_entry_clears_nothing(setting: Setting) -> None:
    await setting.synced(ELIZABETH)
    empty = CannedReply(200, b'{"entry": {}}', {"Content-Type": "application/json"})
    setting.sandbox.faults.add(Fault(f"GET /social/rest/appdata/{ELIZABETH}/@self/@app", reply=empty))
    await setting.synced(ELIZABETH)
    assert (await setting.letters())[ELIZABETH] == "3"


async def test_a_score_written_while_a_sync_reads_is_not_undone(setting: Setting) -> None:
    await setting.synced(ELIZABETH)
    elizabeth = await setting.player(ELIZABETH)
    setting.clock.advance(s=1)
    held = setting.sandbox.faults.add(Fault(APPDATA, hold=True))
    reading = asyncio.create_task(setting.sync.sync_player(elizabeth))
    await reached(held)
    setting.clock.advance(s=1)
    written_ms = setting.clock.now_ms()
    await setting.database.write(
        lambda tx: appdata.observe(
            tx, elizabeth, {"letters": "4"}, observed_ms=written_ms, at_ms=written_ms, origin=Origin.SUBMITTED
        )
    )
    setting.clock.advance(s=1)
    held.release.set()
    await reading
    assert (await setting.letters())[ELIZABETH] == "4"


# --- failures ---------------------------------------------------------------------------------------------------------

BAD_REPLIES = {
    "500": CannedReply(500, b"oops"),
    "503": CannedReply(503, b"", {"Retry-After": "7"}),
    "401": CannedReply(401, b"unauthorized"),
    "html": CannedReply(200, b"<html><body>Sign in</body></html>", {"Content-Type": "text/html"}),
    "cut json": CannedReply(200, b'{"entry": [{"id": "1"', {"Content-Type": "application/json"}),
    "nothing": CannedReply(200, b""),
    "a list": CannedReply(200, b"[]", {"Content-Type": "application/json"}),
    "redirect": CannedReply(302, b"", {"Location": "http://localhost/"}),
}
FAULTS = {name: Fault("*", reply=reply, times=None) for name, reply in BAD_REPLIES.items()} | {
    "dropped": Fault("*", drop=True, times=None),
    "cut": Fault("*", cut_after_bytes=40, times=None),
}


@only_sqlite
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize(
    "request_", [f"GET /social/rest/people/{ELIZABETH}/@self", PEOPLE, "GET */@self/@app", APPDATA]
)
async def test_a_sync_that_fails_anywhere_changes_nothing(setting: Setting, fault: Fault, request_: str) -> None:
    await setting.synced(ELIZABETH)
    before = await setting.everything()
    setting.sandbox.container.set_appdata(ELIZABETH, {"letters": "9"})
    setting.sandbox.container.unfriend(ELIZABETH, JANE)
    setting.sandbox.faults.add(
        Fault(
            request_,
            times=None,
            reply=fault.reply,
            drop=fault.drop,
            cut_after_bytes=fault.cut_after_bytes,
        )
    )
    with pytest.raises(RemoteError):
        await setting.synced(ELIZABETH)
    assert await setting.everything() == before
    setting.sandbox.faults.clear()
    await setting.synced(ELIZABETH)
    assert (await setting.letters())[ELIZABETH] == "9"


async def test_a_walk_that_breaks_on_a_later_page_is_no_walk(setting: Setting) -> None:
    setting.sandbox.container.quirks = type(setting.sandbox.container.quirks)(max_count=10)
    await setting.synced(ELIZABETH)
    before = await setting.friends(ELIZABETH)
    for _ in range(3):
        setting.sandbox.faults.add(Fault(PEOPLE, skip=2, reply=CannedReply(500, b"oops")))
        with pytest.raises(RemoteError):
            await setting.synced(ELIZABETH)
    assert await setting.friends(ELIZABETH) == before


async def test_an_empty_page_too_early_costs_nobody_their_place(setting: Setting) -> None:
    setting.sandbox.container.quirks = type(setting.sandbox.container.quirks)(max_count=10)
    await setting.synced(ELIZABETH)
    before = await setting.friends(ELIZABETH)
    empty = CannedReply(
        200, b'{"startIndex": 10, "totalResults": 0, "entry": []}', {"Content-Type": "application/json"}
    )
    setting.sandbox.faults.add(Fault(PEOPLE, skip=1, reply=empty))
    await setting.synced(ELIZABETH)
    assert await setting.friends(ELIZABETH) == before


@pytest.mark.parametrize("container", ["sandbox", "elsewhere"])
async def test_only_players_of_this_container_can_be_synced(setting: Setting, container: str) -> None:
    player = 4_711 if container == "sandbox" else await setting.player(ELIZABETH, container)
    with pytest.raises(NotFound):
        await setting.sync.sync_player(player)
    assert not setting.sandbox.container.requests


async def test_whoever_lost_the_application_keeps_their_place(setting: Setting) -> None:
    """401 may as well mean that they are not running it just now; the container tells us of a removal by a call."""
    await setting.synced(ELIZABETH)
    before = await setting.everything()
    setting.sandbox.container.remove_app(ELIZABETH)
    with pytest.raises(RemoteUnauthorized):
        await setting.synced(ELIZABETH)
    assert await setting.everything() == before


# --- in their turn ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def running(setting: Setting) -> AsyncIterator[Setting]:
    async with at_work(setting.sync.run()):
        yield setting


async def test_a_requested_player_is_synced(running: Setting) -> None:
    elizabeth = await running.player(ELIZABETH)
    assert await running.sync.state(elizabeth) == SyncState(None, queued=False)
    assert await running.sync.request(elizabeth) == SyncState(None, queued=True)
    assert (await running.sync.request(elizabeth)).queued
    await running.sync.settled()
    assert await running.sync.state(elizabeth) == SyncState(running.clock.now_ms(), queued=False)
    assert (await running.letters())[JANE] == "2"


async def test_who_was_synced_just_now_is_not_synced_again(running: Setting) -> None:
    elizabeth = await running.player(ELIZABETH)
    await running.sync.request(elizabeth)
    await running.sync.settled()
    running.clock.advance(ms=DEBOUNCE_MS - 1)
    assert not (await running.sync.request(elizabeth)).queued
    running.clock.advance(ms=1)
    assert (await running.sync.request(elizabeth)).queued


async def test_a_failure_stops_nobody_else(running: Setting) -> None:
    running.sandbox.faults.add(Fault(f"GET /social/rest/people/{JANE}/@self", reply=CannedReply(500), times=None))
    stranger = await running.player(ELIZABETH, "elsewhere")
    jane, elizabeth = await running.player(JANE), await running.player(ELIZABETH)
    for player in (stranger, jane, elizabeth):
        await running.sync.request(player)
    await running.sync.settled()
    assert (await running.sync.state(jane)).synced_ms is None
    assert (await running.sync.state(elizabeth)).synced_ms == running.clock.now_ms()
    running.sandbox.faults.clear()
    assert (await running.sync.request(jane)).queued
    await running.sync.settled()
    assert (await running.sync.state(jane)).synced_ms is not None


async def test_a_slow_player_holds_nobody_up(running: Setting) -> None:
    held = running.sandbox.faults.add(Fault(f"GET /social/rest/people/{JANE}/@self", hold=True))
    jane, elizabeth = await running.player(JANE), await running.player(ELIZABETH)
    await running.sync.request(jane)
    await reached(held)
    other = running.sandbox.faults.add(Fault(f"GET /social/rest/appdata/{ELIZABETH}/@friends/@app", hold=True))
    await running.sync.request(elizabeth)
    await reached(other)
    assert (await running.sync.state(jane)).queued
    other.release.set()
    held.release.set()
    await running.sync.settled()
    assert (await running.sync.state(jane)).synced_ms is not None


async def test_asking_too_often_is_refused(setting: Setting) -> None:
    """Failing syncs may be asked for again at once, but not without end."""
    elizabeth = await setting.player(ELIZABETH)
    setting.sandbox.faults.add(Fault("*", drop=True, times=None))
    async with at_work(setting.sync.run()):
        for _ in range(10):
            assert (await setting.sync.request(elizabeth)).queued
            await setting.sync.settled()
        with pytest.raises(TooMany):
            await setting.sync.request(elizabeth)


async def test_two_processes_never_sync_one_player_at_the_same_time(place: Place, clock: Clock) -> None:
    sandbox = Sandbox(sandbox_settings(clock.now_ms))
    http = await serve(sandbox)
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as two:
        async for setting in set_the_scene(sandbox, http, one, clock):
            other = setting.another_process(two)
            elizabeth = await setting.player(ELIZABETH)
            for sync in (setting.sync, other):
                assert (await sync.request(elizabeth)).queued
            held = sandbox.faults.add(Fault(f"GET /social/rest/people/{ELIZABETH}/@self", hold=True))
            async with at_work(setting.sync.run()):
                await reached(held)
                async with at_work(other.run()):
                    await other.settled()
                    assert (await other.state(elizabeth)) == SyncState(None, queued=True)
                    assert (await other.request(elizabeth)).queued
                    held.release.set()
                    await setting.sync.settled()
            asked = [r.path for r in sandbox.container.requests]
            assert asked.count(f"people/{ELIZABETH}/@self") == 1
    await http.close()


async def test_the_work_of_a_process_that_died_is_taken_over(setting: Setting) -> None:
    elizabeth = await setting.player(ELIZABETH)
    await setting.sync.request(elizabeth)
    now_ms, until_ms = setting.clock.now_ms(), setting.clock.now_ms() + int(LEASE_S * 1000)
    await setting.database.write(
        lambda tx: sync_tasks.claim(
            tx, "sandbox", "dead", limit=10, now_ms=now_ms, until_ms=until_ms, kinds=tuple(sync_tasks.Kind)
        )
    )
    async with at_work(setting.sync.run()):
        await setting.sync.settled()
        assert (await setting.sync.state(elizabeth)) == SyncState(None, queued=True)
        setting.clock.set(until_ms)
        setting.sync.wake()
        await setting.sync.settled()
        assert (await setting.sync.state(elizabeth)) == SyncState(until_ms, queued=False)


async def test_a_cancelled_sync_gives_back_what_it_held(setting: Setting) -> None:
    elizabeth = await setting.player(ELIZABETH)
    held = setting.sandbox.faults.add(Fault(f"GET /social/rest/people/{ELIZABETH}/@self", hold=True))
    async with at_work(setting.sync.run()):
        await setting.sync.request(elizabeth)
        await reached(held)
    held.release.set()
    assert (await setting.sync.state(elizabeth)).queued
    other = setting.another_process(setting.database)
    async with at_work(other.run()):
        await other.settled()
    assert (await setting.sync.state(elizabeth)).synced_ms == setting.clock.now_ms()
