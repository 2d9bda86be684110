"""The home server over HTTP, beside a bare aiohttp handler that answers as many bytes, in turn with it.

On each engine a board with a million entries whose players have names, a hundred of them friends of somebody. Server,
database, container and client are processes of this machine: ratios of one run are what counts. CPU is what the server
and the database used for one request; PostgreSQL is the tests' embedded one, over a Unix socket, without fsync.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from benchmarks.boards.places import Place, fill, make, p50, p99, place_of
from benchmarks.party import Party, cpu_s
from benchmarks.report import Figure
from benchmarks.web.client import Slice, ask, request
from benchmarks.web.parties import BOARD, CONTAINER
from homeserver.model import Board, GadgetSession, Span
from homeserver.storage.database import Database
from homeserver.storage.sessions import PageRow, add_gadget_session, add_page_session, secret_hash
from homeserver.web.security import PAGE_COOKIE
from homeserver.wiring import wall_clock_ms

ENGINES: Final = ("sqlite", "postgresql")
CONNECTIONS: Final = 16
VIEWERS: Final = 2_000
"""Each may write sixty scores a minute."""
FRIENDS: Final = 100
DAY_MS: Final = 86_400_000

TOP_TO_BARE: Final = 0.60
PAGE_TO_BARE: Final = 0.85
UNCHANGED_TO_BARE: Final = 0.80
GO_PEER_US: Final = {"top_20": 534.0, "around_20": 1049.0, "friends_100": 3484.0, "score": 630.0}
"""CPU per request of Nakama 3.40.0 with PostgreSQL, measured on another machine of two cores."""
MEMORY_MB: Final = 700 / 4
OF_PEER: Final[dict[str, dict[str, float | None]]] = {
    "sqlite": {"top_20": 1 / 3, "around_20": 1 / 3, "friends_100": 1.0, "score": 2 / 3},
    "postgresql": {"top_20": 2 / 3, "around_20": 2 / 3, "friends_100": None, "score": None},
}


@dataclass(frozen=True, slots=True)
class _Run:
    """How long it is measured: so many turns of so long."""

    size: int
    rounds: int
    slice_s: float


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure, engine by engine."""
    how = _Run(20_000, 2, 0.3) if quick else _Run(1_000_000, 7, 2.0)
    for engine in ENGINES:
        with place_of(engine) as place:
            yield from _engine(engine, place, how)


def _engine(engine: str, place: Place, how: _Run) -> Iterator[Figure]:
    asyncio.run(_fill(place, how.size))
    prefix = f"http.{engine}"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeserver-http-")))

        def party(*arguments: str) -> Party:
            opened = Party("benchmarks.web.parties", *arguments)
            stack.callback(opened.end)
            return opened

        container = party("container")
        home = party("home", str(folder), place.url(), container.url)
        used = _cpu_of(home, place)
        requests = _Requests(home.url)

        top = _get(home.url, requests.top_10)
        page = _get(home.url, requests.page)

        def unchanged() -> Iterator[bytes]:  # made anew every minute, and then it is another page
            return cycle([requests.unchanged(_get(home.url, requests.page)[1])])

        for name, sent, size, status, path, target in (
            ("entries_top_10", requests.top_10, len(top[0]), 200, "/", TOP_TO_BARE if engine == "sqlite" else None),
            ("page", requests.page, len(page[0]), 200, "/", PAGE_TO_BARE),
            ("page_unchanged", unchanged, 0, 304, "/unchanged", UNCHANGED_TO_BARE),
            ("page_signed_in", requests.signed_in, len(page[0]), 200, "/", None),
        ):
            bare = party("bare", str(size))
            yield from _side_by_side(
                f"{prefix}.{name}",
                how,
                _Side(home, cycle([sent]) if isinstance(sent, bytes) else sent, status),
                _Side(bare, cycle([request(bare.url, path)]), status),
                target,
            )
            bare.end()
        for name, asked, status in (
            ("top_20", cycle([requests.top_20]), 200),
            ("around_20", requests.around(), 200),
            ("friends_100", requests.friends(), 200),
            ("score", requests.scores(), 201),
        ):
            yield from _alone(f"{prefix}.{name}", how, _Side(home, asked, status), used, OF_PEER[engine][name])
        memory_mb = home.memory_bytes() / 1e6
        yield Figure(f"{prefix}.memory", memory_mb, "MB", memory_mb / MEMORY_MB, 1.0)


