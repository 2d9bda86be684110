"""Whatever goes wrong, in whatever order: at rest we hold what the container holds, and nobody vanished meanwhile."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.sandbox import CannedReply, Fault
from homeserver.sandbox.container import Quirks
from homeserver.services.sync import SyncRules
from homeserver.storage.database import Database, open_database
from tests import sync_kit
from tests.clock import Clock
from tests.sync_kit import DAY_MS, Home, World

IDS: Final = [f"p{number}" for number in range(7)]
JSON: Final = {"Content-Type": "application/json"}
HTML: Final = {"Content-Type": "text/html"}

ROUTES: Final = ["*", "GET */people/*/@friends", "GET */appdata/*", "GET */people/*/@self", "GET */@friends/@app"]
BAD: Final = {
    "401": Fault("*", reply=CannedReply(401, b"unauthorized")),
    "500": Fault("*", reply=CannedReply(500, b"oops")),
    "503": Fault("*", reply=CannedReply(503, b"", {"Retry-After": "7"})),
    "503 for long": Fault("*", reply=CannedReply(503, b"", {"Retry-After": "900"})),
    "429": Fault("*", reply=CannedReply(429, b"")),
    "html": Fault("*", reply=CannedReply(200, b"<html><body>Sign in</body></html>", HTML)),
    "junk": Fault("*", reply=CannedReply(200, b"\xff\x00" * 5000, JSON)),
    "nobody": Fault("*", reply=CannedReply(200, b'{"entry": {}}', JSON)),
    "an empty page": Fault("*", reply=CannedReply(200, b'{"startIndex": 0, "totalResults": 0, "entry": []}', JSON)),
    "dropped": Fault("*", drop=True, times=3),
    "cut": Fault("*", cut_after_bytes=30),
    "a total too large": Fault("* */people/*/@friends", members={"totalResults": 4000}),
    "a total too small": Fault("* */people/*/@friends", members={"totalResults": 1}),
    "a wrong start": Fault("* */people/*/@friends", members={"startIndex": 17}),
    "redirect": Fault("*", reply=CannedReply(302, b"", {"Location": "http://localhost/"})),
}


@dataclass(frozen=True)
class Step:
    """What happens between two rounds."""

    scores: dict[str, str | None] = field(default_factory=dict)
    friendships: tuple[tuple[str, str], ...] = ()
    """Each is turned round: friends part, others become friends."""
    apps: tuple[str, ...] = ()
    """Who removes the application, or adds it."""
    faults: tuple[tuple[str, str, int, int], ...] = ()
    """Kind, route, skipped, how often."""
    skewed: bool = False
    hours: int = 1
    restart: bool = False
    """The home server's process ends in the middle, and another goes on."""


pairs = st.lists(st.sampled_from(IDS), min_size=2, max_size=2, unique=True).map(lambda two: (two[0], two[1]))
steps = st.builds(
    Step,
    scores=st.dictionaries(st.sampled_from(IDS), st.none() | st.integers(0, 99).map(str), max_size=3),
    friendships=st.lists(pairs, max_size=2).map(tuple),
    apps=st.lists(st.sampled_from(IDS), max_size=1).map(tuple),
    faults=st.lists(
        st.tuples(st.sampled_from(sorted(BAD)), st.sampled_from(ROUTES), st.integers(0, 6), st.integers(1, 4)),
        max_size=3,
    ).map(tuple),
    skewed=st.booleans(),
    hours=st.integers(1, 8),
    restart=st.booleans(),
)


def happen(world: World, step: Step) -> None:
    container = world.sandbox.container
    for user_id, value in step.scores.items():
        container.set_appdata(user_id, {} if value is None else {"letters": value})
    for one, other in step.friendships:
        if other in container.friends[one]:
            container.unfriend(one, other)
        else:
            container.befriend(one, other)
    for user_id in step.apps:
        if container.has_app(user_id):
            container.remove_app(user_id)
        else:
            container.add_app(user_id)
    for kind, route, skip, times in step.faults:
        fault = BAD[kind]
        world.sandbox.faults.add(
            Fault(
                route if fault.match == "*" else fault.match,
                skip=skip,
                times=times * (fault.times or 1),
                drop=fault.drop,
                reply=fault.reply,
                members=fault.members,
                cut_after_bytes=fault.cut_after_bytes,
            )
        )
    if step.skewed:
        ahead_s = world.clock.now_ms() / 1000 + 40
        world.sandbox.faults.add(Fault("*", headers={"Date": formatdate(ahead_s, usegmt=True)}, times=2))


