"""What tests of counted blocks share: boards of every kind of tie, changes, and a judge that counts everything anew."""

from __future__ import annotations

import inspect
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.model import Board, Change, Keep, Origin, Position, Span, Ties
from homeserver.storage import leaderboards as store
from homeserver.storage import standings
from homeserver.storage.blocks import Sizes
from homeserver.storage.boundaries import BLOCKS, FIRST, LEVELS, SUPERBLOCKS, Place
from homeserver.storage.database import Database, Reader, Transaction
from tests.clock import NOON_MS
from tests.writing import apply_changes

BOARDS: Final = tuple(Board(f"{ties}", "B", "score", keep=Keep.LATEST, ties=ties, spans=(Span.ALL,)) for ties in Ties)
LATER_MS: Final = NOON_MS + 10**9

Scores = Mapping[int, tuple[int, int]]
"""The model: player to score and the time at which it was reached. More is better."""


class Watching:
    """A transaction that keeps the statements that it was given."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.statements: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._tx, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def watched(sql: str, *rest: Any, **named: Any) -> Any:
            self.statements.append(sql)
            return await method(sql, *rest, **named)

        return watched


async def seed(database: Database) -> None:
    await database.write(lambda tx: store.seed(tx, BOARDS))


def change(player: int, score: int | None, at_ms: int) -> Change:
    return Change(player, "score", None, None if score is None else str(score), at_ms, Origin.READ)


async def apply(database: Database, changes: Sequence[Change], sizes: Sizes) -> None:
    await database.write(lambda tx: apply_changes(tx, changes, LATER_MS, sizes))


def settle(model: dict[int, tuple[int, int]], changes: Sequence[Change]) -> None:
    """Let the changes take effect in the model: the latest value counts, an equal one changes nothing."""
    for each in changes:
        if each.new is None:
            model.pop(each.player, None)
        elif each.player not in model or model[each.player][0] != int(each.new):
            model[each.player] = (int(each.new), each.at_ms)


# --- the judge --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """A list as the tables have it."""

    number: int
    dense: bool
    entries: list[Place]
    scores: dict[int, int]
    blocks: dict[int, dict[Place, tuple[int, int]]]
    """Level to beginning to entries and scores, sorted."""


async def entries_of(reader: Reader, list_: int) -> list[Place]:
    """The list's entries in their order, which are the same by player."""
    (in_order, by_player) = [
        [(row[0], row[1], row[2]) for row in await reader.fetch(sql, list_)]
        for sql in (
            "SELECT key, reached_ms, player FROM entries WHERE list = $1 ORDER BY key, reached_ms, player",
            "SELECT key, reached_ms, player FROM entries_by_player WHERE list = $1",
        )
    ]
    assert in_order == sorted(by_player)
    return in_order


async def stored(reader: Reader, board: Board) -> Stored | None:
    """Everything that is kept of the board's only list; None before anybody entered it."""
    row = await reader.fetch_one("SELECT list, dense FROM lists WHERE board = $1", board.id)
    if row is None:
        return None
    number, dense = row
    entries = await entries_of(reader, number)
    scores = await reader.fetch("SELECT key, n FROM scores WHERE list = $1", number)
    blocks: dict[int, dict[Place, tuple[int, int]]] = {level: {} for level in LEVELS}
    for level, key, reached_ms, player, n, of_them in await reader.fetch(
        "SELECT level, key, reached_ms, player, n, scores FROM blocks WHERE list = $1 "
        "ORDER BY level, key, reached_ms, player",
        number,
    ):
        blocks[level][key, reached_ms, player] = (n, of_them)
    return Stored(
        number,
        bool(dense),
        entries,
        {key: n for key, n in scores},  # noqa: C416 - rows are not pairs to mypy
        blocks,
    )


def check_blocks(found: Stored) -> None:
    """The three things that are true after every transaction."""
    keys = [key for key, _, _ in found.entries]
    expected = {key: keys.count(key) for key in set(keys)} if found.dense else {}
    assert found.scores == expected
    starts = sorted((key, *FIRST[1:]) for key in expected)
    for level in LEVELS:
        firsts = list(found.blocks[level])
        assert firsts[0] == FIRST
        for first, end in zip(firsts, [*firsts[1:], None], strict=True):
            assert found.blocks[level][first] == (
                _between(found.entries, first, end),
                _between(starts, first, end),
            ), (level, first)
    assert set(found.blocks[SUPERBLOCKS]) <= set(found.blocks[BLOCKS])


