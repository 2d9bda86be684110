"""Several processes on the same boards, killed at any moment: all that was acknowledged is there, and counted right.

On SQLite and on PostgreSQL; `make test-long` kills fifty times instead of five, and writes for longer.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest

from homeserver.domain.score_files import FileFormat
from homeserver.model import Board, Order, Origin, Ties
from homeserver.services.board_import import BoardImport
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.rebuilds import LEASE_MS, Pace, Rebuilds
from homeserver.storage import leaderboards as store
from homeserver.storage import people, rebuild
from homeserver.storage.database import Database, open_database, ping
from tests.board_process import BOARDS, PRIME, ROUND_MS, Import, Job, Play, Rebuild, Task, round_of, user_ids, value_of
from tests.board_wardens import PATIENCE_S, Running, Said, Wardens, wardens
from tests.boards_judge import check_tables, events, house_of
from tests.clock import NOON_MS, Clock
from tests.conftest import Place, sweep
from tests.leaderboards_kit import KEY, Container
from tests.rebuild_kit import SLOW, SMALL
from tests.test_leaderboards_model import View

LATER_MS: Final = NOON_MS + PRIME * ROUND_MS
"""After all rounds, by everybody's clock."""
KILLS: Final = [pytest.param(5, id="few"), pytest.param(50, id="many", marks=pytest.mark.long)]


@pytest.fixture(scope="module")
def everybody() -> Iterator[Wardens]:
    """Processes to be had, for all of these tests."""
    with wardens() as made:
        yield made


@pytest.fixture
async def house(borrowed_place: Place, database_kind: str, everybody: Wardens) -> AsyncIterator[House]:
    """An empty database with three boards, seen by a process of its own: this one."""
    if database_kind == "postgresql":
        await sweep(borrowed_place.url, borrowed_place.schema)
    async with open_database(borrowed_place.url, borrowed_place.schema) as database:
        await database.write(lambda tx: store.seed(tx, BOARDS))
        yield House(borrowed_place, database, everybody)


@dataclass(slots=True)
class House:
    """A database, and the processes that work with it."""

    place: Place
    database: Database
    wardens: Wardens
    said: dict[int, Said] = field(default_factory=lambda: defaultdict(Said))
    """By the number of the process; of all its lives."""

    async def admit(self, job: Play) -> None:
        """Make the players of one process."""
        ids = user_ids(job.number, job.players)
        await self.database.write(lambda tx: people.players_of(tx, "orkut", ids))

    @asynccontextmanager
    async def at_work(self, *jobs: Job, dies_at: int = 0) -> AsyncIterator[list[Running]]:
        """Processes that have begun these jobs, all at once."""
        async with AsyncExitStack() as stack:
            running = []
            for job in jobs:
                task = Task(self.place.url, self.place.schema, job, dies_at)
                said = self.said[job.number] if isinstance(job, Play) else Said()
                running.append(await stack.enter_async_context(self.wardens.at_work(task, said)))
            for each in running:
                each.go()
            yield running

    async def check(self) -> int:
        """Everything that must be true at rest; how many entries there are."""
        entries = await check_tables(self.database, await house_of(self.database), LATER_MS)
        found: dict[int, list[int]] = defaultdict(list)
        for event in await self.database.read(events):
            if event.origin in {Origin.READ, Origin.SUBMITTED, Origin.BASELINE} and event.new is not None:
                found[event.player].append(round_of(int(event.new)))
        for said in self.said.values():
            for player, rounds in said.done.items():
                assert rounds == sorted(rounds)
                missing = set(rounds) - set(found[player])
                assert not missing, f"acknowledged to {player} and not there: {missing}"
            for player in {player for player, _ in said.tried}:
                assert found[player] == sorted(found[player])
                assert {(player, round_) for round_ in found[player]} <= said.tried
        return entries

    async def check_views(self, board: Board) -> None:
        """What is shown of the list of all time."""
        naive = await house_of(self.database)
        rows = naive.rows(board, "all", LATER_MS)
        players = [row.player for row in rows]
        cards = await self.database.read(lambda reader: people.cards(reader, players))
        clock = Clock(LATER_MS)
        view = View(
            Leaderboards(self.database, Container(clock), clock.now_ms, KEY),
            board,
            "all",
            5,
            {card.id: player for player, card in cards.items()},
        )
        await view.pages_lead_both_ways(rows)
        await view.around_is_full(rows, players)
        await view.every_rank_is_found(rows)


# --- several at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [pytest.param(5, id="short"), pytest.param(300, id="long", marks=pytest.mark.long)])
async def test_four_processes_write_and_nobody_ever_sees_an_older_score(house: House, rounds: int) -> None:
    """Whoever is told "done" sees that score or a later one: in the process that wrote it, and in this one."""
    jobs = [Play(number, rounds=rounds) for number in range(4)]
    for job in jobs:
        await house.admit(job)
    clock = Clock(LATER_MS)
    leaderboards = Leaderboards(house.database, Container(clock), clock.now_ms, KEY)
    seen: dict[int, int] = {}
    compared = 0

    async def watch(running: Running) -> int:
        nonlocal compared
        while (acknowledged := await running.heard()) is not None:
            for player, round_ in acknowledged[-2:]:
                latest = await leaderboards.place("latest", player=player)
                best = await leaderboards.place("best", player=player)
                assert latest.score is not None
                assert best.score is not None
                now = round_of(int(latest.score))
                assert now >= max(round_, seen.get(player, 0))
                assert int(best.score) >= value_of(round_)
                seen[player] = now
                compared += 1
        return await running.ended()

    async with house.at_work(*jobs) as running:
        assert await asyncio.gather(*(watch(each) for each in running)) == [0] * 4
    assert compared > rounds
    assert sum(len(said.tried) for said in house.said.values()) > 4 * 2 * rounds
    assert await house.check() > 4 * 12
    for board in BOARDS:
        await house.check_views(board)


