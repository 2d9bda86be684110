"""A process that plays, rebuilds or imports, as a server or an operator's command does; it may be killed at any moment.

`python -m tests.board_process` waits for orders on its standard input, one a line, and forks a process for each: that
costs a hundredth of what a new Python costs. What they say, and what it says of them, comes on its standard output:

    ready PID               the database is open; it begins at the line "go", and a player ends at the line "stop"
    try ROUND PLAYER...     a player's, before each write
    done ROUND PLAYER...    the write was acknowledged
    gone CODE               the process has ended: 0, 1, or minus the number of a signal

The tests' side of this is `board_wardens.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from homeserver.domain.score_files import FileFormat
from homeserver.model import Board, Keep, Order, Origin, Span, Ties
from homeserver.services.board_import import BoardImport
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import appdata, people
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import Sizes
from homeserver.storage.database import Database, Transaction, open_database
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import KEY, Container
from tests.rebuild_kit import SLOW, SMALL

T = TypeVar("T")

FIELD: Final = "letters"
BOARDS: Final = (
    Board("best", "Best", FIELD),
    Board("latest", "Latest", FIELD, keep=Keep.LATEST, ties=Ties.DENSE, spans=(Span.ALL, Span.DAY)),
    Board("least", "Least", FIELD, order=Order.LESS, ties=Ties.ORDINAL, spans=(Span.ALL, Span.WEEK)),
)

PRIME: Final = 10_007
_STEP: Final = 877
ROUND_MS: Final = 600_000
"""So much later is each round, by the clock of every process: lives that follow each other never go back in time."""


def value_of(round_: int) -> int:
    """What everybody who plays in this round gets: far from the last one, and never the same twice."""
    return round_ * _STEP % PRIME


def round_of(value: int) -> int:
    """The round in which it was got."""
    return value * pow(_STEP, -1, PRIME) % PRIME


def user_ids(number: int, players: int) -> list[str]:
    """The players whom only this process writes."""
    return [f"p{number}-{each}" for each in range(players)]


@dataclass(frozen=True, slots=True)
class Play:
    """Write scores from round `first` on, `rounds` of them or until told to stop."""

    number: int
    first: int = 1
    rounds: int = PRIME - 1
    players: int = 12
    lanes: int = 2
    """So many write at the same time, each for players of its own."""
    batch: int = 3
    """A sync brings the values of so many."""
    submits: bool = True
    """Whether most writes are scores that players submit, one by one; syncs alone are many more writes a second."""
    small: bool = True
    """Blocks so small that they are cut and joined all the time."""

    async def run(self, database: Database) -> None:
        numbers = await database.read(
            lambda reader: people.known_players(reader, "orkut", user_ids(self.number, self.players))
        )
        player = _Player(self, database, [numbers[each] for each in user_ids(self.number, self.players)])
        await player.run()


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Rebuild a board, in many small steps."""

    board: str
    now_ms: int

    async def run(self, database: Database) -> None:
        in_force = await database.look(lambda reader: store.board_in_force(reader, self.board))
        assert in_force is not None
        rebuilds = Rebuilds(database, lambda: self.now_ms, pace=SLOW, sizes=SMALL)
        await rebuilds.rebuild(in_force.board, revision=in_force.revision, progress=lambda *_: None)


@dataclass(frozen=True, slots=True)
class Import:
    """Import a file of CSV into the first board, counted as it comes, or many at once by a rebuild."""

    file: str
    now_ms: int
    many: bool

    async def run(self, database: Database) -> None:
        rebuilds = Rebuilds(database, lambda: self.now_ms, pace=SLOW, sizes=SMALL)
        content = await asyncio.to_thread(Path(self.file).read_bytes)
        await BoardImport(database, rebuilds, "orkut", lambda: self.now_ms).load(
            BOARDS[0].id,
            content.splitlines(keepends=True),
            FileFormat.CSV,
            verified=False,
            expected=10**6 if self.many else 0,
            progress=lambda _: None,
            rebuilding=lambda *_: None,
        )


Job = Play | Rebuild | Import


