"""A process that writes scores as a server does: `python -m tests.blocks_writer URL SCHEMA NUMBER`; see its test.

Says "ready", and begins when its standard input says a word.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from typing import Final

from homeserver.model import Change, Origin
from homeserver.storage import appdata, postgres
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import Sizes
from homeserver.storage.database import Database, Transaction, open_database
from tests.clock import NOON_MS

SIZES: Final = Sizes(block=3, fanout=2)
"""So small that nearly every transaction cuts or joins something."""
PLAYERS: Final = 60
"""Of each process, whose values nobody else writes."""
TRANSACTIONS: Final = 16
AT_ONCE: Final = 2
"""Transactions of one process under way at the same time, of different players."""


def history(number: int, lane: int) -> Iterator[tuple[int, dict[int, int | None]]]:
    """What one lane of a process writes: for each transaction its time, and players with their new scores."""
    chance = random.Random(1_000 * number + lane)
    for step in range(TRANSACTIONS):
        players = chance.sample(range(PLAYERS // AT_ONCE), chance.randint(1, 12))
        first = 1 + 10_000 * number + lane * PLAYERS
        kind = chance.choice(["any", "any", "few", "best", "leave", "leave"])
        yield (
            NOON_MS + step,
            {
                first + player: {
                    "any": chance.randint(-1_000, 1_000),
                    "few": chance.randint(0, 2),
                    "best": 10_000 + step,
                    "leave": None,
                }[kind]
                for player in players
            },
        )


async def write(database: Database, at_ms: int, values: dict[int, int | None]) -> list[Change]:
    """One transaction, as a sync applies what it brought."""

    async def work(tx: Transaction) -> list[Change]:
        boards = await store.begin(tx)
        changes = await appdata.observe_many(
            tx,
            {player: {"score": None if score is None else str(score)} for player, score in values.items()},
            observed_ms=at_ms,
            at_ms=at_ms,
            origin=Origin.SUBMITTED,
        )
        await store.record(tx, boards, changes, NOON_MS + 10**9, SIZES)
        return changes

    return await database.write(work)


async def main(url: str, schema: str, number: int) -> None:
    """Write all lanes. A lost race is an error here: the order of locks is there so that none is lost."""
    vars(postgres)["LOST_RACES"] = ()
    async with open_database(url, schema) as database:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

        async def lane(lane: int) -> None:
            for at_ms, values in history(number, lane):
                await write(database, at_ms, values)

        await asyncio.gather(*(lane(each) for each in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
