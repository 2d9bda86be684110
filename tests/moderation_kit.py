"""What tests of moderation share: players who change, operators who act, and a naive board that knows both."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.domain.scores import score_of
from homeserver.model import Board, Decision, Origin
from homeserver.model import Counts as Gains
from homeserver.services.moderation import Moderation
from homeserver.storage import appdata, people
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Reader, Transaction
from tests.blocks_kit import check_blocks
from tests.clock import NOON_MS, Clock
from tests.naive_rules import Accepted, NaiveRules
from tests.rebuild_kit import SMALL, stored

WHY = {"actor": "maria", "reason": "a score that nobody can reach"}


@dataclass(slots=True)
class Scene:
    """Players and their values, as a sync writes them."""

    database: Database
    clock: Clock
    players: Sequence[int]
    moderation: Moderation = field(init=False)

    def __post_init__(self) -> None:
        self.moderation = Moderation(self.database, self.clock.now_ms, sizes=SMALL)

    async def give(
        self, player: int, value: str | None, *, key: str = "letters", origin: Origin = Origin.SUBMITTED
    ) -> None:
        """A player's value becomes this, a millisecond later."""
        self.clock.advance(ms=1)
        at_ms = self.clock.now_ms()

        async def work(tx: Transaction) -> None:
            boards = await store.begin(tx, [key])
            changes = await appdata.observe(tx, player, {key: value}, observed_ms=at_ms, at_ms=at_ms, origin=origin)
            await store.record(tx, boards, changes, at_ms, SMALL)

        await self.database.write(work)


async def lists_of(database: Database, board: Board) -> dict[str, dict[int, tuple[int, int]]]:
    """Every list of a board in force, whose blocks are checked: by period, the score and time of each player."""

    async def work(reader: Reader) -> dict[str, dict[int, tuple[int, int]]]:
        in_force = await store.board_in_force(reader, board.id)
        assert in_force is not None
        found: dict[str, dict[int, tuple[int, int]]] = {}
        for period, number in await reader.fetch(
            "SELECT period, list FROM lists WHERE board = $1 AND generation = $2", board.id, in_force.generation
        ):
            held = await stored(reader, number)
            check_blocks(held)
            if held.entries:
                found[period] = {player: (score_of(key, board.order), ms) for key, ms, player in held.entries}
        return found

    return await database.read(work)


Counts = Callable[[int, int], bool]
"""Whether an event of this number counts, of this player."""


async def expected(
    database: Database,
    board: Board,
    counts: Counts,
    decisions: dict[int, Decision] | None = None,
    *,
    adjusted: Sequence[tuple[int, int, int]] = (),
    since: int = 0,
) -> NaiveRules:
    """What the events come to, taken one by one: those that do not count make no entries, and are remembered.

    Args:
        adjusted: Player, the last event that they had, and the score that they were given then, in their order.
        since: The last event before the board was reset: it begins anew with what it accepted last of each player.
    """
    naive = NaiveRules(board, decisions or {})

    async def work(reader: Reader) -> None:
        rows: list[Any] = await reader.fetch(
            "SELECT event, player, new, at_ms, origin FROM events WHERE key = $1 ORDER BY event", board.field
        )
        now_ms = max([NOON_MS, *(row[3] for row in rows)])
        for row in rows:
            does_count = counts(row[0], row[1])
            before = naive.lists if does_count else copy.deepcopy(naive.lists)
            naive.apply(tuple(row), now_ms)
            if not does_count:
                naive.lists = before
            if row[0] <= since:
                naive.lists = {}
                of = naive.players[row[1]]
                of.waiting.clear()
                of.accepted = [Accepted(each.score, each.at_ms, ()) for each in of.accepted]
            for player, event, score in adjusted:
                if event == row[0]:
                    adjust(naive, player, score)

    await database.read(work)
    return naive


def adjust(naive: NaiveRules, player: int, score: int) -> None:
    """Wherever the player is, they have this instead, since then."""
    for period, entries in naive.lists.items():
        if player in entries:
            gained = naive.board.counts is Gains.GAINED and period != "all"
            base = naive.base(naive.players[player], period) if gained else 0
            entries[player] = (score - base, entries[player][1])


async def newest_event(database: Database, player: int, key: str = "letters") -> int:
    async def work(reader: Reader) -> int:
        number = await reader.fetch_value("SELECT max(event) FROM events WHERE player = $1 AND key = $2", player, key)
        return int(number or 0)

    return await database.read(work)


async def traces(database: Database, player: int) -> dict[str, int]:
    """How many rows of each table speak of the player."""

    async def work(reader: Reader) -> dict[str, int]:
        found = {}
        for table, columns in TABLES.items():
            where = " OR ".join(f"{column} = $1" for column in columns)
            found[table] = int(await reader.fetch_value(f"SELECT count(*) FROM {table} WHERE {where}", player))
        return {table: count for table, count in found.items() if count}

    return await database.read(work)


TABLES = {
    "players": ("player",),
    "friendships": ("player", "friend"),
    "appdata": ("player",),
    "appdata_writes": ("player",),
    "events": ("player",),
    "entries": ("player",),
    "entries_by_player": ("player",),
    "claims": ("player",),
    "flags": ("player",),
    "decisions": ("player",),
    "moderation": ("player",),
    "adjustments": ("player",),
    "cleared": ("player",),
    "bulk_changes": ("player",),
    "audit": ("player",),
    "gadget_sessions": ("owner", "viewer"),
    "page_sessions": ("player",),
    "page_links": ("player",),
    "account_links": ("player",),
}


async def player_of(database: Database, user_id: str, container: str = "orkut") -> int:
    return await database.write(lambda tx: people.player_of(tx, container, user_id))
