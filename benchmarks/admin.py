"""Every call of `/admin/api/` and every page of `/admin` with a million players on a board: the server's time at the
99th percentile, below 0.1 s.

The whole server over loopback, asked one call after the other, on SQLite. Time is the client's, so it has what the
server's has and the way to it; on a busy machine, what the process spent on each call (`cpu`) says more. Of an export,
it is the time to its first bytes.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, CookieJar
from yarl import URL

from benchmarks.report import Figure
from homeserver.config import Settings
from homeserver.demo import demo_settings, kept_secret, prepare_sandbox
from homeserver.model import Board, Order, Role, Span
from homeserver.services.moderation import Moderation
from homeserver.services.operator_tokens import OperatorTokens
from homeserver.services.operators import Operators
from homeserver.services.rebuilds import Rebuilds
from homeserver.serving import listen, serving
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, open_database
from homeserver.storage.migrate import migrate
from homeserver.web.admin_api_calls import CALLS
from homeserver.web.admin_calls import PREFIX, Call
from homeserver.wiring import make_app, wall_clock_ms

PLAYERS: Final = 1_000_000
QUICK_PLAYERS: Final = 20_000
ROWS: Final = 20_000
TARGET_MS: Final = 100.0
BOARDS: Final = (
    Board("letters", "Letters", "letters_sent", spans=(Span.ALL, Span.WEEK), largest_step=10**9),
    Board("fastest", "Fastest", "best_time", order=Order.LESS, spans=(Span.ALL,)),
)
WHY: Final = {"reason": "measured"}
PASSWORD: Final = "correct horse battery"
PAGES: Final = {
    "boards": "",
    "board": "/boards/letters",
    "board.rank": "/boards/letters?at_rank={rank}",
    "board.score": "/boards/letters?at_score={score}",
    "board.search": "/boards/letters?search=name{name}",
    "board.hidden": "/boards/letters?state=hidden",
    "board.verified": "/boards/letters?trust=verified",
    "range": "/boards/letters/range?action=hide&least={score}",
    "players": "/players?search=name{name}",
    "player": "/players/p{player:019}",
    "review": "/review?board=letters",
    "review.scores": "/review?board=letters&what=scores",
    "review.jumps": "/review?board=letters&what=jumps",
    "sync": "/sync",
    "uploads": "/uploads",
    "audit": "/audit",
    "operators": "/operators",
    "account": "/account",
    "settings": "/settings",
}


def run(*, quick: bool) -> Iterator[Figure]:
    """A figure for each call."""
    yield from asyncio.run(_measure(QUICK_PLAYERS if quick else PLAYERS, times=20 if quick else 200))


async def _measure(players: int, times: int) -> list[Figure]:
    folder = Path(tempfile.mkdtemp(prefix="homeserver-admin-"))
    try:
        home, box = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
        home_url = f"http://127.0.0.1:{home.getsockname()[1]}"
        sandbox, certificate = prepare_sandbox(folder, home_url, box.getsockname()[1])
        kept_secret(folder / "secret_key")
        settings = demo_settings(folder, home_url, sandbox.settings, certificate).model_copy(update={"boards": BOARDS})
        token = await _fill(settings, players)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serving(sandbox.app, box))
            await stack.enter_async_context(serving(make_app(settings, jobs=False), home))
            http = await stack.enter_async_context(ClientSession(headers={"Authorization": f"Bearer {token}"}))
            calls = _Calls(http, home_url, players)
            return [each async for each in calls.all(times)] + [each async for each in calls.pages(times)]
    finally:
        shutil.rmtree(folder)


async def _fill(settings: Settings, players: int) -> str:
    """Players with a score each, of whom some are hidden; a token."""
    migrate(settings.database_url)
    async with open_database(settings.database_url) as database:
        await database.write(lambda tx: store.seed(tx, BOARDS))
        chance, now_ms = random.Random(players), wall_clock_ms()
        for first in range(1, players + 1, ROWS):
            await _some(database, settings.container.name, range(first, min(first + ROWS, players + 1)), chance, now_ms)
        rebuilds = Rebuilds(database, wall_clock_ms)
        for board in BOARDS[:1]:
            await rebuilds.rebuild(board, revision=store.FIRST_REVISION, progress=lambda *_: None)
        acts = Moderation(database, wall_clock_ms)
        for player in chance.sample(range(1, players + 1), 200):
            await acts.hide(player, board_id="letters", actor="ada", reason="measured")
        await Operators(database, wall_clock_ms).add("ada", PASSWORD, Role.CONFIGURE)
        return (await OperatorTokens(database, wall_clock_ms).add("ada", "measured", Role.CONFIGURE)).token


async def _some(database: Database, container: str, numbers: range, chance: random.Random, now_ms: int) -> None:
    named = ("player", "public_id", "container", "user_id", "given_name", "search_name")
    people = [
        (n, f"p{n:019}", container, f"0{n}", f"Name{chance.randrange(50_000)}", f"name{chance.randrange(50_000)}")
        for n in numbers
    ]
    week_ms = 7 * 24 * 3600 * 1000
    scores = [
        (n, "letters_sent", str(int(chance.gauss(5_000, 800))), now_ms - chance.randrange(week_ms)) for n in numbers
    ]
    await database.write(lambda tx: tx.load("players", named, people))
    await database.write(lambda tx: tx.load("appdata", ("player", "key", "value", "observed_ms"), scores))
    events = [(n, key, "1", value, at_ms, "read") for n, key, value, at_ms in scores]
    await database.write(lambda tx: tx.load("events", ("player", "key", "old", "new", "at_ms", "origin"), events))


class _Calls:
    """Calls with what they take, other players and places each time."""

    def __init__(self, http: ClientSession, home_url: str, players: int) -> None:
        self._http = http
        self._home_url = home_url
        self._players = players
        self._chance = random.Random(1)
        self._values: dict[str, Callable[[], str]] = {
            "search": lambda: f"name{self._chance.randrange(50_000)}",
            "action": lambda: "hide",
        }

    async def all(self, times: int) -> AsyncIterator[Figure]:
        for call in CALLS:
            if call.is_act or "archive" in call.path or "{task}" in call.path:
                continue
            variants = {"": ""}
            if call.path.endswith("/entries"):
                variants = {
                    "": "",
                    ".rank": "rank={rank}",
                    ".score": "score={score}",
                    ".search": "search=name{name}",
                    ".id": "search=0{player}",
                    ".hidden": "state=hidden",
                    ".verified": "verified=true",
                }
            elif call.path.endswith("/suspects"):
                variants = {"": "", ".jump": "oddity=jump"}
            for name, query in variants.items():
                for figure in await self._figures(call, name, query, times):
                    yield figure
        for figure in await self._acts(times):
            yield figure

    async def pages(self, times: int) -> AsyncIterator[Figure]:
        """The pages, for the same operator, signed in by a cookie."""
        said = {"Origin": self._home_url}
        async with ClientSession(cookie_jar=CookieJar(unsafe=True), headers=said) as http:
            form = {"name": "ada", "password": PASSWORD}
            async with http.post(f"{self._home_url}/admin/sign-in", data=form, allow_redirects=False) as response:
                if response.status != 303:
                    raise RuntimeError(f"sign-in: {response.status}")
            for name, path in PAGES.items():
                took, began_s = [], time.process_time()
                for _ in range(times):
                    began = time.perf_counter()
                    url = URL(f"{self._home_url}/admin{self._filled(path)}", encoded=True)
                    async with http.get(url, allow_redirects=False) as response:
                        await response.read()
                        if response.status != 200:
                            raise RuntimeError(f"{path}: {response.status}")
                    took.append((time.perf_counter() - began) * 1000)
                for figure in _figures(f"admin.page.{name}", took, began_s):
                    yield figure

    def _filled(self, text: str) -> str:
        return text.format(
            rank=self._chance.randrange(1, self._players),
            score=self._chance.randrange(2_000, 8_000),
            name=self._chance.randrange(50_000),
            player=self._chance.randrange(1, self._players),
        )

    async def _figures(self, call: Call, variant: str, query: str, times: int) -> tuple[Figure, ...]:
        required = "&".join(f"{each.name}={self._values[each.name]()}" for each in call.query if each.required)
        took, began_s = [], time.process_time()
        for _ in range(times):
            filled = self._filled("&".join(each for each in (required, query) if each))
            took.append(await self._ask("GET", f"{self._path(call)}?{filled}", first_only=call.answer is str))
        name = f"admin{call.path.replace('/', '.').replace('{', '').replace('}', '')}{variant}"
        return _figures(name, took, began_s)

    def _path(self, call: Call) -> str:
        player = f"p{self._chance.randrange(1, self._players):019}"
        return call.path.replace("{board}", "letters").replace("{player}", player)

    async def _acts(self, times: int) -> tuple[Figure, ...]:
        took, began_s = [], time.process_time()
        for _ in range(times // 4):
            path = f"/players/p{self._chance.randrange(1, self._players):019}"
            on_board = {**WHY, "board": "letters"}
            for act, body in (
                ("adjust", {**on_board, "score": str(self._chance.randrange(10_000, 20_000))}),
                ("unadjust", on_board),
                ("remove", on_board),
                ("restore", on_board),
            ):
                took.append(await self._ask("POST", f"{path}/{act}", body))
        return _figures("admin.acts", took, began_s)

    async def _ask(self, method: str, path: str, body: object = None, *, first_only: bool = False) -> float:
        began = time.perf_counter()
        url = URL(f"{self._home_url}{PREFIX}{path}", encoded=True)
        data = None if body is None else json.dumps(body).encode()
        async with self._http.request(method, url, data=data) as response:
            if response.status not in {200, 204, 409}:
                raise RuntimeError(f"{method} {path}: {response.status} {await response.text()}")
            if first_only:
                await response.content.readany()
                response.close()
            else:
                await response.read()
        return (time.perf_counter() - began) * 1000


def _figures(name: str, took: list[float], began_s: float) -> tuple[Figure, ...]:
    """Of these calls, made since then by the process's clock: the 99th percentile, and what one costs the processor."""
    p99 = statistics.quantiles(took, n=100, method="inclusive")[98]
    cpu_ms = (time.process_time() - began_s) * 1000 / len(took)
    return Figure(f"{name}.p99", p99, "ms", p99 / TARGET_MS, 1.0), Figure(f"{name}.cpu", cpu_ms, "ms")