@dataclass
class Witness:
    """Sees to it that nobody vanishes: whoever had a score all the time, and the application, stays listed."""

    world: World
    database: Database
    sure: set[str] = field(default_factory=set)
    """Who is listed and has had the application and a score ever since."""

    def changed(self) -> None:
        self.sure &= self.world.true_letters().keys()

    async def look(self) -> None:
        listed = await sync_kit.listed(self.database)
        assert self.sure <= listed.keys(), "vanished"
        self.sure = set(listed) & self.world.true_letters().keys()


async def at_rest(world: World, home: Home, rounds: int = 6) -> None:
    """All is well again: a few days go by."""
    world.sandbox.faults.clear()
    for _ in range(rounds):
        world.clock.advance(hours=13)
        await home.round()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    friendships=st.sets(pairs, max_size=14),
    scores=st.dictionaries(st.sampled_from(IDS), st.integers(0, 99).map(str)),
    page=st.sampled_from([2, 3, 100]),
    first_index=st.sampled_from([0, 1]),
    story=st.lists(steps, min_size=1, max_size=6),
)
async def test_at_rest_we_hold_what_the_container_holds(
    *,
    migrated_file: Path,
    friendships: set[tuple[str, str]],
    scores: dict[str, str],
    page: int,
    first_index: int,
    story: list[Step],
) -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "homeserver.sqlite3"
        shutil.copyfile(migrated_file, path)
        async with sync_kit.world(clock) as world, open_database(f"sqlite:///{path}") as database:
            world.sandbox.container.quirks = Quirks(max_count=page, first_index=first_index)
            friends = sorted({(min(pair), max(pair)) for pair in friendships})
            world.settle({user_id: scores.get(user_id) for user_id in IDS}, friends)
            await sync_kit.add_board(database)
            home = world.home(database, rules=SyncRules(grace_ms=DAY_MS))
            for user_id in IDS:
                await home.player(user_id)
            await home.round()
            witness = Witness(world, database)
            await witness.look()
            for step in story:
                happen(world, step)
                witness.changed()
                clock.advance(hours=step.hours)
                if step.restart:
                    await home.rounds.plan()
                    home = world.home(database, rules=home.rules)
                await home.round()
                await witness.look()
            await at_rest(world, home)
            assert await sync_kit.listed(database) == best(world, await sync_kit.listed(database))
            held = await sync_kit.letters(database)
            container = world.sandbox.container
            there = {user_id for user_id in IDS if container.has_app(user_id)}
            assert {user: value for user, value in held.items() if value is not None and user in there} == (
                world.true_letters()
            )
            assert {pair for pair in await sync_kit.friends(database) if set(pair) <= there} == world.true_friends()
            gone = set(IDS) - there
            assert not gone & (await sync_kit.listed(database)).keys(), "removed the application, and is still listed"


def best(world: World, listed: dict[str, int]) -> dict[str, int]:
    """Who is listed must have a score; it is a best one, so at least what they have now."""
    truth = world.true_letters()
    assert listed.keys() == truth.keys()
    assert all(listed[user_id] >= int(truth[user_id]) for user_id in listed)
    return listed


@pytest.mark.parametrize("kind", sorted(BAD))
@pytest.mark.parametrize("route", ROUTES[1:])
async def test_one_fault_at_a_time(migrated_file: Path, tmp_path: Path, clock: Clock, kind: str, route: str) -> None:
    """As above, each fault alone, for every request of a round."""
    path = tmp_path / "homeserver.sqlite3"
    shutil.copyfile(migrated_file, path)
    async with sync_kit.world(clock) as world, open_database(f"sqlite:///{path}") as database:
        world.sandbox.container.quirks = Quirks(max_count=2)
        world.settle(dict.fromkeys(IDS, "5"), [("p0", other) for other in IDS[1:]])
        await sync_kit.add_board(database)
        home = world.home(database)
        for user_id in IDS:
            await home.player(user_id)
        await home.round()
        before = await sync_kit.listed(database)
        assert before == dict.fromkeys(IDS, 5)
        happen(world, Step(scores=dict.fromkeys(IDS, "9"), faults=((kind, route, 0, 60),)))
        world.clock.advance(hours=1)
        for _ in range(3):
            await home.round()
            assert (await sync_kit.listed(database)).keys() == before.keys()
        await at_rest(world, home, 2)
        assert await sync_kit.listed(database) == dict.fromkeys(IDS, 9)
        assert await sync_kit.letters(database) == dict.fromkeys(IDS, "9")
        assert await sync_kit.friends(database) == world.true_friends()
