"""Servers told to stop by SIGTERM: requests end, streams and parts end at once, work goes to those that go on."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError

from homeserver.sandbox.faults import Fault
from tests.patience import PATIENCE_S, reached, until
from tests.ports import free_port
from tests.web.conftest import Browser
from tests.web.events import listening_for_files
from tests.web.server_process import Process, process
from tests.web.test_file_events import FORM, file
from tests.web.test_killed_servers import CONTENT, SHA256, STEP_TWO, World, paced, settled, world
from tests.web.tus_client import Tus

__all__ = ["world"]

STEP_ONE = "* /mesdonnees/PersonalContent/V1*"
PEOPLE = "GET /social/rest/people/*"
GRACE_S = 2.0 * PATIENCE_S
"""More than anybody here waits for the end: who waited for a request or a stream would be too late."""


@asynccontextmanager
async def started(world: World, *, grace_s: float = GRACE_S, workers: int = 1) -> AsyncIterator[tuple[Process, Tus]]:
    """A server that may be told how to be, and somebody who is signed in."""
    server = Process(
        world.folder, world.home_url, world.home_port, world.sandbox_port, grace_s=grace_s, workers=workers
    )
    try:
        await server.start()
        browser = Browser(world.http, world.home_url)
        await browser.sign_in_to_storage("marie")
        yield server, Tus(browser)
    finally:
        await server.kill()


def rows(world: World, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(world.folder / "homeserver.db") as database:
        found = database.execute(sql).fetchall()
    database.close()
    return found


async def test_nobody_being_there_it_ends_at_once(world: World) -> None:
    async with started(world) as (server, _):
        server.terminate()
        assert await server.ended() == 0


async def test_a_stream_of_events_ends_at_once(world: World) -> None:
    async with started(world) as (server, tus), listening_for_files(tus.browser) as events:
        assert events.response.status == 200
        server.terminate()
        assert await server.ended() == 0
        with pytest.raises(EOFError):
            await events.upload()


async def test_a_board_that_is_watched_does_not_hold_up_the_end(world: World) -> None:
    async with started(world) as (server, tus):
        watched = tus.browser.http.get(f"{world.home_url}/boards/letters/events")
        async with watched as stream:
            assert stream.status == 200
            server.terminate()
            assert await server.ended() == 0
            async with asyncio.timeout(PATIENCE_S):
                await stream.read()


async def test_a_request_that_runs_is_answered_and_nobody_new_is_let_in(world: World) -> None:
    """A form with a file, whose place the storage takes its time to give."""
    hold = world.sandbox.faults.add(Fault(STEP_ONE, hold=True))
    async with started(world) as (server, tus):
        sending = asyncio.create_task(tus.browser.post("/files", file("form.bin"), **_named(FORM)))
        await reached(hold)
        server.terminate()

        async def is_closed() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", world.home_port)
            except ConnectionError:
                return True  # refused; or reset, where the kernel had taken it and the server closed before it did
            writer.close()
            return False

        await until(is_closed)
        assert not sending.done()
        hold.release.set()
        answer = await sending
        assert answer.status == 201, answer.text
        assert await server.ended() == 0
        assert world.leg(answer.json["id"]) in {"stored", "waiting"}


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}


async def test_a_request_that_takes_too_long_is_cut(world: World) -> None:
    hold = world.sandbox.faults.add(Fault(STEP_ONE, hold=True))
    async with started(world, grace_s=0.5) as (server, tus):
        sending = asyncio.create_task(tus.browser.post("/files", file("form.bin"), **_named(FORM)))
        await reached(hold)
        began_s = time.monotonic()
        server.terminate()
        assert await server.ended() == 0
        assert time.monotonic() - began_s > 0.5
        with pytest.raises(ClientConnectionError):
            await sending
        hold.release.set()


async def test_a_part_that_comes_slowly_ends_where_it_is_and_goes_on_with_the_next_server(world: World) -> None:
    async with started(world) as (server, tus):
        made = await tus.create("slow.bin", len(CONTENT))
        sending = asyncio.create_task(tus.patch(made.location, 0, paced(CONTENT, 0.5)))
        id_ = made.location.rpartition("/")[2]

        async def has_come() -> bool:
            return bool(rows(world, f"SELECT 1 FROM uploads WHERE upload = '{id_}' AND received_bytes > 400000"))

        await until(has_come)
        server.terminate()
        assert await server.ended() == 0
        await asyncio.wait({sending})
        if sending.exception() is None:  # the answer may be lost where the rest of the body is still on its way
            answer = sending.result()
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert world.leg(id_) in {"waiting", "asking"}
        await server.start()
        offset = await tus.offset(made.location)
        assert 400_000 < offset < len(CONTENT)
        assert (await tus.patch(made.location, offset, CONTENT[offset:])).status == 204
        assert await settled(tus, id_) == "stored"
    assert world.stored("slow.bin") == [SHA256]


async def test_a_sender_stops_before_the_end_and_another_process_takes_over(world: World) -> None:
    async with (
        started(world) as (server, tus),
        process(world.folder, world.home_url, free_port(), world.sandbox_port) as other,
    ):
        hold = world.sandbox.faults.add(Fault(STEP_TWO, hold=True))
        location = await tus.upload("left.bin", CONTENT)
        id_ = location.rpartition("/")[2]
        await reached(hold)

        async def is_sending() -> bool:
            return world.leg(id_) == "sending"

        await until(is_sending)
        server.terminate()
        assert await server.ended() == 0
        assert other.url

        async def is_stored() -> bool:
            return world.leg(id_) == "stored"

        await until(is_stored)
        hold.release.set()
        (told,) = rows(world, f"SELECT attempts, failures FROM uploads WHERE upload = '{id_}'")
        assert told == (1, 0)  # that was nobody's failure
    assert world.stored("left.bin") == [SHA256]


async def test_a_file_that_is_out_whole_is_waited_for(world: World) -> None:
    """What the storage says of it is heard, so that nobody has to guess whether it is there."""
    async with started(world) as (server, tus):
        hold = world.sandbox.faults.add(Fault(STEP_TWO, hold=True))
        location = await tus.upload("small.bin", CONTENT[:1000])
        id_ = location.rpartition("/")[2]

        async def is_closing() -> bool:
            return world.leg(id_) == "closing"

        await until(is_closing)
        server.terminate()
        with pytest.raises(TimeoutError):
            await server.ended(1.0)
        hold.release.set()
        assert await server.ended() == 0
        assert world.leg(id_) == "stored"


async def test_what_was_being_asked_of_the_container_is_free_for_others_at_once(world: World) -> None:
    async with started(world) as (server, _):
        hold = world.sandbox.faults.add(Fault(PEOPLE, times=None, hold=True))
        with sqlite3.connect(world.folder / "homeserver.db") as database:
            database.execute("INSERT INTO players (public_id, container, user_id) VALUES ('p', 'sandbox', '03067')")
            database.execute(
                "INSERT INTO sync_tasks (player, kind, container, priority, due_ms, added_ms, attempts, until_ms) "
                "SELECT max(player), 'whole', 'sandbox', 0, 0, 0, 0, 0 FROM players"
            )
        database.close()
        await reached(hold)
        assert [row[0] is not None for row in rows(world, "SELECT holder FROM sync_tasks WHERE kind = 'whole'")] == [
            True
        ]
        server.terminate()
        assert await server.ended() == 0
        assert rows(world, "SELECT holder, until_ms, attempts FROM sync_tasks WHERE kind = 'whole'") == [(None, 0, 0)]
        assert rows(world, "SELECT name FROM leases") == []


async def test_workers_end_as_one(world: World) -> None:
    """Each in order, with a stream and a request under way somewhere among them."""
    hold = world.sandbox.faults.add(Fault(STEP_ONE, hold=True))
    async with started(world, workers=2) as (server, tus), listening_for_files(tus.browser) as events:
        sending = asyncio.create_task(tus.browser.post("/files", file("form.bin"), **_named(FORM)))
        await reached(hold)
        server.terminate()
        with pytest.raises(EOFError):
            await events.until("never")
        hold.release.set()
        assert (await sending).status == 201
        assert await server.ended() == 0


def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """And the exit status says so. The worker that is ready last tells the server to stop."""
    child = (
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"ready = pathlib.Path({str(tmp_path)!r})\n"
        "(ready / str(os.getpid())).touch()\n"
        "if len(list(ready.iterdir())) == 2:\n"
        "    os.kill(os.getppid(), signal.SIGTERM)\n"
        f"time.sleep({2 * PATIENCE_S})\n"
    )
    code = (
        "import sys; from homeserver import serving\n"
        "serving.LAST_S = 0.3\n"
        f"sys.exit(serving.serve_by_workers(['-c', {child!r}], 2, '127.0.0.1', {free_port()}, print, grace_s=0.1))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1, done
    assert "2 workers did not end in time, and are killed." in done.stdout
