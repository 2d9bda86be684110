"""What happens while a sync is under way: a score is submitted, a person is erased, a process is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homeserver.sandbox import CannedReply, Fault
from homeserver.services.appdata import AppDataWriter
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.moderation import Moderation
from homeserver.services.sync import LEASE_S
from homeserver.storage.database import Database, open_database
from homeserver.storage.migrate import migrate
from tests import sync_kit
from tests.clock import Clock
from tests.patience import reached
from tests.sync_kit import Home, World

EVERYBODY = {f"p{number}": str(number) for number in range(1, 9)}
STAR = [("p1", f"p{number}") for number in range(2, 9)]


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    async with sync_kit.world(clock) as world:
        world.settle(EVERYBODY, STAR)
        yield world


@pytest.fixture
async def home(world: World, database: Database) -> Home:
    await sync_kit.add_board(database)
    home = world.home(database)
    await home.sync.sync_player(await home.player("p1"))
    await home.round()
    return home


@pytest.mark.parametrize("kind", ["whole", "round"])
async def test_a_score_submitted_while_a_walk_is_held_open_stands(world: World, home: Home, kind: str) -> None:
    """What the walk read is older than the score, although it is applied later."""
    writer = AppDataWriter(home.database, home.client, "sandbox", world.clock.now_ms)
    boards = Leaderboards(home.database, writer, world.clock.now_ms, b"k" * 32)
    p2 = await home.player("p2")
    world.clock.advance(hours=1)
    # An answer with the old score, that is long under way.
    stale = CannedReply(200, b'{"entry": {"p2": {"letters": "2"}}}', {"Content-Type": "application/json"})
    held = world.sandbox.faults.add(Fault("GET /social/rest/appdata/p1/@friends/@app", hold=True, reply=stale))
    if kind == "whole":
        await home.sync.request(await home.player("p1"))
    else:
        await home.rounds.plan()
    async with home.running():
        await reached(held)
        world.clock.advance(s=5)
        await boards.submit(p2, "letters", "900")
        world.clock.advance(s=5)
        held.release.set()
        home.sync.wake()
        await home.sync.settled()
    assert (await sync_kit.letters(home.database))["p2"] == "900"
    assert (await sync_kit.listed(home.database))["p2"] == 900
    assert world.sandbox.container.appdata_of("p2") == {"letters": "900"}


async def test_a_person_who_was_erased_stays_erased_when_friends_are_synced(world: World, home: Home) -> None:
    await Moderation(home.database, world.clock.now_ms).erase(
        await home.player("p3"), actor="ada", reason="asked for it"
    )
    for hours in (1, 6, 30):
        world.clock.advance(hours=hours)
        await home.round()
        await home.sync.sync_player(await home.player("p1"))
        assert "p3" not in await sync_kit.letters(home.database)
        assert "p3" not in await sync_kit.listed(home.database)
        assert not [pair for pair in await sync_kit.friends(home.database) if "p3" in pair]


async def test_a_person_erased_while_they_are_being_asked_about_stays_erased(world: World, home: Home) -> None:
    p3 = await home.player("p3")
    world.clock.advance(minutes=1)
    await home.sync.request(p3)
    held = world.sandbox.faults.add(Fault("GET /social/rest/people/p3/@self", hold=True))
    async with home.running():
        await reached(held)
        await Moderation(home.database, world.clock.now_ms).erase(p3, actor="ada", reason="asked for it")
        held.release.set()
        home.sync.wake()
        await home.sync.settled()
    assert "p3" not in await sync_kit.letters(home.database)
    rows = await home.database.read(lambda reader: reader.fetch("SELECT player FROM sync_tasks"))
    assert rows == []


# --- a real process, killed -------------------------------------------------------------------------------------------

SETTINGS = """
[server]
public_url = "http://localhost:1"
secret_key = "{secret}"
[database]
url = "{url}"
schema = "{schema}"
[container]
name = "sandbox"
base_url = "{base}"
consumer_key = "{key}"
consumer_secret = "{consumer_secret}"
max_connections = 4
[mesdonnees]
base_url = "https://storage.example.org/v1"
service_id = "x"
service_password = "y"
upload_hosts = ["storage.example.org"]
portal_hosts = ["storage.example.org"]
[sign_in]
metadata = "nobody-signs-in-here.xml"
[sync]
requests_per_second = 10000
[[boards]]
id = "letters"
title = "Letters"
field = "letters"
"""


@pytest.mark.postgres
async def test_two_processes_on_one_postgresql_one_killed_in_the_middle(
    postgres_url: str, postgres_schema: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(migrate, postgres_url, postgres_schema)
    clock = Clock(time.time_ns() // 1_000_000)
    people = {f"p{number}": str(number) for number in range(80)}
    async with sync_kit.world(clock) as world, open_database(postgres_url, postgres_schema) as database:
        world.settle(people, [])
        settings = world.sandbox.settings
        home = world.home(database)
        for user_id in people:
            await home.player(user_id)
        config = tmp_path / "settings.toml"
        config.write_text(
            SETTINGS.format(
                secret="s" * 40,
                url=postgres_url,
                schema=postgres_schema,
                base=str(world.http.make_url("/social/rest")),
                key=settings.consumer_key,
                consumer_secret=settings.consumer_secret,
            )
        )
        held = world.sandbox.faults.add(Fault("GET /social/rest/appdata/*", skip=20, hold=True, times=None))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "homeserver", "--config", str(config), "sync", "--all",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": ""},
        )  # fmt: skip
        try:
            await reached(held)
        finally:
            process.send_signal(signal.SIGKILL)
            output, _ = await process.communicate()
        assert process.returncode == -signal.SIGKILL, output.decode()
        world.sandbox.faults.clear()
        async with home.running():
            await home.sync.settled()
            left = {user for user in people if await _waits(database, await home.player(user))}
            assert left, "held by the dead process, until its lease ends"
            clock.set(time.time_ns() // 1_000_000)
            clock.advance(s=int(LEASE_S) + 1)
            home.sync.wake()
            await home.sync.settled()
        assert await sync_kit.letters(database) == people
        assert await sync_kit.listed(database) == {user: int(value) for user, value in people.items()}
        count: dict[str, int] = {}
        for path in sync_kit.asked(world.sandbox):
            count[path] = count.get(path, 0) + 1
        assert {path.split("/")[1] for path, times in count.items() if times > 1} <= left
        assert not [times for times in count.values() if times > 2]
        rows = await database.read(lambda reader: reader.fetch("SELECT player, COUNT(*) FROM events GROUP BY player"))
        assert [row[1] for row in rows] == [1] * len(people), "nothing is applied twice"


async def _waits(database: Database, player: int) -> bool:
    rows = await database.read(lambda r: r.fetch("SELECT kind FROM sync_tasks WHERE player = $1", player))
    return bool(rows)
