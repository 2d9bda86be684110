"""What tests of rebuilds share: players who write all the time, and a judge of every list of a board."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from homeserver.domain import rules
from homeserver.domain.scores import score_of
from homeserver.model import Board, Change, Origin
from homeserver.services.rebuilds import Pace
from homeserver.storage import appdata
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import Sizes
from homeserver.storage.boundaries import LEVELS
from homeserver.storage.database import Database, Reader, Transaction
from tests.blocks_kit import Stored, check_blocks, entries_of
from tests.clock import Clock
from tests.naive_board import NaiveBoard
from tests.naive_rules import NaiveRules

SMALL = Sizes(block=4, fanout=3)
SLOW = Pace(events=31, rows=43, deleted=29, caught_up=2, rounds=20)
"""So many steps that writers come between all of them."""
LANES = 3
"""So many write at once, each for players of their own."""
VALUES = [*(str(score) for score in range(-2, 12)), "junk", "-99", None]


@dataclass(slots=True)
class Writers:
    """Players whose values change all the time."""

    database: Database
    clock: Clock
    players: Sequence[int]
    key: str
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    written: int = 0
    last: dict[int, str | None] = field(default_factory=dict)
    """What each player was told that counts now."""

    async def write(self, lane: int = 0) -> None:
        """Change the values of some of a lane's players, as a sync does."""
        some = self.chance.sample(self.players[lane::LANES], self.chance.randint(1, 3))
        values = {player: {self.key: self.chance.choice(VALUES)} for player in some}
        self.clock.advance(ms=self.chance.choice([1, 7, 60_000]), days=int(self.chance.random() < 0.01))
        at_ms = self.clock.now_ms()

        async def work(tx: Transaction) -> None:
            boards = await store.begin(tx, [self.key])
            changes = await appdata.observe_many(tx, values, observed_ms=at_ms, at_ms=at_ms, origin=Origin.SUBMITTED)
            await store.record(tx, boards, changes, at_ms, SMALL)

        await self.database.write(work)
        self.written += 1
        self.last |= {player: value[self.key] for player, value in values.items()}

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Some who write for as long as the context lasts. What one of them raises, the context raises."""
        going = True

        async def go_on(lane: int) -> None:
            while going:
                await self.write(lane)

        tasks = [asyncio.ensure_future(go_on(lane)) for lane in range(LANES)]
        try:
            yield
        finally:
            going = False
            await asyncio.gather(*tasks)


async def check(database: Database, board: Board, *, least: int) -> int:
    """Every list of the board in force against the naive board that takes its events one by one: how many entries."""

    async def work(reader: Reader) -> int:
        in_force = await store.board_in_force(reader, board.id)
        assert in_force is not None
        assert in_force.board == board
        naive = NaiveBoard(board.order, board.keep, board.ties, least)
        ruled = NaiveRules(board)
        for event, player, value, at_ms, origin in await reader.fetch(
            "SELECT event, player, new, at_ms, origin FROM events WHERE key = $1 ORDER BY event", board.field
        ):
            naive.apply(Change(player, board.field, None, value, at_ms, Origin(origin)))
            ruled.apply((event, player, value, at_ms, origin), at_ms)
        wanted = {span.value for span in board.spans}
        expected = {id_: entries for id_, entries in naive.lists.items() if entries and id_.split(":")[0] in wanted}
        if rules.remembers(board):
            expected = ruled.entries()
        found: dict[str, dict[int, tuple[int, int]]] = {}
        for period, number in await reader.fetch(
            "SELECT period, list FROM lists WHERE board = $1 AND generation = $2", board.id, in_force.generation
        ):
            kept = await stored(reader, number)
            check_blocks(kept)
            if kept.entries:
                found[period] = {player: (score_of(key, board.order), ms) for key, ms, player in kept.entries}
        assert found == expected
        return sum(len(entries) for entries in found.values())

    return await database.read(work)


async def stored(reader: Reader, number: int) -> Stored:
    """A list as it is kept, with its blocks."""
    dense = await reader.fetch_value("SELECT dense FROM lists WHERE list = $1", number)
    entries = await entries_of(reader, number)
    scores = await reader.fetch("SELECT key, n FROM scores WHERE list = $1", number)
    blocks: dict[int, dict[tuple[int, int, int], tuple[int, int]]] = {level: {} for level in LEVELS}
    for level, key, reached_ms, player, n, of_them in await reader.fetch(
        "SELECT level, key, reached_ms, player, n, scores FROM blocks WHERE list = $1 "
        "ORDER BY level, key, reached_ms, player",
        number,
    ):
        blocks[level][key, reached_ms, player] = (n, of_them)
    return Stored(number, bool(dense), entries, {key: n for key, n in scores}, blocks)  # noqa: C416 - no pairs to mypy


async def remains(database: Database, board_id: str) -> int:
    """How many rows are left of lists that are not in force: entries, blocks, scores, the lists themselves."""

    async def work(reader: Reader) -> int:
        in_force = await store.board_in_force(reader, board_id)
        generation = 0 if in_force is None else in_force.generation
        left = 0
        for table in ("lists", "entries", "entries_by_player", "blocks", "scores", "claims", "flags"):
            left += await reader.fetch_value(
                f"SELECT count(*) FROM {table} WHERE list NOT IN "
                "(SELECT list FROM lists WHERE generation > 0 AND (board <> $1 OR generation = $2))",
                board_id,
                generation,
            )
        return left

    return await database.read(work)
