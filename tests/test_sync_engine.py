"""The sync engine: rounds with few requests, refusals told apart, rests, rates, and processes that die."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from functools import partial

import pytest

from homeserver.errors import RemoteResting, RemoteUnavailable
from homeserver.sandbox import CannedReply, Fault
from homeserver.services.pace import BREAK_AFTER
from homeserver.services.sync import LEASE_S, SyncRules
from homeserver.services.sync_refusals import SUSPICIOUS
from homeserver.storage import containers, freshness, sync_tasks
from homeserver.storage.database import Database, open_database
from homeserver.storage.sync_tasks import Kind, Priority
from tests import sync_kit
from tests.clock import Clock
from tests.conftest import Place
from tests.patience import reached, until
from tests.sync_kit import HOUR_MS, Home, World, asked

JSON = {"Content-Type": "application/json"}
EVERYBODY = {f"p{number}": str(number) for number in range(1, 9)}
STAR = [("p1", f"p{number}") for number in range(2, 9)]
PEOPLE = "GET /social/rest/people/*"


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    async with sync_kit.world(clock) as world:
        world.settle(EVERYBODY, STAR)
        yield world


@pytest.fixture
async def home(world: World, database: Database) -> Home:
    """A process on each engine that knows everybody, and how they stand to each other."""
    await sync_kit.add_board(database)
    home = world.home(database)
    await home.sync.sync_player(await home.player("p1"))
    await home.round()
    world.sandbox.container.requests.clear()
    return home


only_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
"""For tests of what travels, where the engine makes no difference."""


# --- rounds -----------------------------------------------------------------------------------------------------------


async def test_a_round_brings_everybody_by_their_friends(world: World, home: Home) -> None:
    for user_id in EVERYBODY:
        world.sandbox.container.set_appdata(user_id, {"letters": "77"})
    world.clock.advance(hours=1)
    planned = await home.round(everybody=False)
    assert (len(planned.plan.circles), len(planned.plan.alone), planned.lists) == (1, 1, ())
    assert sorted(asked(world.sandbox)) == ["appdata/p1/@friends/@app", "appdata/p1/@self/@app"]
    assert await sync_kit.letters(home.database) == dict.fromkeys(EVERYBODY, "77")
    assert await sync_kit.listed(home.database) == dict.fromkeys(EVERYBODY, 77)


async def test_nobody_is_asked_for_who_is_fresh(world: World, home: Home) -> None:
    assert (await home.round(everybody=False)).requests == 0
    assert asked(world.sandbox) == []


async def test_nobody_grows_older_than_the_settings_allow(world: World, home: Home) -> None:
    """By the schedule alone, looked at every three minutes for thirty hours."""
    oldest_ms = 0
    rules = home.rules
    async with home.running():
        for _ in range(30 * 20):
            world.clock.advance(minutes=3)
            if await home.rounds.plan_if_due():
                await home.sync.settled()
            seen = await home.database.read(lambda reader: freshness.seen_around(reader, "sandbox"))
            ages = await home.database.read(lambda reader: freshness.ages(reader, "sandbox"))
            now_ms = world.clock.now_ms()
            oldest_ms = max(oldest_ms, *(now_ms - max(seen.get(one.player, 0), one.alone_ms or 0) for one in ages))
            assert all(now_ms - (one.friends_ms or 0) <= rules.friends_max_age_ms for one in ages)
    assert rules.appdata_max_age_ms // 2 < oldest_ms <= rules.appdata_max_age_ms
    lists = [path for path in asked(world.sandbox) if path.endswith("/@friends")]
    assert len(lists) <= 3 * len(EVERYBODY), "friend lists have a clock of their own"


async def test_who_plays_now_comes_first(world: World, home: Home) -> None:
    world.settle({f"q{number}": "1" for number in range(6)}, [("q0", "q1"), ("q0", "q2"), ("q3", "q4"), ("q3", "q5")])
    for user_id in ("q0", "q3"):
        await home.sync.sync_player(await home.player(user_id))
    world.clock.advance(hours=2)
    active = await home.player("q5")
    now_ms = world.clock.now_ms()

    async def opens(tx: object) -> None:
        await tx.execute(  # type: ignore[attr-defined]
            "INSERT INTO gadget_sessions (token_hash, owner, viewer, expires_ms) VALUES ('h', $1, $1, $2)",
            active,
            now_ms + HOUR_MS,
        )

    await home.database.write(opens)
    planned = await home.rounds.plan(everybody=False)
    assert planned.plan.urgent == 1
    assert planned.plan.circles[0] == await home.player("q3")


async def test_what_is_in_the_queue_is_not_planned_again(world: World, home: Home) -> None:
    world.clock.advance(hours=1)
    first = await home.rounds.plan(everybody=False)
    again = await home.rounds.plan(everybody=False)
    assert (first.requests, again.requests) == (2, 0)


async def test_a_round_goes_on_after_a_restart(world: World, home: Home, database: Database) -> None:
    world.clock.advance(hours=1)
    await home.rounds.plan(everybody=False)
    after = world.home(database)
    assert await after.rounds.plan_if_due() is None or asked(world.sandbox) == []
    async with after.running():
        await after.sync.settled()
    assert sorted(asked(world.sandbox)) == ["appdata/p1/@friends/@app", "appdata/p1/@self/@app"]


async def test_only_one_process_plans(world: World, home: Home, database: Database) -> None:
    other = world.home(database)
    world.clock.advance(hours=1)
    assert [await one.rounds.plan_if_due() is not None for one in (home, other, home)] == [True, False, False]


async def test_nothing_is_scheduled_where_the_absent_cannot_be_read(world: World, home: Home) -> None:
    world.clock.advance(days=9)
    home = world.home(home.database, rules=SyncRules(offline=False))
    assert await home.rounds.plan_if_due() is None
    world.sandbox.container.offline = False
    for user_id in list(EVERYBODY)[:4]:
        await home.sync.request(await home.player(user_id))
    async with home.running():
        await home.sync.settled()
    state = await home.database.look(lambda reader: containers.state(reader, "sandbox"))
    assert state.halted_ms is None, "401 proves nothing here"
    ages = await home.database.read(lambda reader: freshness.ages(reader, "sandbox"))
    assert {one.refused_ms for one in ages} == {None}


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_who_is_refused_alone_is_delisted_after_the_grace_time_and_comes_back(world: World, home: Home) -> None:
    before = await sync_kit.listed(home.database)
    world.sandbox.container.remove_app("p5")
    for hours in (1, 6, 6, 6):
        world.clock.advance(hours=hours)
        await home.round(everybody=False)
        assert await sync_kit.listed(home.database) == before
    p5 = await home.player("p5")
    marked = {one.player: one.refused_ms for one in await home.database.read(lambda r: freshness.ages(r, "sandbox"))}
    assert marked[p5] is not None
    assert {marked[player] for player in marked if player != p5} == {None}
    for _ in range(6):
        world.clock.advance(hours=6)
        await home.round(everybody=False)
    assert await sync_kit.listed(home.database) == {user: score for user, score in before.items() if user != "p5"}
    assert await sync_kit.letters(home.database) == EVERYBODY, "nothing of theirs is lost"

    world.sandbox.container.add_app("p5")
    world.clock.advance(days=1)
    await home.round(everybody=True)
    assert await sync_kit.listed(home.database) == before


async def test_who_opens_the_gadget_again_is_listed_at_once(world: World, home: Home) -> None:
    before = await sync_kit.listed(home.database)
    p5 = await home.player("p5")
    await home.sync._delist([p5])
    assert "p5" not in await sync_kit.listed(home.database)
    from homeserver.storage import people

    world.clock.advance(s=1)
    await home.database.write(lambda tx: people.set_has_app(tx, p5, True, world.clock.now_ms()))
    await home.sync.arrived(p5)
    assert await sync_kit.listed(home.database) == before


async def test_a_container_that_refuses_everybody_delists_nobody_and_stops_us(world: World, home: Home) -> None:
    before = await sync_kit.listed(home.database)
    refusal = world.sandbox.faults.add(Fault("*", reply=CannedReply(401, b"unauthorized"), times=None))
    for _ in range(20):
        world.clock.advance(hours=6)
        await home.round()
    state = await home.database.look(lambda reader: containers.state(reader, "sandbox"))
    assert state.halted_ms is not None
    assert home.pace.halted_ms == state.halted_ms
    ages = await home.database.read(lambda reader: freshness.ages(reader, "sandbox"))
    assert {one.refused_ms for one in ages} == {None}
    assert await sync_kit.listed(home.database) == before
    assert refusal.reached.is_set()

    world.sandbox.faults.clear()
    world.clock.advance(hours=6)
    await home.round()
    await home.round()
    assert (await home.pace.look()).halted_ms is None
    assert await sync_kit.listed(home.database) == before


async def test_it_is_hardly_asked_while_it_refuses_everybody(world: World, home: Home) -> None:
    world.sandbox.faults.add(Fault("*", reply=CannedReply(401, b"unauthorized"), times=None))
    world.clock.advance(hours=1)
    await home.round()
    sent = await home.meter.sums()
    await home.round()
    for _ in range(60):
        world.clock.advance(minutes=1)
        home.sync.wake()
        async with home.running():
            await home.sync.settled()
    more = (await home.meter.sums())["container_requests", "401"] - sent["container_requests", "401"]
    assert 0 < more <= 60 // 2


async def test_some_who_left_at_once_are_not_taken_for_a_container_that_refuses(world: World, home: Home) -> None:
    for number in range(2, 2 + SUSPICIOUS + 1):
        world.sandbox.container.remove_app(f"p{number}")
    world.clock.advance(hours=1)
    for number in range(2, 2 + SUSPICIOUS + 1):
        await home.sync.request(await home.player(f"p{number}"))
    async with home.running():
        await home.sync.settled()
    assert (await home.pace.look()).halted_ms is None
    ages = await home.database.read(lambda reader: freshness.ages(reader, "sandbox"))
    assert sum(one.refused_ms is not None for one in ages) >= SUSPICIOUS


# --- politeness -------------------------------------------------------------------------------------------------------


@only_sqlite
async def test_retry_after_is_obeyed_by_all_processes(world: World, home: Home, database: Database) -> None:
    busy = CannedReply(503, b"", {"Retry-After": "120"})
    world.sandbox.faults.add(Fault(PEOPLE, reply=busy))
    with pytest.raises(RemoteUnavailable):
        await home.sync.sync_player(await home.player("p1"))
    other = world.home(database)
    with pytest.raises(RemoteResting):
        await other.sync.sync_player(await other.player("p2"))
    assert asked(world.sandbox) == []
    world.clock.advance(s=121)
    await other.sync.sync_player(await other.player("p2"))


@only_sqlite
async def test_a_short_retry_after_is_waited_out(world: World, home: Home) -> None:
    world.sandbox.faults.add(Fault(PEOPLE, reply=CannedReply(429, b"", {"Retry-After": "5"})))
    before_ms = world.clock.now_ms()
    await home.sync.sync_player(await home.player("p1"))
    assert 5_000 <= world.clock.now_ms() - before_ms <= 10_000


@only_sqlite
@pytest.mark.parametrize(
    "fault", [Fault(PEOPLE, drop=True, times=2), Fault(PEOPLE, reply=CannedReply(502), times=2)], ids=["cut", "502"]
)
async def test_a_passing_failure_is_tried_again_signed_anew(world: World, home: Home, fault: Fault) -> None:
    """The sandbox refuses a nonce that it has seen. (What is cut on a kept connection, aiohttp repeats by itself.)"""
    world.sandbox.faults.add(fault)
    home.slept.clear()
    await home.sync.sync_player(await home.player("p1"))
    assert home.slept in ([0.5], [0.5, 1.0])


@only_sqlite
async def test_too_many_failures_close_the_way_and_a_probe_opens_it(world: World, home: Home) -> None:
    down = Fault("*", reply=CannedReply(500, b"oops"), times=None)
    world.sandbox.faults.add(down)
    world.clock.advance(hours=1)
    for _ in range(3):
        await home.round()
    sums = await home.meter.sums()
    assert BREAK_AFTER <= sums["container_requests", "5xx"] < BREAK_AFTER + home.concurrency
    assert home.pace.must_probe
    world.clock.advance(minutes=10)
    await home.round()
    assert (await home.meter.sums())["container_requests", "5xx"] == sums["container_requests", "5xx"] + 1, "one probe"
    world.sandbox.faults.clear()
    world.clock.advance(minutes=10)
    await home.round()
    state = await home.pace.look()
    assert (state.failures, state.halted_ms) == (0, None)
    assert (await home.database.look(lambda reader: sync_tasks.queues(reader, "sandbox", 0))) == []


@only_sqlite
async def test_the_rate_is_shared_by_all_processes(world: World, home: Home, database: Database) -> None:
    homes = [world.home(database, per_s=10.0) for _ in range(2)]
    for number, one in enumerate(homes * 40):
        await one.sync.sync_player(await one.player(f"p{number % 8 + 1}"))
        world.clock.advance(ms=1)
    began_ms = min(one.clock.now_ms() for one in homes)
    count = len(asked(world.sandbox))
    for one in homes * 10:
        await one.sync.sync_player(await one.player("p2"))
    more = len(asked(world.sandbox)) - count
    took_s = (world.clock.now_ms() - began_ms) / 1000
    assert more / 10.0 - 1 <= took_s <= more / 10.0 + 1, "after the burst, ten a second"


@only_sqlite
@pytest.mark.parametrize(
    "reply",
    [
        CannedReply(200, gzip.compress(bytes(100_000_000)), {**JSON, "Content-Encoding": "gzip"}),
        CannedReply(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}),
    ],
    ids=["100 MB", "html"],
)
async def test_a_hostile_answer_holds_back_nobody_else(world: World, home: Home, reply: CannedReply) -> None:
    for user_id in EVERYBODY:
        world.sandbox.container.set_appdata(user_id, {"letters": "99"})
    world.sandbox.faults.add(Fault("GET /social/rest/appdata/p3/@self/*", reply=reply, times=None))
    wanted = [(await home.player(user_id), Kind.ALONE) for user_id in EVERYBODY]
    now_ms = world.clock.now_ms()
    await home.database.write(lambda tx: sync_tasks.add(tx, "sandbox", wanted, priority=Priority.ROUND, now_ms=now_ms))
    world.clock.advance(s=1)
    async with home.running():
        await home.sync.settled()
    assert await sync_kit.letters(home.database) == {**dict.fromkeys(EVERYBODY, "99"), "p3": "3"}


@only_sqlite
async def test_a_slow_answer_holds_back_nobody_else(world: World, home: Home) -> None:
    for user_id in EVERYBODY:
        world.sandbox.container.set_appdata(user_id, {"letters": "99"})
    held = world.sandbox.faults.add(Fault("GET /social/rest/people/p3/@self", hold=True))
    world.clock.advance(minutes=1)
    for user_id in EVERYBODY:
        await home.sync.request(await home.player(user_id))
    async with home.running():
        await reached(held)
        for user_id in EVERYBODY.keys() - {"p3"}:
            player = await home.player(user_id)
            await until(partial(home.sync.state, player), lambda state: not state.queued)
        assert (await home.sync.state(await home.player("p3"))).queued
        assert await sync_kit.letters(home.database) == dict.fromkeys(EVERYBODY, "99")
        held.release.set()


# --- several processes ------------------------------------------------------------------------------------------------


async def test_two_processes_share_the_work_and_one_that_dies_loses_nothing(clock: Clock, place: Place) -> None:
    people = {f"p{number}": str(number) for number in range(60)}
    async with (
        sync_kit.world(clock) as world,
        open_database(place.url, place.schema) as one,
        open_database(place.url, place.schema) as two,
    ):
        world.settle(people, [])
        await sync_kit.add_board(one)
        homes = [world.home(one), world.home(two)]
        for user_id in people:
            await homes[0].player(user_id)
        await homes[0].rounds.plan()
        dies, lives = homes
        held = world.sandbox.faults.add(Fault("GET /social/rest/appdata/*", skip=8, hold=True, times=4))
        dying = asyncio.create_task(dies.sync.run())
        await until(lambda: all_taken(world))  # each of its hands holds one; none is left for the other's
        async with lives.running():
            await lives.sync.settled()
            # Killed: no clean-up of its own, as if the process were gone.
            dies.sync._leave = _nothing  # type: ignore[method-assign]
            dying.cancel()
            await asyncio.wait({dying})
            held.release.set()
            taken = {user for user in people if (await _tasks(two, await lives.player(user)))}
            assert 0 < len(taken) <= dies.concurrency
            clock.advance(s=int(LEASE_S) + 1)
            lives.sync.wake()
            await lives.sync.settled()
        assert await sync_kit.letters(two) == people
        assert await sync_kit.listed(two) == {user: int(value) for user, value in people.items()}
        count: dict[str, int] = {}
        for path in asked(world.sandbox):
            count[path] = count.get(path, 0) + 1
        twice = {path.split("/")[1] for path, times in count.items() if times > 1}
        assert twice <= taken
        events = await two.read(lambda reader: reader.fetch("SELECT player, COUNT(*) FROM events GROUP BY player"))
        assert {row[1] for row in events} == {1}


async def all_taken(world: World) -> bool:
    return not world.sandbox.faults.pending


async def _nothing() -> None:
    pass


async def _tasks(database: Database, player: int) -> list[sync_tasks.Waiting]:
    return await database.read(lambda reader: sync_tasks.waiting_of(reader, player))


async def test_an_answer_that_came_after_the_lease_ended_is_dropped(
    world: World, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeserver.services.sync.SIGN_OF_LIFE_S", 3_600.0)  # it hangs, and says nothing any more
    world.sandbox.container.set_appdata("p2", {"letters": "50"})
    hanging = world.home(home.database, concurrency=1)  # its hands are full: it does not take the question again
    other = world.home(home.database)
    world.clock.advance(minutes=1)
    await hanging.sync.request(await hanging.player("p2"))
    held = world.sandbox.faults.add(Fault("GET /social/rest/people/p2/@self", hold=True))
    async with hanging.running():
        await reached(held)
        world.clock.advance(s=int(LEASE_S) + 1)
        async with other.running():
            await other.sync.settled()
        assert (await sync_kit.letters(home.database))["p2"] == "50"
        world.sandbox.container.set_appdata("p2", {"letters": "60"})
        held.release.set()
        await hanging.sync.settled()
    assert (await sync_kit.letters(home.database))["p2"] == "50"


async def test_answers_of_several_players_share_a_transaction(world: World, home: Home) -> None:
    """And one that cannot be applied is no burden to the others."""
    batches: list[int] = []
    apply = home.sync._apply

    async def watched(batch: object, *, alone: bool) -> bool:
        batches.append(len(batch))  # type: ignore[arg-type]
        return await apply(batch, alone=alone)  # type: ignore[arg-type]

    home.sync._apply = watched  # type: ignore[method-assign]
    world.clock.advance(hours=1)
    await home.round()
    assert max(batches) > 1
    assert sum(batches) == 10  # eight lists, a circle, and one alone


async def test_two_at_a_time_without_a_running_queue(world: World, home: Home) -> None:
    """As commands do: who is ready first does not take the other's answer along."""
    held = world.sandbox.faults.add(Fault("GET /social/rest/people/p2/@self", hold=True))
    world.clock.advance(minutes=1)
    for user_id in ("p2", "p3"):
        world.sandbox.container.set_appdata(user_id, {"letters": "44"})
    slow = asyncio.create_task(home.sync.sync_player(await home.player("p2")))
    await reached(held)
    await home.sync.sync_player(await home.player("p3"))
    held.release.set()
    await slow
    assert {(await sync_kit.letters(home.database))[user_id] for user_id in ("p2", "p3")} == {"44"}


@only_sqlite
async def test_a_database_that_is_away_for_a_moment_ends_nothing(world: World, home: Home) -> None:
    write, failures = home.database.write, [3]

    async def sometimes(work: object) -> object:
        if failures[0] > 0:
            failures[0] -= 1
            raise ConnectionError("away")
        return await write(work)  # type: ignore[arg-type]

    world.clock.advance(hours=1)
    await home.rounds.plan()
    home.database.write = sometimes  # type: ignore[method-assign, assignment]
    async with home.running():
        await home.sync.settled()
        assert failures == [0]
        world.clock.advance(s=int(LEASE_S) + 60)
        home.sync.wake()
        await home.sync.settled()
    home.database.write = write  # type: ignore[method-assign]
    assert await home.database.look(lambda reader: sync_tasks.queues(reader, "sandbox", 0)) == []
