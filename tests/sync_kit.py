"""What tests of the sync engine share: a small society in the sandbox, and homes that sync it by a moving clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession

from homeserver.clients.container import ContainerClient
from homeserver.clients.transport import open_session
from homeserver.domain.scores import score_of
from homeserver.model import Board
from homeserver.protocol.dialects import GUIDE, Dialect
from homeserver.protocol.oauth1 import Credentials
from homeserver.sandbox import Sandbox
from homeserver.services.meter import Meter
from homeserver.services.pace import Pace
from homeserver.services.sync import Sync, SyncRules
from homeserver.services.sync_rounds import Round, Rounds
from homeserver.storage import leaderboards, people
from homeserver.storage.database import Database, Reader
from tests.at_work import at_work
from tests.clock import Clock
from tests.sandboxes import Client, sandbox_settings, serve

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BOARD = Board("letters", "Letters", "letters")


@dataclass
class Home:
    """One process that syncs."""

    database: Database
    client: ContainerClient
    clock: Clock
    rules: SyncRules = field(default_factory=lambda: SyncRules(grace_ms=DAY_MS))
    concurrency: int = 4
    per_s: float | None = None
    slept: list[float] = field(default_factory=list)
    meter: Meter = field(init=False)
    pace: Pace = field(init=False)
    sync: Sync = field(init=False)
    rounds: Rounds = field(init=False)

    def __post_init__(self) -> None:
        self.meter = Meter(self.database)
        self.pace = Pace(
            self.database,
            "sandbox",
            self.clock.now_ms,
            meter=self.meter,
            concurrency=self.concurrency,
            per_s=self.per_s,
            sleep=self.sleep,
            draw=lambda: 0.5,
        )
        self.sync = Sync(
            self.database,
            self.client,
            "sandbox",
            self.fields,
            self.clock.now_ms,
            concurrency=self.concurrency,
            pace=self.pace,
            meter=self.meter,
            rules=self.rules,
            draw=lambda: 0.5,
        )
        self.rounds = Rounds(self.database, self.sync, "sandbox", self.clock.now_ms, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Nobody waits: the clock is moved."""
        self.slept.append(seconds)
        self.clock.advance(ms=max(0, math.ceil(seconds * 1000)))
        await asyncio.sleep(0)

    async def fields(self) -> Sequence[str]:
        return ("letters",)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work on the queue inside."""
        async with at_work(self.sync.run()):
            yield

    async def round(self, *, everybody: bool = True) -> Round:
        """Plan and work until nothing can be asked any more."""
        found = await self.rounds.plan(everybody=everybody)
        async with self.running():
            self.sync.wake()
            await self.sync.settled()
        return found

    async def player(self, user_id: str) -> int:
        return await self.database.write(lambda tx: people.player_of(tx, "sandbox", user_id))


@dataclass
class World:
    """A sandbox with a society of the test's own, and what our database holds of it."""

    sandbox: Sandbox
    http: Client
    session: ClientSession
    clock: Clock

    def client(self, dialect: Dialect = GUIDE) -> ContainerClient:
        settings = self.sandbox.settings
        return ContainerClient(
            self.session,
            str(self.http.make_url("/social/rest")),
            dialect,
            Credentials(settings.consumer_key, settings.consumer_secret),
            now_ms=self.clock.now_ms,
        )

    def settle(self, letters: Mapping[str, str | None], friends: Sequence[tuple[str, str]]) -> None:
        """Let exactly these people be there, with these scores and friendships; all have the application."""
        society = self.sandbox.container.society
        for table in (society.people, society.friends, society.contacts, society.appdata):
            table.clear()
        for user_id, value in letters.items():
            self.sandbox.container.add_person(user_id, f"Given {user_id}")
            if value is not None:
                self.sandbox.container.set_appdata(user_id, {"letters": value})
        for one, other in friends:
            self.sandbox.container.befriend(one, other)

    def home(self, database: Database, **options: object) -> Home:
        return Home(database, self.client(), self.clock, **options)  # type: ignore[arg-type]

    # --- what is so, there and here -----------------------------------------------------------------------------------

    def true_letters(self) -> dict[str, str]:
        """Who has the application and a score."""
        container = self.sandbox.container
        return {
            user_id: item["letters"]
            for user_id, item in container.appdata.items()
            if "letters" in item and container.has_app(user_id)
        }

    def true_friends(self) -> set[tuple[str, str]]:
        """Friendships of those who have the application, both ways."""
        container = self.sandbox.container
        return {
            (one, other)
            for one, others in container.friends.items()
            for other in others
            if container.has_app(one) and container.has_app(other)
        }


@asynccontextmanager
async def world(clock: Clock, *, total_s: float = 20.0) -> AsyncIterator[World]:
    """A running sandbox. `total_s` is how long a request of the homes may take."""
    sandbox = Sandbox(sandbox_settings(clock.now_ms))
    http = await serve(sandbox)
    async with open_session(total_s=total_s) as session:
        yield World(sandbox, http, session, clock)
    sandbox.faults.clear()
    await http.close()


async def letters(database: Database) -> dict[str, str | None]:
    """What we hold, by user id."""

    async def work(reader: Reader) -> dict[str, str | None]:
        rows = await reader.fetch(
            "SELECT p.user_id, a.value FROM appdata AS a JOIN players AS p ON p.player = a.player "
            "WHERE a.key = 'letters'"
        )
        return {row[0]: row[1] for row in rows}

    return await database.read(work)


async def friends(database: Database) -> set[tuple[str, str]]:
    """The friendships that we show, by user ids."""

    async def work(reader: Reader) -> set[tuple[str, str]]:
        rows = await reader.fetch(
            "SELECT p.user_id, f.user_id FROM friendships AS x JOIN players AS p ON p.player = x.player "
            "JOIN players AS f ON f.player = x.friend"
        )
        return {(row[0], row[1]) for row in rows}

    return await database.read(work)


async def listed(database: Database) -> dict[str, int]:
    """The `all` list of the board, by user id: the scores that everybody sees."""

    async def work(reader: Reader) -> dict[str, int]:
        rows = await reader.fetch(
            "SELECT p.user_id, e.key FROM entries AS e JOIN lists AS l ON l.list = e.list AND l.period = 'all' "
            "JOIN players AS p ON p.player = e.player"
        )
        return {row[0]: score_of(row[1], BOARD.order) for row in rows}

    return await database.read(work)


async def add_board(database: Database) -> None:
    """Let the board be there."""
    await database.write(lambda tx: leaderboards.seed(tx, [BOARD]))


def asked(sandbox: Sandbox) -> list[str]:
    """The paths of the requests that were answered, oldest first."""
    return [request.path for request in sandbox.container.requests]
