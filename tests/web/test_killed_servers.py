"""Servers killed with SIGKILL while they receive and while they send: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, DummyCookieJar

from homeserver.demo import prepare_sandbox
from homeserver.sandbox import Sandbox
from homeserver.sandbox.faults import Fault
from homeserver.serving import listen, serving
from tests.patience import reached, until
from tests.ports import free_port
from tests.web.conftest import Browser
from tests.web.server_process import Process, process
from tests.web.tus_client import Tus, metadata

CONTENT = os.urandom(1_000_003) * 12
SHA256 = hashlib.sha256(CONTENT).hexdigest()
STEP_TWO = "POST /mesdonnees/upload/*"


@dataclass
class World:
    """A sandbox that lives on, whatever happens to the servers in the folder."""

    folder: Path
    home_url: str
    home_port: int
    sandbox: Sandbox
    sandbox_port: int
    http: ClientSession

    def server(self, port: int | None = None) -> Process:
        return Process(self.folder, self.home_url, port or self.home_port, self.sandbox_port)

    def leg(self, id_: str) -> str:
        with sqlite3.connect(self.folder / "homeserver.db") as database:
            [(leg,)] = database.execute("SELECT storage FROM uploads WHERE upload = ?", (id_,))
        database.close()
        return str(leg)

    def stored(self, name: str) -> list[str]:
        return [file.sha256 for file in self.sandbox.storage.received if file.filename == name]


@pytest.fixture
async def world(folder: Path) -> AsyncIterator[World]:
    port = free_port()
    home_url = f"http://127.0.0.1:{port}"
    listener = listen("127.0.0.1", 0)
    sandbox_port = listener.getsockname()[1]
    sandbox, _ = prepare_sandbox(folder, home_url, sandbox_port, 2)
    async with serving(sandbox.app, listener), ClientSession(cookie_jar=DummyCookieJar()) as http:
        yield World(folder, home_url, port, sandbox, sandbox_port, http)
        sandbox.faults.clear()


@asynccontextmanager
async def signed_in(world: World) -> AsyncIterator[tuple[Process, Tus]]:
    async with process(world.folder, world.home_url, world.home_port, world.sandbox_port) as server:
        browser = Browser(world.http, world.home_url)
        await browser.sign_in_to_storage("marie")
        yield server, Tus(browser)


async def paced(content: bytes, pause_s: float) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 200_000):
        yield content[start : start + 200_000]
        await asyncio.sleep(pause_s)


async def deadly(content: bytes, at_byte: int, server: Process) -> AsyncIterator[bytes]:
    """A body during which the server is killed, when so much of it was sent."""
    for start in range(0, len(content), 200_000):
        if start >= at_byte:
            await server.kill()
        yield content[start : start + 200_000]


async def state(tus: Tus, id_: str) -> Any:
    return (await tus.browser.get(f"/files/{id_}", Accept="application/json")).json


async def settled(tus: Tus, id_: str) -> str:
    found: list[str] = []

    async def is_settled() -> bool:
        found.append((await state(tus, id_))["storage"])
        return found[-1] in {"stored", "unknown", "failed", "needs_sign_in"}

    await until(is_settled)
    return found[-1]


async def kill_at_random(world: World, rounds: int, seed: int) -> None:
    """Upload with a kill somewhere on the way, or when all has come, so often."""
    chance = random.Random(seed)
    async with signed_in(world) as (server, tus):
        for number in range(rounds):
            name = f"{number}.bin"
            hold = world.sandbox.faults.add(Fault(STEP_TWO, hold=True)) if chance.random() < 0.5 else None
            made = await tus.create(name, len(CONTENT))
            id_ = made.location.rpartition("/")[2]
            body = deadly(CONTENT, chance.randrange(2 * len(CONTENT)), server)
            with suppress(ClientError):
                await tus.patch(made.location, 0, body)
            await server.kill()
            leg = world.leg(id_)
            world.sandbox.faults.clear()
            if hold is not None:
                hold.release.set()
            await server.start()
            offset = await tus.offset(made.location)
            if offset < len(CONTENT):
                assert leg != "closing"
                await tus.patch(made.location, offset, CONTENT[offset:])
            ended = await settled(tus, id_)
            if leg == "closing":
                assert ended == "unknown"
                assert world.stored(name) in ([], [SHA256])
            else:
                assert ended == "stored", (leg, await state(tus, id_))
                assert world.stored(name) == [SHA256]


async def test_a_server_killed_anywhere_resumes(world: World) -> None:
    await kill_at_random(world, 5, seed=1)


@pytest.mark.long
async def test_a_server_killed_twenty_times_resumes(world: World) -> None:
    await kill_at_random(world, 20, seed=2)


async def test_a_server_killed_while_closing_does_not_know_and_says_so(world: World) -> None:
    async with signed_in(world) as (server, tus):
        hold = world.sandbox.faults.add(Fault(STEP_TWO, hold=True))
        location = await tus.upload("small.bin", CONTENT[:1000])
        id_ = location.rpartition("/")[2]
        await reached(hold)

        async def is_closing() -> bool:
            return world.leg(id_) == "closing"

        await until(is_closing)
        await server.kill()
        hold.release.set()
        await server.start()
        assert await settled(tus, id_) == "unknown"
        told = await state(tus, id_)
        assert "may already be there" in told["line"]
        await tus.browser.post(f"/files/{id_}/send")
        assert await settled(tus, id_) == "stored"


async def test_parts_alternate_between_two_processes_and_the_sender_is_killed(world: World) -> None:
    async with signed_in(world) as (first, tus):
        second_port = free_port()
        async with process(world.folder, world.home_url, second_port, world.sandbox_port) as second:
            made = await tus.create("both.bin", len(CONTENT))
            id_ = made.location.rpartition("/")[2]
            urls = [server.url + made.location for server in (first, second)]
            step = len(CONTENT) // 8 + 1
            for number, start in enumerate(range(0, len(CONTENT), step)):
                if number == 4:
                    await first.kill()  # it has received the first bytes, so it is the one that sends
                url = urls[1] if number >= 4 else urls[number % 2]
                sent = await tus.patch(url, start, CONTENT[start : start + step])
                assert sent.status == 204, sent.text
            await first.start()
            assert await settled(tus, id_) == "stored"
    assert world.stored("both.bin") == [SHA256]


async def test_a_killed_process_leaves_its_files_to_the_one_that_lives(world: World) -> None:
    async with signed_in(world) as (first, tus):
        second_port = free_port()
        async with process(world.folder, world.home_url, second_port, world.sandbox_port) as second:
            hold = world.sandbox.faults.add(Fault(STEP_TWO, hold=True))
            location = await tus.upload("left.bin", CONTENT)
            id_ = location.rpartition("/")[2]
            await reached(hold)
            await first.kill()
            hold.release.set()

            async def is_stored() -> bool:
                return world.leg(id_) == "stored"

            await until(is_stored)
            assert second.url
    assert world.stored("left.bin") == [SHA256]


async def test_eight_files_at_once_in_three_tabs(world: World) -> None:
    """Of one user, at two processes; each file is stored once."""
    async with (
        signed_in(world) as (first, tus),
        process(world.folder, world.home_url, free_port(), world.sandbox_port) as second,
    ):

        async def send(tab: int, number: int) -> str:
            url = (first, second)[(tab + number) % 2].url
            content = CONTENT[: 400_000 + number]
            said = {"Upload-Length": str(len(content)), "Upload-Metadata": metadata(f"{tab}-{number}")}
            made = await tus.ask("POST", f"{url}/files/tus/", said)
            assert made.status == 201, made.text
            sent = await tus.patch(url + made.location, 0, paced(content, 0.001))
            assert sent.status == 204, sent.text
            return made.location.rpartition("/")[2]

        ids = await asyncio.gather(*(send(tab, number) for tab in range(3) for number in range(8)))
        assert {await settled(tus, id_) for id_ in ids} == {"stored"}
    names = sorted(file.filename for file in world.sandbox.storage.received)
    assert names == sorted(f"{tab}-{number}" for tab in range(3) for number in range(8))