@dataclass(frozen=True, slots=True)
class _Side:
    """Who is asked for what, and answers with which status."""

    party: Party
    asked: Iterator[bytes] | Callable[[], Iterator[bytes]]
    """A function: what is asked is good for a while, and asked for anew in each turn."""
    status: int

    def turn(self, how: _Run, used: Callable[[], float] | None = None) -> tuple[Slice, float]:
        """Ask for a while: the answers, and microseconds of CPU for each, of the server alone unless `used` says."""
        used = used or self.party.cpu_s
        if isinstance(self.asked, Iterator):
            return self._turn(self.asked, how, used)
        try:
            return self._turn(self.asked(), how, used)
        except RuntimeError:  # it has become another answer meanwhile
            return self._turn(self.asked(), how, used)

    def _turn(self, asked: Iterator[bytes], how: _Run, used: Callable[[], float]) -> tuple[Slice, float]:
        before = used()
        turn = asyncio.run(ask(self.party.url, asked, connections=CONNECTIONS, for_s=how.slice_s, status=self.status))
        return turn, 1e6 * (used() - before) / len(turn.times_us)


def _side_by_side(name: str, how: _Run, ours: _Side, bare: _Side, target: float | None) -> Iterator[Figure]:
    """Requests a second in turn with the bare handler's: ours as a share of its, which is to be at least `target`.

    The share by CPU says the same where the machine has nothing else to do, and still says it where it has.
    """
    turns = []
    for number in range(how.rounds + 1):
        order = (ours, bare) if number % 2 else (bare, ours)
        seen = {id(side): side.turn(how) for side in order}
        turns.append((seen[id(ours)], seen[id(bare)]))
    pairs = turns[1:]  # the first turn warms
    share = statistics.median(mine.per_s / theirs.per_s for (mine, _), (theirs, _) in pairs)
    by_cpu = statistics.median(their_us / my_us for (_, my_us), (_, their_us) in pairs)
    yield Figure(f"{name}.of_bare", share, "of its requests/s", target / share if target else None, target and 1.0)
    yield Figure(f"{name}.of_bare.by_cpu", by_cpu, "of its requests per CPU second")
    yield Figure(f"{name}.per_s", statistics.median(mine.per_s for (mine, _), _ in pairs), "requests/s")
    yield Figure(f"{name}.cpu", statistics.median(my_us for (_, my_us), _ in pairs), "us")
    yield Figure(f"{name}.bare.cpu", statistics.median(their_us for _, (_, their_us) in pairs), "us")


def _alone(name: str, how: _Run, side: _Side, used: Callable[[], float], aim: float | None) -> Iterator[Figure]:
    """CPU per request, server and database together, beside what the Go peer needed; and how long answers took."""
    found = [side.turn(how, used) for _ in range(how.rounds + 1)][1:]
    times = sorted(took for turn, _ in found for took in turn.times_us)
    cpu_us = statistics.median(cpu for _, cpu in found)
    yield Figure(f"{name}.cpu", cpu_us, "us", cpu_us / GO_PEER_US[name.rpartition(".")[2]], aim)
    yield Figure(f"{name}.per_s", statistics.median(turn.per_s for turn, _ in found), "requests/s")
    yield Figure(f"{name}.p50", p50(times), "us")
    yield Figure(f"{name}.p99", p99(times), "us")


def _cpu_of(home: Party, place: Place) -> Callable[[], float]:
    """What server and database have used so far: SQLite is in the server, PostgreSQL is processes of its own."""
    if place.postgres is None:
        return home.cpu_s
    folder = Path(parse_qs(urlsplit(place.postgres).query)["host"][0])
    postmaster = int((folder / "data" / "postmaster.pid").read_text().split()[0])

    def used() -> float:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return (
            home.cpu_s()
            + cpu_s(postmaster, with_ended_children=True)
            + sum(cpu_s(int(child)) for child in children if Path(f"/proc/{child}/stat").exists())
        )

    return used


