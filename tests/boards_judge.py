"""A judge of everything that is stored of boards, against a naive house; and the house that stored events make."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import zip_longest
from typing import NamedTuple

from homeserver.domain.scores import score_of
from homeserver.model import Change, Doubt, Origin
from homeserver.storage import leaderboards as store
from homeserver.storage.boundaries import LEVELS, Place
from homeserver.storage.database import Database, Reader
from tests.blocks_kit import Stored, check_blocks
from tests.naive_house import NaiveHouse


async def house_of(database: Database) -> NaiveHouse:
    """The house whose boards are those in force, and in which happened what the events say."""

    async def work(reader: Reader) -> NaiveHouse:
        boards = await store.boards_in_force(reader)
        return NaiveHouse({each.board.id: each.board for each in boards}, events=await events(reader))

    return await database.read(work)


async def events(reader: Reader) -> list[Change]:
    """What was accepted, in its order."""
    rows = await reader.fetch("SELECT player, key, old, new, at_ms, origin, event FROM events ORDER BY event")
    return [
        Change(player, key, old, new, at_ms, Origin(origin), event)
        for player, key, old, new, at_ms, origin, event in rows
    ]


async def check_events(database: Database, naive: NaiveHouse) -> None:
    """What was accepted of each player is what the house has accepted, in its order."""

    def by_player(changes: list[Change]) -> list[Change]:
        return [replace(each, event=None) for each in sorted(changes, key=lambda each: (each.player, each.key))]

    kept, expected = by_player(await database.read(events)), by_player(naive.events)
    assert kept == expected, list(zip_longest(kept[-3:], expected[-3:]))


async def check_tables(database: Database, naive: NaiveHouse, now_ms: int) -> int:
    """Entries are those of the house, every count is what there is to count, and no list is there that nobody needs.

    Returns:
        How many entries there are, of all lists.
    """

    async def work(reader: Reader) -> dict[str, _Kept]:
        generations = {each.board.id: each.generation for each in await store.boards_in_force(reader)}
        found = {board: _Kept({}, []) for board in generations}
        rows = await _rows(reader)
        for list_, board, period, generation, dense in await reader.fetch(
            "SELECT list, board, period, generation, dense FROM lists"
        ):
            assert generations.get(board) == generation, "a list that nobody needs"
            found[board].lists[period] = Stored(
                list_,
                bool(dense),
                rows.entries.pop(list_, []),
                rows.scores.pop(list_, {}),
                rows.blocks.pop(list_),
            )
            found[board].flags.extend(rows.flags.pop(list_, []))
        assert rows == _Rows({}, {}, {}, {}), "rows of lists that are gone"
        return found

    found = await database.read(work)
    assert found.keys() == naive.boards.keys()
    for board in naive.boards.values():
        kept = found[board.id]
        for stored in kept.lists.values():
            check_blocks(stored)
        assert {
            period: {player: (score_of(key, board.order), ms) for key, ms, player in stored.entries}
            for period, stored in kept.lists.items()
            if stored.entries
        } == naive.lists(board, now_ms)
        assert sorted(kept.flags) == sorted(each[1:] for each in naive.waiting(board, now_ms))
    return sum(len(stored.entries) for kept in found.values() for stored in kept.lists.values())


class _Kept(NamedTuple):
    """What is kept of a board: its lists by period, and what waits to be looked at."""

    lists: dict[str, Stored]
    flags: list[tuple[int, int, int, Doubt]]


class _Rows(NamedTuple):
    """By list: its entries in their order, its scores, its blocks of each level in their order, and what waits."""

    entries: dict[int, list[Place]]
    scores: dict[int, dict[int, int]]
    blocks: dict[int, dict[int, dict[Place, tuple[int, int]]]]
    flags: dict[int, list[tuple[int, int, int, Doubt]]]


async def _rows(reader: Reader) -> _Rows:
    entries: dict[int, list[Place]] = defaultdict(list)
    for list_, *place in await reader.fetch(
        "SELECT list, key, reached_ms, player FROM entries ORDER BY list, key, reached_ms, player"
    ):
        entries[list_].append((place[0], place[1], place[2]))
    by_player = await reader.fetch("SELECT list, key, reached_ms, player FROM entries_by_player")
    assert sorted(map(tuple, by_player)) == [(list_, *place) for list_ in sorted(entries) for place in entries[list_]]
    scores: dict[int, dict[int, int]] = defaultdict(dict)
    for list_, key, n in await reader.fetch("SELECT list, key, n FROM scores"):
        scores[list_][key] = n
    blocks: dict[int, dict[int, dict[Place, tuple[int, int]]]] = {}
    for list_, level, key, reached_ms, player, n, of_them in await reader.fetch(
        "SELECT list, level, key, reached_ms, player, n, scores FROM blocks "
        "ORDER BY list, level, key, reached_ms, player"
    ):
        levels = blocks.setdefault(list_, {level: {} for level in LEVELS})
        levels[level][key, reached_ms, player] = (n, of_them)
    flags: dict[int, list[tuple[int, int, int, Doubt]]] = defaultdict(list)
    for list_, player, score, at_ms, reason in await reader.fetch(
        "SELECT list, player, score, at_ms, reason FROM flags"
    ):
        flags[list_].append((player, score, at_ms, Doubt(reason)))
    return _Rows(entries, scores, blocks, flags)