class _Player:
    """Plays for some players."""

    def __init__(self, job: Play, database: Database, players: Sequence[int]) -> None:
        self._job = job
        self._database = database
        self._players = players
        self._clock = Clock(NOON_MS)
        self._container = Container(self._clock)
        self._leaderboards = Leaderboards(database, self._container, self._clock.now_ms, KEY)
        self._stopped = False

    async def run(self) -> None:
        for player in self._players:
            known = await self._database.read(lambda db, player=player: appdata.values_of(db, player))  # type: ignore[misc]
            self._container.held[player] = known
        asyncio.get_running_loop().add_reader(0, self._stop)
        await asyncio.gather(*(self._lane(number) for number in range(self._job.lanes)))

    def _stop(self) -> None:
        self._stopped = True
        asyncio.get_running_loop().remove_reader(0)
        _line()

    async def _lane(self, number: int) -> None:
        mine = self._players[number :: self._job.lanes]
        turn = 0
        for round_ in range(self._job.first, self._job.first + self._job.rounds):
            if self._stopped:
                return
            self._clock.set(max(self._clock.now_ms(), NOON_MS + round_ * ROUND_MS))
            syncs = not self._job.submits or round_ % 4 == 0
            some = [mine[(turn + each) % len(mine)] for each in range(self._job.batch if syncs else 1)]
            turn += len(some)
            say("try", round_, some)
            await (self._sync(some, round_) if syncs else self._submit(some[0], round_))
            say("done", round_, some)
            await self._see(some[-1], round_)

    async def _submit(self, player: int, round_: int) -> None:
        await self._leaderboards.submit(player, BOARDS[0].id, str(value_of(round_)))

    async def _sync(self, players: Sequence[int], round_: int) -> None:
        self._clock.advance(ms=1)
        now_ms = self._clock.now_ms()
        values = {player: {FIELD: str(value_of(round_))} for player in players}

        async def work(tx: Transaction) -> None:
            boards = await store.begin(tx)
            changes = await appdata.observe_many(tx, values, observed_ms=now_ms, at_ms=now_ms, origin=Origin.READ)
            await store.record(tx, boards, changes, now_ms)

        await self._database.write(work)
        self._container.held |= {player: dict(value) for player, value in values.items()}

    async def _see(self, player: int, round_: int) -> None:
        """Nobody else writes this player, so what they see is what they have just written."""
        place = await self._leaderboards.place(BOARDS[1].id, player=player)
        assert place.score is not None
        assert round_of(int(place.score)) == round_, "an older score than the one that was acknowledged"


def say(word: str, round_: int, players: Sequence[int]) -> None:
    """One line, whole or not at all: it is shorter than what a pipe takes at once."""
    os.write(1, f"{word} {round_} {' '.join(map(str, players))}\n".encode())


# --- dying ------------------------------------------------------------------------------------------------------------


def die_at(database: Database, call: int) -> None:
    """Let the process kill itself at this call of a transaction."""
    write = database.write
    calls = iter(range(1, call))

    class Dying:
        def __init__(self, tx: Transaction) -> None:
            self._tx = tx

        def __getattr__(self, name: str) -> Any:
            if next(calls, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return getattr(self._tx, name)

    async def dying(work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await write(lambda tx: work(cast("Transaction", Dying(tx))))

    vars(database)["write"] = dying


def use_small_blocks(sizes: Sizes = SMALL) -> None:
    """Let whoever records, and says nothing of sizes, use small ones."""
    record = store.record

    async def small(
        tx: Transaction, boards: Any, changes: Any, now_ms: int, sizes: Sizes = sizes, **others: Any
    ) -> Any:
        return await record(tx, boards, changes, now_ms, sizes, **others)

    vars(store)["record"] = small


# --- beginning --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """A job, and where it is to be done."""

    url: str
    schema: str
    job: Job
    dies_at: int = 0
    """Above 0: the process kills itself at this call of a transaction, counted from the first. Nothing is tidied up."""

    def written(self) -> str:
        """As one line."""
        return json.dumps([self.url, self.schema, type(self.job).__name__, asdict(self.job), self.dies_at])


def _read(line: str) -> Task:
    url, schema, name, values, dies_at = json.loads(line)
    kinds: dict[str, type[Job]] = {each.__name__: each for each in (Play, Rebuild, Import)}
    return Task(url, schema, kinds[name](**values), dies_at)


async def _work(task: Task) -> None:
    async with open_database(task.url, task.schema) as database:
        if not isinstance(task.job, Play) or task.job.small:
            use_small_blocks()
        if task.dies_at:
            die_at(database, task.dies_at)
        os.write(1, f"ready {os.getpid()}\n".encode())
        await asyncio.to_thread(_line)
        await task.job.run(database)


def _line() -> str:
    """The next line of standard input, and nothing behind it: that is for another process. Empty at the end."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1)
        if not more:
            return ""
        line += more
    return line.decode()


def main() -> None:
    """Obey orders, one after the other, until there are no more."""
    while line := _line():
        if not line.startswith("["):  # for a process that ended by itself
            continue
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                asyncio.run(_work(_read(line)))
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        os.write(1, f"gone {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