def _between(places: Sequence[Place], begin: Place, end: Place | None) -> int:
    return (len(places) if end is None else bisect_left(places, end)) - bisect_left(places, begin)


def check_sizes(found: Stored, sizes: Sizes) -> None:
    """No block is left too large: whoever made it so has tidied up."""
    assert all(n <= 2 * sizes.block for n, _ in found.blocks[BLOCKS].values())


async def check_all(database: Database, model: Scores, *, limit: int, sample: random.Random | None = None) -> None:
    """Every count, rank, page, neighbourhood and jump of every board against the model, or those of a sample."""
    expected = sorted(Position(-1 - score, at_ms, player) for player, (score, at_ms) in model.items())
    for board in BOARDS:
        found = await database.read(lambda reader, board=board: stored(reader, board))  # type: ignore[misc]
        if found is None:
            assert not expected
            continue
        assert found.entries == [(each.key, each.reached_ms, each.player) for each in expected]
        check_blocks(found)
        judge = _Judge(found.number, board.ties, expected, limit)
        await database.look(lambda reader, judge=judge: judge.check(reader, sample))  # type: ignore[misc]


class _Judge:
    """One list against positions sorted in memory."""

    def __init__(self, number: int, ties: Ties, expected: Sequence[Position], limit: int) -> None:
        self._list = number
        self._ties = ties
        self._limit = limit
        keys = [position.key for position in expected]
        distinct = {key: number for number, key in enumerate(sorted(set(keys)))}
        self._rows = [
            standings.Standing(
                position,
                {
                    Ties.COMPETITION: 1 + keys.index(position.key),
                    Ties.DENSE: 1 + distinct[position.key],
                    Ties.ORDINAL: 1 + index,
                }[ties],
                keys.count(position.key) > 1,
            )
            for index, position in enumerate(expected)
        ]

    async def check(self, reader: Reader, sample: random.Random | None) -> None:
        rows, list_, ties = self._rows, self._list, self._ties
        assert await standings.total(reader, list_) == len(rows)
        indexes = range(len(rows)) if sample is None else sorted(sample.sample(range(len(rows)), min(10, len(rows))))
        wanted = [rows[index].position for index in indexes]
        assert list(await standings.standings(reader, list_, ties, wanted)) == [rows[index] for index in indexes]
        await self._run(await standings.run_from(reader, list_, ties, standings.BEGINNING, self._limit), 0)
        for index in indexes:
            position = rows[index].position
            assert await standings.standing(reader, list_, ties, position) == rows[index]
            assert await standings.index_of(reader, list_, position) == index
            assert await standings.index_of(reader, list_, standings.just_behind(position)) == index + 1
            await self._run(await standings.run_after(reader, list_, ties, position, self._limit), index + 1)
            run = await standings.run_before(reader, list_, ties, position, self._limit)
            assert list(run.standings) == rows[max(0, index - self._limit) : index]
            begin = max(0, min(index - (self._limit - 1) // 2, len(rows) - self._limit))
            await self._run(await standings.run_around(reader, list_, ties, position, self._limit), begin)
            rank = rows[index].rank if ties is Ties.DENSE else index + 1
            at = next(number for number, row in enumerate(rows) if row.rank == rank) if ties is Ties.DENSE else index
            await self._run(await standings.run_at_rank(reader, list_, ties, rank, self._limit), at)
        for beyond in (len(rows) + 1, 2**63 + 1):
            run = await standings.run_at_rank(reader, list_, ties, beyond, self._limit)
            await self._run(run, max(0, len(rows) - self._limit))

    async def _run(self, run: standings.Run, begin: int) -> None:
        end = begin + self._limit
        expected = tuple(self._rows[begin:end])
        assert run == standings.Run(expected, bool(self._rows[:begin]), bool(self._rows[end:]))