def _get(url: str, sent: bytes) -> tuple[bytes, str]:
    """The answer's body and its ETag."""
    head = sent.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    with urlopen(Request(url + head[0].split()[1], headers=headers)) as answer:
        return answer.read(), answer.headers.get("ETag", "")


# --- what is asked ----------------------------------------------------------------------------------------------------


class _Requests:
    """Requests to the home server as a gadget and browsers send them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._entries = f"/gadget/v1/boards/{BOARD}/entries"
        self.top_10 = self._with_token(f"{self._entries}?limit=10", 0)
        self.top_20 = self._with_token(f"{self._entries}?limit=20", 0)
        self.page = request(url, f"/boards/{BOARD}", Accept="text/html", Accept_Language="en")
        self.signed_in = request(url, f"/boards/{BOARD}", Accept="text/html", Cookie=f"{PAGE_COOKIE}={_cookie(0)}")

    def unchanged(self, etag: str) -> bytes:
        return request(self._url, f"/boards/{BOARD}", Accept="text/html", Accept_Language="en", If_None_Match=etag)

    def around(self) -> Iterator[bytes]:
        return cycle([self._with_token(f"{self._entries}?around=me&limit=20", number) for number in range(VIEWERS)])

    def friends(self) -> Iterator[bytes]:
        return cycle([self._with_token(f"{self._entries}?friends=true&limit=100", number) for number in range(VIEWERS)])

    def scores(self) -> Iterator[bytes]:
        """Always a better one than the viewer had, anywhere in the list."""
        chance = random.Random(5)
        best = dict.fromkeys(range(VIEWERS), 10)
        while True:
            for number in range(VIEWERS):
                best[number] += 1 + chance.randrange(1_000)
                body = b'{"board":"%b","value":"%d"}' % (BOARD.encode(), best[number])
                yield request(
                    self._url,
                    "/gadget/v1/scores",
                    "POST",
                    body,
                    Authorization=f"Bearer {_token(number)}",
                    Content_Type="application/json",
                )

    def _with_token(self, path: str, number: int) -> bytes:
        return request(self._url, path, Authorization=f"Bearer {_token(number)}")


def _token(number: int) -> str:
    return f"token-of-the-benchmark-{number:020}"


def _cookie(number: int) -> str:
    return f"cookie-of-the-benchmark-{number:020}"


# --- the database -----------------------------------------------------------------------------------------------------


async def _fill(place: Place, size: int) -> None:
    """A board of all time with entries, their players, and viewers with friends and sessions."""
    chance = random.Random(11)
    board = Board(BOARD, "Letters written", "letters", spans=(Span.ALL,))
    async with place.fresh() as database:
        list_ = (await make(database, board))[Span.ALL]
        await fill(database, place, [(list_, "uniform", size, False)])
        await _players(database, size)
        viewers = chance.sample(range(1, size + 1), VIEWERS)
        friendships = sorted(
            {(viewer, friend) for viewer in viewers for friend in chance.sample(range(1, size + 1), FRIENDS)}
        )
        await database.write(lambda tx: tx.load("friendships", ("player", "friend"), friendships))
        expires_ms = wall_clock_ms() + DAY_MS
        for number, viewer in enumerate(viewers):
            session = GadgetSession(viewer, viewer, expires_ms)
            hash_ = secret_hash(_token(number))
            await database.write(lambda tx, h=hash_, s=session: add_gadget_session(tx, h, s))  # type: ignore[misc]
        row = PageRow(secret_hash(_cookie(0)), expires_ms, viewers[0])
        await database.write(lambda tx: add_page_session(tx, row))
        await place.settle()


async def _players(database: Database, size: int) -> None:
    columns = ("player", "public_id", "container", "user_id", "given_name", "family_name", "search_name", "has_app")
    for begin in range(1, size + 1, 20_000):
        rows = [
            (number, f"public{number:014}", CONTAINER, f"u{number}", f"Given{number}", "Family", f"given{number}", 1)
            for number in range(begin, min(begin + 20_000, size + 1))
        ]
        await database.write(lambda tx, rows=rows: tx.load("players", columns, rows))  # type: ignore[misc]
