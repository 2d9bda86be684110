"""Rebuilding boards while players play, and whatever may come between; on both engines."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from homeserver.domain import boards as definitions
from homeserver.errors import Conflict, StaleCursor
from homeserver.model import Board, Counts, Keep, Order, Span, Ties
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.rebuilds import Progress, Rebuilds, Rebuilt
from homeserver.storage import appdata, leases, moderation, people, rebuild
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Reader, Transaction
from tests.clock import Clock
from tests.leaderboards_kit import KEY, Container, make_players
from tests.patience import until
from tests.rebuild_kit import LANES, SLOW, SMALL, Writers, check, remains

BOARD = Board("letters", "Letters", "letters", minimum=-5)
BOARDS = [
    BOARD,
    replace(BOARD, keep=Keep.LATEST, ties=Ties.DENSE),
    replace(BOARD, order=Order.LESS, ties=Ties.DENSE, spans=(Span.ALL, Span.DAY)),
    replace(BOARD, counts=Counts.GAINED, keep=Keep.LATEST, largest_step=6, largest_gain_per_hour=3_600),
]


def quiet(done: int, total: int) -> None:
    """Nobody watches."""


@pytest.fixture
def rebuilds(database: Database, clock: Clock) -> Rebuilds:
    return Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL)


@pytest.fixture
async def writers(database: Database, clock: Clock) -> Writers:
    """Players with a history on a board that is in force."""
    players = await make_players(database, *(f"P{number}" for number in range(36)))
    await database.write(lambda tx: store.seed(tx, [BOARD]))
    made = Writers(database, clock, players, BOARD.field)
    for number in range(60):
        await made.write(number % LANES)
    return made


async def revision_of(database: Database, board_id: str = BOARD.id) -> int:
    in_force = await database.look(lambda reader: store.board_in_force(reader, board_id))
    assert in_force is not None
    return in_force.revision


async def rebuilt(rebuilds: Rebuilds, database: Database, board: Board, progress: Progress = quiet) -> Rebuilt:
    return await rebuilds.rebuild(board, revision=await revision_of(database), progress=progress)


# --- under load -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("board", BOARDS, ids=["as it is", "latest, dense", "less, dense, two spans", "gained, judged"])
async def test_nothing_is_lost_and_nothing_is_left_while_players_write(
    database: Database, rebuilds: Rebuilds, writers: Writers, board: Board
) -> None:
    await check(database, BOARD, least=-5)
    before = writers.written
    async with writers.busy():
        for wanted in (board, board):
            done = await rebuilt(rebuilds, database, wanted)
            assert done.entries > 0
    assert writers.written > before + 10
    assert await check(database, board, least=-5) > 40
    assert await remains(database, BOARD.id) == 0
    values = {player: await database.read(lambda db, p=player: appdata.values_of(db, p)) for player in writers.last}  # type: ignore[misc]
    assert {player: value.get(BOARD.field) for player, value in values.items()} == writers.last
    for _ in range(10):  # writers go on in what was rebuilt
        await writers.write()
    await check(database, board, least=-5)


async def test_writers_of_other_boards_of_the_field_are_not_missed(
    database: Database, rebuilds: Rebuilds, writers: Writers
) -> None:
    """They hold their own board alone; the new one is not known to them."""
    other = replace(BOARD, id="other", keep=Keep.LATEST, ties=Ties.DENSE)
    async with writers.busy():
        await rebuilds.rebuild(other, revision=None, progress=quiet)
    await check(database, BOARD, least=-5)
    await check(database, other, least=-5)
    ids = [each.board.id for each in await database.look(store.boards_in_force)]
    assert ids == ["letters", "other"]


async def test_many_who_write_just_then_do_not_keep_it_from_ending(
    database: Database, clock: Clock, writers: Writers
) -> None:
    never_caught_up = replace(SLOW, caught_up=-1, rounds=3)
    async with writers.busy():
        await rebuilt(Rebuilds(database, clock.now_ms, pace=never_caught_up, sizes=SMALL), database, BOARDS[1])
    await check(database, BOARDS[1], least=-5)


async def test_a_rebuild_of_what_is_right_changes_nothing_but_the_generation(
    database: Database, rebuilds: Rebuilds, writers: Writers
) -> None:
    entries = await check(database, BOARD, least=-5)
    (before,) = await database.look(store.boards_in_force)
    shown: list[tuple[int, int]] = []
    done = await rebuilt(rebuilds, database, BOARD, lambda *figures: shown.append(figures))
    (after,) = await database.look(store.boards_in_force)
    assert (after.board, after.revision, after.generation) == (BOARD, before.revision, before.generation + 1)
    assert (done.entries, done.entries_before) == (entries, entries)
    assert await check(database, BOARD, least=-5) == entries
    assert shown == sorted(shown)
    assert shown[-1][0] == shown[-1][1] > 0


async def test_a_clock_that_is_behind_changes_no_time_that_was_reached(
    database: Database, rebuilds: Rebuilds, writers: Writers, clock: Clock
) -> None:
    """That of another machine, or one that was ahead and was set right: scores stay in the periods they count in."""
    clock.advance(days=-3)
    await rebuilt(rebuilds, database, BOARDS[1])
    await check(database, BOARDS[1], least=-5)


async def test_a_board_without_events_is_empty(database: Database, rebuilds: Rebuilds) -> None:
    done = await rebuilds.rebuild(BOARD, revision=None, progress=quiet)
    assert done == Rebuilt(0, 0, 0, 0)
    assert await rebuilt(rebuilds, database, BOARD) == done
    assert await check(database, BOARD, least=-5) == 0


async def test_old_cursors_are_refused(database: Database, rebuilds: Rebuilds, writers: Writers, clock: Clock) -> None:
    leaderboards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    for wanted in (BOARDS[1], BOARDS[1]):  # another definition, then the same one once more
        page = await leaderboards.entries(BOARD.id, reader=None, limit=3)
        await rebuilt(rebuilds, database, wanted)
        assert page.next
        with pytest.raises(StaleCursor):
            await leaderboards.entries(BOARD.id, reader=None, cursor=page.next)


# --- what goes wrong --------------------------------------------------------------------------------------------------


class Stop(Exception):
    """Somebody pressed Ctrl-C, say."""


@pytest.mark.parametrize("events", [1, 100])
async def test_what_stops_half_way_has_changed_nothing_and_the_next_one_clears_up(
    database: Database, rebuilds: Rebuilds, writers: Writers, events: int
) -> None:
    calls = itertools.count(1)

    def stop(done: int, total: int) -> None:
        if next(calls) * SLOW.events >= events:
            raise Stop

    with pytest.raises(Stop):
        await rebuilt(rebuilds, database, BOARDS[1], stop)
    await check(database, BOARD, least=-5)
    await writers.write()
    await check(database, BOARD, least=-5)
    await rebuilt(rebuilds, database, BOARDS[1])
    await check(database, BOARDS[1], least=-5)
    assert await remains(database, BOARD.id) == 0


@pytest.mark.parametrize(
    "spoilt", [*itertools.product(("entries", "entries_by_player"), ("lost", "changed", "exchanged"))]
)
async def test_what_was_not_stored_as_it_was_folded_is_never_put_in_force(
    database: Database, rebuilds: Rebuilds, writers: Writers, monkeypatch: pytest.MonkeyPatch, spoilt: tuple[str, str]
) -> None:
    table, how = spoilt
    columns = "list, key, reached_ms, player"
    store_blocks = rebuild.store_blocks

    async def spoil(tx: Transaction, *rest: Any, **named: Any) -> None:
        await store_blocks(tx, *rest, **named)
        newest = f"list = (SELECT max(list) FROM {table})"
        some = f"SELECT {columns} FROM {table} WHERE {newest} ORDER BY key, reached_ms LIMIT 1"
        list_, key, reached_ms, player = (await tx.fetch(some))[0]
        await tx.execute(f"DELETE FROM {table} WHERE list = $1 AND player = $2", list_, player)
        if how != "lost":
            other = (key + 1, reached_ms, player) if how == "changed" else (key, reached_ms, player + 10**6)
            await tx.execute(f"INSERT INTO {table} ({columns}) VALUES ($1, $2, $3, $4)", list_, *other)

    monkeypatch.setattr(rebuild, "store_blocks", spoil)
    with pytest.raises(RuntimeError, match=r"were folded; .* is stored"):
        await rebuilt(rebuilds, database, BOARDS[1])
    await check(database, BOARD, least=-5)


async def test_a_board_is_rebuilt_once_at_a_time(
    database: Database, rebuilds: Rebuilds, writers: Writers, clock: Clock
) -> None:
    name = f"{rebuild.LEASE}{BOARD.id}"
    until_ms = clock.now_ms() + 1_000
    await database.write(lambda tx: leases.acquire(tx, name, "another", now_ms=clock.now_ms(), until_ms=until_ms))
    assert await database.look(lambda reader: rebuild.under_way(reader, clock.now_ms()))
    assert not await database.look(lambda reader: rebuild.under_way(reader, clock.now_ms(), "other"))
    with pytest.raises(Conflict, match="is being rebuilt"):
        await rebuilt(rebuilds, database, BOARD)
    clock.set(until_ms)  # it has died
    assert not await database.look(lambda reader: rebuild.under_way(reader, clock.now_ms()))
    await rebuilt(rebuilds, database, BOARDS[1])
    await check(database, BOARDS[1], least=-5)
    assert not await database.look(lambda reader: rebuild.under_way(reader, clock.now_ms(), BOARD.id))


async def test_one_that_was_taken_for_dead_does_no_harm(
    database: Database, rebuilds: Rebuilds, writers: Writers, clock: Clock
) -> None:
    """Its machine slept, and another has rebuilt the board meanwhile."""
    (name, holder), *_ = [(f"{rebuild.LEASE}{BOARD.id}", "another")]

    async def overtake(tx: Transaction) -> None:
        await tx.execute("UPDATE leases SET holder = $2 WHERE name = $1", name, holder)

    original = rebuild.events
    calls = itertools.count()

    async def events(reader: Reader, *rest: Any, **named: Any) -> Any:
        if next(calls) == 3:
            await database.write(overtake)
        return await original(reader, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "events", events)
        with pytest.raises(Conflict):
            await rebuilt(rebuilds, database, BOARDS[1])
    await check(database, BOARD, least=-5)


@pytest.mark.parametrize("database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_a_board_that_is_made_while_all_are_held_is_held_too(database: Database, writers: Writers) -> None:
    """Where there is more than one writer at a time."""
    other = replace(BOARD, id="other", field="numbers")
    original = rebuild.alone
    held: list[list[str]] = []

    async def alone(tx: Transaction, *boards: Board) -> None:
        if not held:
            await database.write(lambda tx: store.seed(tx, [other]))
        held.append([board.id for board in boards])
        await original(tx, *boards)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "alone", alone)
        found = await database.write(rebuild.all_alone)
    assert held == [["letters"], ["letters", "other"]]
    assert [each.board.id for each in found] == held[-1]


@pytest.mark.parametrize("database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
@pytest.mark.parametrize("field", ["letters", "numbers"])
async def test_a_board_that_is_made_while_somebody_goes_off_all_lists_knows_of_it(
    database: Database, rebuilds: Rebuilds, writers: Writers, clock: Clock, field: str
) -> None:
    """From the settings, or by an operator: it waits until they are off the others."""
    seeded, made = replace(BOARD, id="a-seeded-one", field=field), replace(BOARD, id="made", field=field)
    await database.write(lambda tx: people.set_has_app(tx, writers.players[0], False, clock.now_ms()))
    making: list[asyncio.Task[object]] = []

    async def work(tx: Transaction) -> None:
        await rebuild.all_alone(tx)
        await moderation.set_delisted(tx, [writers.players[0]], clock.now_ms())
        making.append(asyncio.ensure_future(database.write(lambda other: store.seed(other, [seeded]))))
        making.append(asyncio.ensure_future(rebuilds.rebuild(made, revision=None, progress=quiet)))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        await until(
            lambda: database.read(lambda reader: reader.fetch_value(waiting)),
            lambda found: found + sum(task.done() for task in making) == len(making),
        )

    await database.write(work)
    await asyncio.gather(*making)
    assert all(each.moderated for each in await database.look(store.boards_in_force))


async def test_who_plans_with_an_old_definition_is_refused(
    database: Database, rebuilds: Rebuilds, writers: Writers
) -> None:
    with pytest.raises(Conflict, match="changed meanwhile"):
        await rebuilds.rebuild(BOARDS[1], revision=7, progress=quiet)
    with pytest.raises(Conflict, match="changed meanwhile"):
        await rebuilds.rebuild(BOARDS[1], revision=None, progress=quiet)

    async def redefine(tx: Transaction) -> None:
        await rebuild.redefine(tx, replace(BOARD, title="Other"), 2)

    original = Rebuilds._load

    async def load(self: Rebuilds, *rest: Any) -> None:
        await original(self, *rest)
        await database.write(redefine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rebuilds, "_load", load)
        with pytest.raises(Conflict, match="changed meanwhile"):
            await rebuilt(rebuilds, database, BOARDS[1])
    await check(database, replace(BOARD, title="Other"), least=-5)


def test_these_boards_differ_in_what_decides_order() -> None:
    assert len({definitions.digest(board) for board in BOARDS}) == len(BOARDS)