# --- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kills", KILLS)
async def test_what_was_acknowledged_survives_being_killed(house: House, kills: int) -> None:
    """Killed from outside after any number of writes, or by itself at any statement of any of them."""
    chance = random.Random(kills)
    await house.admit(Play(0))
    said = house.said[0]
    for kill in range(kills):
        from_outside = kill % 2 == 0
        writes, dies_at = chance.randint(1, 25), 0 if from_outside else chance.randint(1, 400)
        async with house.at_work(Play(0, first=said.last_round + 1, lanes=4), dies_at=dies_at) as (running,):
            acknowledged = 0
            while acknowledged < writes or not from_outside:
                heard = await running.heard()
                if heard is None:
                    break
                acknowledged += len(heard)
            if from_outside:
                running.kill()
            assert await running.ended() == -signal.SIGKILL
        await house.check()
    assert len(said.tried) > 10 * kills
    async with house.at_work(Play(0, first=said.last_round + 1, rounds=5)) as (running,):
        assert await running.ended() == 0
    assert await house.check() > 12
    await house.check_views(BOARDS[1])


@pytest.mark.parametrize("kills", [pytest.param(1, id="once"), pytest.param(12, id="many", marks=pytest.mark.long)])
@pytest.mark.parametrize("job", ["rebuild", "import", "import of many"])
async def test_rebuilds_and_imports_are_killed_while_others_play(
    house: House, tmp_path: Path, job: str, kills: int
) -> None:
    """Players notice nothing, and who does it again has it whole."""
    file = tmp_path / "scores.csv"
    lines = [f"i{number % 40},{7 * number % 90},{NOON_MS - number * 3_600_000}" for number in range(120)]
    file.write_text("\n".join(["player,value,time", *lines]))
    chance = random.Random(f"{job} {kills}")
    await house.admit(Play(0))
    killed, now_ms, most = 0, LATER_MS, 150
    async with house.at_work(Play(0)) as (player,):
        playing = asyncio.ensure_future(player.ended())
        while killed < kills:
            now_ms += LEASE_MS  # until then whoever died is taken for alive
            again: Job = Rebuild("latest", now_ms)
            if job != "rebuild":
                again = Import(str(file), now_ms, many=job == "import of many")
            async with house.at_work(again, dies_at=chance.randint(1, most)) as (running,):
                code = await running.ended()
            killed += code != 0
            most = most if code else max(2, most // 2)  # it was done before it could die: sooner, the next time
            assert not playing.done()
        player.stop()
        assert await playing == 0
    now_ms += LEASE_MS
    rebuilds = Rebuilds(house.database, lambda: now_ms, pace=SLOW, sizes=SMALL)
    if job != "rebuild":
        async with house.at_work(Import(str(file), now_ms, many=True)) as (running,):
            assert await running.ended() == 0
        kept = await house.database.read(events)
        assert len([event for event in kept if event.origin is Origin.IMPORTED]) == len(lines)
    for board in BOARDS:
        await rebuilds.rebuild(board, revision=1, progress=lambda *_: None)
    assert not await house.database.look(rebuild.due)
    assert await house.check() > 12


# --- under load -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "rounds"), [pytest.param(1, 80, id="once"), pytest.param(3, 1_200, id="often", marks=pytest.mark.long)]
)
async def test_nothing_is_lost_by_rebuilds_and_imports_under_many_writes(house: House, times: int, rounds: int) -> None:
    """Two processes write as fast as they can, a thousand values a second or more; blocks are as large as ever."""
    jobs = [Play(number, rounds=rounds, players=100, batch=8, submits=False, small=False) for number in range(2)]
    for job in jobs:
        await house.admit(job)
    rebuilds = Rebuilds(house.database, lambda: LATER_MS, pace=Pace(events=200, rows=500, deleted=200))
    importer = BoardImport(house.database, rebuilds, "orkut", lambda: LATER_MS)
    lines = [f"i{number % 300},{7 * number % 900},{NOON_MS - number * 60_000}\n".encode() for number in range(400)]
    written: list[int] = []

    def writes() -> int:
        return sum(map(len, (rounds for said in house.said.values() for rounds in said.done.values())))

    async with house.at_work(*jobs) as running:
        playing = asyncio.gather(*(each.ended() for each in running))
        async with asyncio.timeout(PATIENCE_S):
            while writes() < 200:
                await house.database.read(ping)
        for time in range(times):
            for board in BOARDS:
                before = writes()
                in_force = await house.database.look(lambda reader, id_=board.id: store.board_in_force(reader, id_))  # type: ignore[misc]
                assert in_force is not None
                wanted = replace(board, ties=list(Ties)[time % 3], order=list(Order)[time % 2])
                rebuilt = await rebuilds.rebuild(wanted, revision=in_force.revision, progress=lambda *_: None)
                assert rebuilt.events >= before
                written.append(writes() - before)
            for many in (False, True):
                some = lines[200 * many : 200 * (many + 1)]
                before = writes()
                done = await importer.load(
                    BOARDS[0].id,
                    [b"player,value,time\n", *some],
                    FileFormat.CSV,
                    verified=time % 2 == 1,
                    expected=10**6 if many else 0,
                    progress=lambda _: None,
                    rebuilding=lambda *_: None,
                )
                assert done.new == (len(some) if time < 2 else 0)
                written.append(writes() - before)
        for each in running:
            each.stop()
        assert await playing == [0, 0]
    assert sum(written) > 0, "nobody wrote meanwhile"
    assert await house.check() > 200
