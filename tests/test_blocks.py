"""Counted blocks against counting everything anew, after random histories with tiny blocks; on both engines."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.model import Change, Position, Ties
from homeserver.storage import blocks, boundaries, standings
from homeserver.storage.blocks import Sizes
from homeserver.storage.boundaries import BLOCKS, FIRST, SUPERBLOCKS, Boundaries, Memory
from homeserver.storage.database import Database, Transaction, open_database, sqlite_path
from homeserver.storage.sqlite import SqliteTransaction, connect
from tests.blocks_kit import (
    BOARDS,
    Stored,
    Watching,
    apply,
    change,
    check_all,
    check_blocks,
    check_sizes,
    seed,
    settle,
    stored,
)
from tests.clock import NOON_MS
from tests.conftest import Place
from tests.recounting import recount
from tests.writing import apply_changes

PLAYERS: Final = 60
TINY: Final = Sizes(block=2, fanout=2)

# What a phase does, how often, and in transactions of how many.
PHASES: Final = st.lists(
    st.tuples(
        st.sampled_from(["any", "few values", "best", "worst", "one value", "move", "leave", "leave all"]),
        st.integers(1, 50),
        st.integers(1, 25),
    ),
    min_size=1,
    max_size=6,
)


def changes_of(kind: str, often: int, present: Sequence[int], chance: random.Random, now_ms: int) -> Iterator[Change]:
    """The changes of one phase."""
    leaving = list(present)
    chance.shuffle(leaving)
    for step in range(often):
        player = chance.randint(1, PLAYERS)
        at_ms = now_ms + step // 3  # some at the same time: then the player's number decides
        match kind:
            case "any":
                yield change(player, chance.randint(-(10**12), 10**12), at_ms)
            case "few values":
                yield change(player, chance.randint(-2, 2), at_ms)
            case "best":
                yield change(player, 10**13 + at_ms, at_ms)
            case "worst":
                yield change(player, -(10**13) - at_ms, at_ms)
            case "one value":
                yield change(player, 7, at_ms)
            case "move" if present:
                yield change(chance.choice(present), chance.randint(-20, 20), at_ms)
            case "leave" if step < len(leaving):
                yield change(leaving[step], None, at_ms)
    if kind == "leave all":
        yield from (change(player, None, now_ms) for player in leaving)


@settings(
    max_examples=max(12, settings.default.max_examples // 8) if settings.default else 12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    phases=PHASES,
    sizes=st.builds(Sizes, st.integers(2, 8), st.integers(2, 8)),
    limit=st.integers(1, 6),
    number=st.integers(0, 2**32),
)
@example(
    phases=[("any", 50, 25), ("leave all", 1, 7), ("best", 50, 3), ("leave all", 1, 25), ("any", 50, 1)],
    sizes=TINY,
    limit=4,
    number=1,
)
@example(
    phases=[("one value", 50, 25), ("few values", 30, 4), ("leave", 40, 3), ("worst", 50, 9)],
    sizes=TINY,
    limit=3,
    number=2,
)
@example(
    phases=[("any", 50, 25), ("one value", 50, 25), ("move", 50, 9), ("leave", 50, 2)],
    sizes=Sizes(3, 2),
    limit=5,
    number=3,
)
async def test_blocks_equal_entries_and_every_view_equals_the_model(
    *, database: Database, phases: list[tuple[str, int, int]], sizes: Sizes, limit: int, number: int
) -> None:
    await empty(database)
    await seed(database)
    chance = random.Random(number)
    model: dict[int, tuple[int, int]] = {}
    now_ms = NOON_MS
    for kind, often, batch in phases:
        changes = list(changes_of(kind, often, sorted(model), chance, now_ms))
        for begin in range(0, len(changes), batch):
            await apply(database, changes[begin : begin + batch], sizes)
            for board in BOARDS:
                found = await database.look(lambda reader, board=board: stored(reader, board))  # type: ignore[misc]
                if found is not None:
                    check_blocks(found)
                    check_sizes(found, sizes)
        settle(model, changes)
        now_ms += 1_000
    await check_all(database, model, limit=limit)


async def empty(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        for table in ("entries", "blocks", "scores", "lists"):
            await tx.execute(f"DELETE FROM {table}")

    await database.write(work)


async def the_list(database: Database, ties: Ties = Ties.DENSE) -> Stored:
    found = await database.read(lambda reader: stored(reader, next(board for board in BOARDS if board.ties is ties)))
    assert found is not None
    return found


# --- cutting and joining ----------------------------------------------------------------------------------------------


async def test_a_list_begins_as_one_block_and_is_cut_when_it_has_twice_as_many(database: Database) -> None:
    await seed(database)
    sizes = Sizes(3, 2)
    await apply(database, [change(player, player, NOON_MS) for player in range(1, 7)], sizes)
    assert (await the_list(database)).blocks == {BLOCKS: {FIRST: (6, 6)}, SUPERBLOCKS: {FIRST: (6, 6)}}
    await apply(database, [change(7, 0, NOON_MS)], sizes)
    # Best first: 6, 5, 4 stay on the left; the score 3 begins before its entry, so it is counted there too.
    cut = (-1 - 3, NOON_MS, 3)
    assert (await the_list(database)).blocks == {
        BLOCKS: {FIRST: (3, 4), cut: (4, 3)},
        SUPERBLOCKS: {FIRST: (7, 7)},
    }


async def test_blocks_of_both_levels_are_cut_while_a_list_grows_and_joined_while_it_shrinks(database: Database) -> None:
    await seed(database)
    seen: list[tuple[int, int]] = []
    for players, score in ((range(1, 301), 1), (range(300, 0, -1), None)):
        order = list(players)
        random.Random(5).shuffle(order)
        for begin in range(0, 300, 30):
            some = [change(player, score and player % 40, NOON_MS) for player in order[begin : begin + 30]]
            await apply(database, some, Sizes(4, 3))
            found = await the_list(database)
            check_blocks(found)
            seen.append((len(found.blocks[BLOCKS]), len(found.blocks[SUPERBLOCKS])))
    grown = seen[9]
    assert grown[0] > 300 // 8
    assert grown[1] > 300 // 24
    assert seen[:10] == sorted(seen[:10])
    assert seen[-1] == (1, 1)


async def test_one_transaction_may_bring_a_block_more_than_many_can_hold(database: Database) -> None:
    await seed(database)
    await apply(database, [change(player, 1, NOON_MS) for player in range(1, 401)], Sizes(4, 4))
    found = await the_list(database, Ties.COMPETITION)
    check_blocks(found)
    check_sizes(found, Sizes(4, 4))
    assert max(n for n, _ in found.blocks[SUPERBLOCKS].values()) <= 2 * 16


async def test_sizes_may_change_at_any_time(database: Database) -> None:
    await seed(database)
    model: dict[int, tuple[int, int]] = {}
    for number, sizes in enumerate([Sizes(2, 2), Sizes(9, 3), Sizes(), Sizes(3, 8)]):
        changes = [change(player, player * 37 % 11 + number, NOON_MS + number) for player in range(1, 90, 1 + number)]
        await apply(database, changes, sizes)
        settle(model, changes)
        await check_all(database, model, limit=7, sample=random.Random(number))


async def test_the_ends_of_the_range_are_counted(database: Database) -> None:
    """The best possible key is where the first block begins, and nothing may be added to the worst one."""
    await seed(database)
    values = [INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX]
    changes = [change(player, values[player % len(values)], NOON_MS) for player in range(1, 40)]
    model: dict[int, tuple[int, int]] = {}
    for begin in range(0, len(changes), 5):
        await apply(database, changes[begin : begin + 5], TINY)
        settle(model, changes[begin : begin + 5])
        await check_all(database, model, limit=3, sample=random.Random(begin))


async def test_a_move_within_its_block_writes_no_block(database: Database) -> None:
    await seed(database)

    async def work(tx: Transaction, score: int) -> list[str]:
        watching = Watching(tx)
        await apply_changes(cast("Transaction", watching), [change(4, score, NOON_MS + score)], NOON_MS * 2)
        return [sql for sql in watching.statements if "UPDATE" in sql or "INSERT" in sql]

    await apply(database, [change(player, player, NOON_MS) for player in range(1, 9)], Sizes())
    boards = ("competition", "ordinal")
    await database.write(lambda tx: tx.execute("DELETE FROM boards WHERE board NOT IN ($1, $2)", *boards))
    written = await database.write(lambda tx: work(tx, 99))
    assert len(written) == 3
    assert not any("blocks" in sql for sql in written)
    assert "list_versions" in written[-1]  # the last rows that are locked


# --- what is remembered of boundaries ---------------------------------------------------------------------------------


class OnPurposeError(Exception):
    """Raised inside a transaction."""


async def test_boundaries_of_a_transaction_that_was_undone_are_not_believed(database: Database) -> None:
    await seed(database)
    await apply(database, [change(player, player, NOON_MS) for player in range(1, 5)], TINY)

    async def work(tx: Transaction) -> None:
        changes = [change(player, player, NOON_MS) for player in range(20, 60)]
        await apply_changes(tx, changes, NOON_MS * 2, TINY)
        raise OnPurposeError

    for _ in range(3):
        with pytest.raises(OnPurposeError):
            await database.write(work)
        check_blocks(await the_list(database))
    model: dict[int, tuple[int, int]] = {player: (player, NOON_MS) for player in range(1, 5)}
    for player in range(60, 5, -1):
        some = [change(player, player, NOON_MS + 1)]
        await apply(database, some, TINY)
        settle(model, some)
    await check_all(database, model, limit=3)


async def test_boundaries_are_read_again_when_memory_has_lost_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boundaries, "MEMORY", Memory(0))
    monkeypatch.setattr(blocks, "MEMORY", Memory(0))
    await seed(database)
    model: dict[int, tuple[int, int]] = {}
    for number in range(6):
        changes = [change(player, player * 7 % 10, NOON_MS + number) for player in range(number, 50, 6)]
        await apply(database, changes, TINY)
        settle(model, changes)
    await check_all(database, model, limit=3)


def test_memory_is_bounded_and_loses_what_was_not_asked_for_longest() -> None:
    def cut(number: int) -> Boundaries:
        return Boundaries([FIRST] * number, [FIRST])

    memory = Memory(12)
    memory.keep(1, cut(4))
    memory.keep(2, cut(5))
    assert memory.find(1) is not None
    memory.keep(3, cut(3))
    assert [memory.find(token) is not None for token in (1, 2, 3)] == [True, False, True]
    assert len(memory) == 9
    memory.keep(3, cut(3))
    assert len(memory) == 9
    memory.forget(1)
    memory.forget(1)
    assert (memory.find(1), len(memory)) == (None, 4)
    memory.keep(4, cut(40))
    assert len(memory) == 0


def test_boundaries_find_the_block_of_every_place() -> None:
    firsts = [FIRST, (0, 5, 5), (0, 5, 9), (4, 1, 1)]
    held = Boundaries(firsts, [FIRST, (0, 5, 9)])
    places = [FIRST, (-1, 9, 9), (0, 5, 4), (0, 5, 5), (0, 5, 8), (0, 5, 9), (3, 9, 9), (4, 1, 1), (9, 9, 9)]
    assert [firsts.index(held.holder(BLOCKS, place)) for place in places] == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert [firsts.index(held.holder(SUPERBLOCKS, place)) for place in places] == [0, 0, 0, 0, 0, 2, 2, 2, 2]
    more = held.split(BLOCKS, (2, 2, 2))
    assert more.blocks == [*firsts[:3], (2, 2, 2), firsts[3]]
    assert more.merged(BLOCKS, (2, 2, 2)) == held
    assert held.split(SUPERBLOCKS, (4, 1, 1)).superblocks == [FIRST, (0, 5, 9), (4, 1, 1)]


# --- counting anew ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("players", [0, 1, 5, 6, 7, 30, 31, 200])
@pytest.mark.parametrize("values", [1, 7, 10**6])
async def test_a_list_counted_anew_is_as_right(database: Database, players: int, values: int) -> None:
    await seed(database)
    changes = [change(player, player * 7919 % values, NOON_MS) for player in range(players)]
    model: dict[int, tuple[int, int]] = {}
    settle(model, changes)
    await apply(database, [change(999, 1, NOON_MS), *changes], TINY)
    await apply(database, [change(999, None, NOON_MS)], TINY)

    async def work(tx: Transaction) -> None:
        for list_, dense in await tx.fetch("SELECT list, dense FROM lists"):
            await tx.execute("UPDATE blocks SET n = 7, scores = 7 WHERE list = $1", list_)
            await recount(tx, list_, dense=bool(dense), sizes=Sizes(3, 2))

    await database.write(work)
    await check_all(database, model, limit=5, sample=random.Random(1))
    found = await the_list(database)
    assert len(found.blocks[BLOCKS]) == max(1, -(-players // 3))
    assert len(found.blocks[SUPERBLOCKS]) == max(1, -(-players // 6))
    more = [change(player, 3, NOON_MS + 1) for player in range(300, 320)]
    await apply(database, more, TINY)
    settle(model, more)
    await check_all(database, model, limit=5, sample=random.Random(2))


# --- the judge itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE blocks SET n = n + 1 WHERE level = 1",
        "UPDATE blocks SET scores = scores - 1 WHERE level = 2",
        "UPDATE scores SET n = n + 1",
        "DELETE FROM scores WHERE key = -2",
        "DELETE FROM blocks WHERE level = 1 AND n = (SELECT max(b.n) FROM blocks AS b WHERE b.level = 1)",
        "DELETE FROM entries WHERE player = 3",
        "DELETE FROM entries_by_player WHERE player = 3",
        "UPDATE entries_by_player SET reached_ms = reached_ms + 1 WHERE player = 3",
    ],
)
async def test_the_judge_sees_what_is_wrong(database: Database, statement: str) -> None:
    await seed(database)
    changes = [change(player, player % 5, NOON_MS) for player in range(1, 30)]
    model: dict[int, tuple[int, int]] = {}
    settle(model, changes)
    await apply(database, changes, TINY)
    await check_all(database, model, limit=3)
    await database.write(lambda tx: tx.execute(statement))
    with pytest.raises(AssertionError):
        await check_all(database, model, limit=3)


# --- how much is read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("values", [1, 2, 1_000, 10**9])
async def test_a_rank_anywhere_reads_a_bounded_part_of_the_list(borrowed_place: Place, values: int) -> None:
    """Counted in steps of SQLite's machine: whatever the scores, all equal too, and at either end of the list."""
    players = 40_000
    async with open_database(borrowed_place.url) as database:
        await seed(database)
        await apply(database, [change(0, 0, NOON_MS)], Sizes())
        await database.write(lambda tx: fill(tx, players, values))
    connection = connect(sqlite_path(borrowed_place.url), read_only=True)
    try:
        reader = SqliteTransaction(connection)
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        for list_, board in connection.execute("SELECT list, board FROM lists ORDER BY list").fetchall():
            ties = Ties(board)
            rows = connection.execute(
                "SELECT key, reached_ms, player FROM entries WHERE list = ? ORDER BY key, reached_ms, player", [list_]
            ).fetchall()
            for index in (0, 1, 511, players // 2, players - 2, players - 1):
                position = Position(*rows[index])
                asked = {
                    "standing": standings.standing(reader, list_, ties, position),
                    "around": standings.run_around(reader, list_, ties, position, 20),
                    "at rank": standings.run_at_rank(reader, list_, ties, index + 1, 20),
                    "before": standings.run_before(reader, list_, ties, position, 20),
                    "total": standings.total(reader, list_),
                }
                for name, question in asked.items():
                    steps = 0
                    connection.set_progress_handler(step, 1)
                    await question
                    connection.set_progress_handler(None, 0)
                    # Reading the whole list takes 80,000 steps at least.
                    assert steps < 20_000, (name, ties, index, steps)
    finally:
        connection.close()


async def fill(tx: Transaction, players: int, values: int) -> None:
    """Entries of as many players in every list, as if each had come by itself."""
    for list_, dense in await tx.fetch("SELECT list, dense FROM lists"):
        await tx.execute("DELETE FROM entries WHERE list = $1", list_)
        await tx.execute_many(
            "INSERT INTO entries (list, key, reached_ms, player) VALUES ($1, $2, $3, $4)",
            [(list_, player * 7919 % values, NOON_MS + player % 1_000, player) for player in range(players)],
        )
        await recount(tx, list_, dense=bool(dense))
