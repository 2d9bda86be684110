"""What tests of leaderboards share: a container that holds AppData, players, and values that change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from homeserver.errors import RemoteUnavailable
from homeserver.model import AppData, Board, Change, EntryPage, Origin, Person
from homeserver.services.turns import Turn
from homeserver.storage import people
from homeserver.storage.database import Database, Transaction
from tests.clock import NOON_MS, Clock
from tests.writing import apply_changes, observe_person

KEY = b"a key for cursors in tests, long"
BOARD = Board("letters", "Letters", "letters")


@dataclass(frozen=True, slots=True)
class Written:
    before: AppData
    after: AppData
    read_at_ms: int
    written_at_ms: int
    turn: Turn


@dataclass(slots=True)
class Container:
    """Holds AppData as a container would. Each update takes two milliseconds of the test's clock.

    With `together`, the answers come when so many players are being updated.
    """

    clock: Clock
    held: dict[int, dict[str, str]] = field(default_factory=dict)
    down: bool = False
    together: asyncio.Barrier | None = None

    @asynccontextmanager
    async def updating(self, player: int, changes: Mapping[str, str]) -> AsyncIterator[Written]:
        if self.down:
            raise RemoteUnavailable("no answer", service="container")
        if self.together is not None:
            await self.together.wait()
        before = dict(self.held.get(player, {}))
        read_at_ms = self.clock.now_ms()
        self.clock.advance(ms=2)
        self.held[player] = {**before, **changes}
        yield Written(before, dict(self.held[player]), read_at_ms, self.clock.now_ms(), Turn(_nothing))


async def _nothing(_: Transaction) -> None:
    """Nobody else has turns here."""


class Counting:
    """A database that counts its transactions, and can be made to fail."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.most_together = database.most_together
        self.transactions = 0
        self.failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, work: Any) -> Any:
        self.transactions += 1
        if self.failure:
            raise self.failure
        return await self._database.write(work)


async def make_players(database: Database, *names: str) -> list[int]:
    """Players whose given names are these."""

    async def work(tx: Transaction) -> list[int]:
        numbers = [await people.player_of(tx, "orkut", f"0{number}") for number, _ in enumerate(names)]
        for player, name in zip(numbers, names, strict=True):
            await observe_person(tx, player, Person(str(player), given_name=name), 1)
        return numbers

    return await database.write(work)


async def befriend(database: Database, player: int, friends: Sequence[int]) -> None:
    await database.write(lambda tx: people.observe_friends(tx, player, friends, 1))


async def give(
    database: Database, scores: Mapping[int, str | None], at_ms: int = NOON_MS, key: str = "letters"
) -> None:
    """Let each player's value become this, one millisecond after the other."""
    changes = [
        Change(player, key, None, new, at_ms + number, Origin.READ)
        for number, (player, new) in enumerate(scores.items())
    ]
    await database.write(lambda tx: apply_changes(tx, changes, at_ms + 86_400_000))


def ranks(page: EntryPage) -> list[str]:
    """As a page shows them: "=38" where tied."""
    return [f"{'=' * entry.tied}{entry.rank}" for entry in page.entries]


def names(page: EntryPage) -> list[str]:
    return [entry.player.name for entry in page.entries]
