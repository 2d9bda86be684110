"""What accepted changes do to the lists of boards; on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from homeserver.domain.boards import BoardInForce
from homeserver.errors import BadInput
from homeserver.model import Board, Change, Keep, Order, Origin, Position, Span, Ties
from homeserver.storage import appdata, standings
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Reader, Row, Transaction, open_database
from homeserver.storage.leaderboards import ListName
from tests.clock import NOON_MS
from tests.conftest import Place
from tests.writing import apply_changes

DAY_MS = 86_400_000
BEST = Board("best", "Best", "score")
LATEST = Board("latest", "Latest", "score", keep=Keep.LATEST, minimum=-100, maximum=1_000)
OTHER = Board("other", "Other", "laps", spans=(Span.ALL, Span.DAY))
TODAY = {"all", "month:2026-11", "week:2026-W47", "day:2026-11-22"}


def change(
    new: str | None, *, at_ms: int = NOON_MS, player: int = 1, origin: Origin = Origin.READ, key: str = "score"
) -> Change:
    return Change(player, key, None, new, at_ms, origin)


async def seed(database: Database, *boards: Board) -> tuple[str, ...]:
    return await database.write(lambda tx: store.seed(tx, boards))


async def apply(database: Database, *changes: Change, now_ms: int = NOON_MS + 90 * DAY_MS) -> None:
    await database.write(lambda tx: apply_changes(tx, changes, now_ms))


async def entries(database: Database, board: str) -> dict[str, list[Position]]:
    """Period id to positions, best first; lists without entries are left out."""

    async def work(reader: Reader) -> dict[str, list[Position]]:
        found: dict[str, list[Position]] = {}
        rows = await reader.fetch(
            "SELECT l.period, e.key, e.reached_ms, e.player FROM lists AS l JOIN entries AS e ON e.list = l.list "
            "WHERE l.board = $1 ORDER BY e.key, e.reached_ms, e.player",
            board,
        )
        for period, *position in rows:
            found.setdefault(period, []).append(Position(*position))
        return found

    return await database.read(work)


def everywhere(*positions: Position) -> dict[str, list[Position]]:
    return {period: list(positions) for period in TODAY}


def best(score: int, at_ms: int = NOON_MS, player: int = 1) -> Position:
    return Position(-1 - score, at_ms, player)


# --- boards -----------------------------------------------------------------------------------------------------------


async def test_boards_are_stored_once_and_served_in_their_order(database: Database) -> None:
    assert await seed(database, LATEST, BEST, OTHER) == ()
    assert await seed(database, LATEST, BEST, OTHER) == ()
    found = await database.look(store.boards_in_force)
    assert found == tuple(BoardInForce(board, revision=1, generation=1) for board in (LATEST, BEST, OTHER))
    assert await database.look(lambda reader: store.board_in_force(reader, "best")) == found[1]
    for unknown in ("nobody", "", "\x00", "best'--"):
        assert await database.look(lambda reader, id_=unknown: store.board_in_force(reader, id_)) is None  # type: ignore[misc]


async def test_a_difference_is_said_and_the_databases_board_is_served(database: Database) -> None:
    await seed(database, BEST, OTHER)
    said = await seed(database, replace(BEST, ties=Ties.DENSE, order=Order.LESS))
    assert said == (
        'board best: order is "more", the settings say "less"; ties is "competition", the settings say "dense"',
        "board other: not in the settings any more; it is still served",
    )
    assert [in_force.board for in_force in await database.look(store.boards_in_force)] == [BEST, OTHER]


async def test_a_wrong_definition_stores_nothing(database: Database) -> None:
    with pytest.raises(BadInput):
        await seed(database, BEST, replace(OTHER, zone="Nowhere"))
    assert await database.look(store.boards_in_force) == ()


async def test_servers_that_start_at_once_agree(place: Place) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as other:
        await asyncio.gather(
            *(seed(each, *boards) for each in (one, other) for boards in ([BEST, OTHER], [OTHER, BEST]))
        )
        assert len(await one.look(store.boards_in_force)) == 2


# --- one change -------------------------------------------------------------------------------------------------------


async def test_a_baseline_enters_all_alone(database: Database) -> None:
    await seed(database, BEST)
    await apply(database, change("5", origin=Origin.BASELINE))
    assert await entries(database, "best") == {"all": [best(5)]}


@pytest.mark.parametrize("origin", [Origin.READ, Origin.SUBMITTED])
async def test_any_other_change_enters_every_current_period(database: Database, origin: Origin) -> None:
    await seed(database, BEST, OTHER)
    await apply(database, change("5", origin=origin))
    assert await entries(database, "best") == everywhere(best(5))
    assert await entries(database, "other") == {}


async def test_best_keeps_what_was_better_and_when_it_was_reached(database: Database) -> None:
    await seed(database, BEST)
    later = NOON_MS + 1_000
    for worse in ("5", "4", "-7", "junk", ""):
        await apply(database, change("5"), change(worse, at_ms=later))
        assert await entries(database, "best") == everywhere(best(5))
    await apply(database, change("6", at_ms=later))
    assert await entries(database, "best") == everywhere(best(6, later))


async def test_lower_may_be_better(database: Database) -> None:
    await seed(database, replace(BEST, order=Order.LESS))
    await apply(database, change("5"), change("6", at_ms=NOON_MS + 1), change("0", player=2))
    assert (await entries(database, "best"))["all"] == [Position(0, NOON_MS, 2), Position(5, NOON_MS, 1)]
    await apply(database, change("-1", at_ms=NOON_MS + 2))
    assert (await entries(database, "best"))["all"] == [Position(-1, NOON_MS + 2, 1), Position(0, NOON_MS, 2)]


async def test_latest_follows_the_value(database: Database) -> None:
    await seed(database, replace(LATEST, decimals=1))
    await apply(database, change("5.0"), change("5", at_ms=NOON_MS + 1))
    assert (await entries(database, "latest"))["all"] == [best(50)]  # another text, the same score: nothing changed
    await apply(database, change("4", at_ms=NOON_MS + 2))
    assert await entries(database, "latest") == everywhere(best(40, NOON_MS + 2))


@pytest.mark.parametrize("refused", ["junk", "", "1e3", "1001", "-101", "9" * 30])
async def test_a_refused_value_leaves_latest_and_stays_off_best(database: Database, refused: str) -> None:
    ranged = replace(BEST, minimum=-100, maximum=1_000)
    await seed(database, ranged, LATEST)
    await apply(database, change(refused, player=2), change("5"), change(refused, at_ms=NOON_MS + 1))
    assert await entries(database, "best") == everywhere(best(5))
    assert await entries(database, "latest") == {}
    await apply(database, change("3", at_ms=NOON_MS + 2))
    assert await entries(database, "latest") == everywhere(best(3, NOON_MS + 2))


async def test_the_ends_of_the_range_rank(database: Database) -> None:
    await seed(database, LATEST)
    await apply(database, change("1000"), change("-100", player=2))
    assert (await entries(database, "latest"))["all"] == [best(1000), best(-100, player=2)]


@pytest.mark.parametrize("board", [BEST, LATEST])
async def test_a_value_that_is_gone_leaves_all_and_what_is_current_not_what_is_closed(
    database: Database, board: Board
) -> None:
    await seed(database, board)
    tomorrow = NOON_MS + DAY_MS  # a Monday
    await apply(database, change("5"), change("6", at_ms=tomorrow), change("1", player=2))
    await apply(database, change(None, at_ms=tomorrow + 1))
    two = best(1, player=2)
    assert await entries(database, board.id) == {
        "all": [two],
        "month:2026-11": [two],
        "week:2026-W47": [best(5), two],
        "day:2026-11-22": [best(5), two],
    }


async def test_what_is_gone_without_having_been_there_changes_nothing(database: Database) -> None:
    await seed(database, BEST)
    await apply(database, change(None))
    assert await entries(database, "best") == {}


async def test_each_period_has_the_best_that_was_reached_within_it(database: Database) -> None:
    await seed(database, BEST)
    await apply(database, change("9"), change("3", at_ms=NOON_MS + DAY_MS))
    found = await entries(database, "best")
    assert (found["all"], found["week:2026-W47"]) == ([best(9)], [best(9)])
    assert found["week:2026-W48"] == found["day:2026-11-23"] == [best(3, NOON_MS + DAY_MS)]


async def test_midnight_in_the_boards_zone_parts_the_days(database: Database) -> None:
    await seed(database, replace(BEST, zone="America/Sao_Paulo"))
    midnight = NOON_MS + 15 * 3_600_000  # 00:00 at -03:00
    await apply(database, change("1", at_ms=midnight - 1), change("2", at_ms=midnight, player=2))
    found = await entries(database, "best")
    assert found["day:2026-11-22"] == [best(1, midnight - 1)]
    assert found["day:2026-11-23"] == [best(2, midnight, player=2)]


async def test_no_change_counts_as_later_than_now(database: Database) -> None:
    await seed(database, BEST)
    await apply(database, change("5", at_ms=NOON_MS + 40 * DAY_MS), now_ms=NOON_MS)
    assert await entries(database, "best") == everywhere(best(5))


async def test_neighbours_beyond_the_doubles_stay_apart(database: Database) -> None:
    await seed(database, BEST)
    values = [2**53 + 1, 2**53, 2**63 - 1, 2**63 - 2, -(2**63)]
    await apply(database, *(change(str(value), player=player) for player, value in enumerate(values, 1)))
    found = (await entries(database, "best"))["all"]
    assert [-1 - position.key for position in found] == sorted(values, reverse=True)


async def test_one_change_takes_effect_on_every_board_of_its_field(database: Database) -> None:
    await seed(database, BEST, LATEST, OTHER)
    await apply(database, change("5"), change("7", key="laps"), change("1", key="nobody's"))
    assert await entries(database, "best") == await entries(database, "latest") == everywhere(best(5))
    assert await entries(database, "other") == {"all": [best(7)], "day:2026-11-22": [best(7)]}


async def test_lists_are_made_when_they_are_entered_and_keep_their_bounds(database: Database) -> None:
    await seed(database, OTHER)
    await apply(database, change("junk", key="laps"), change(None, key="laps"))

    async def lists(reader: Reader) -> list[tuple[object, ...]]:
        rows = await reader.fetch("SELECT board, period, generation, starts_ms, ends_ms FROM lists ORDER BY period")
        return [tuple(row) for row in rows]

    assert await database.read(lists) == []
    await apply(database, change("7", key="laps"), change("8", key="laps", player=2))
    midnight = NOON_MS - DAY_MS // 2
    assert await database.read(lists) == [
        ("other", "all", 1, None, None),
        ("other", "day:2026-11-22", 1, midnight, midnight + DAY_MS),
    ]


# --- writers at once --------------------------------------------------------------------------------------------------


async def test_two_processes_that_write_one_players_values_lose_nothing(place: Place) -> None:
    """The two boards agree with the AppData row, whoever came last."""
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as other:
        await seed(one, BEST, LATEST)
        accepted: list[Change] = []

        async def write(database: Database, number: int) -> None:
            async def work(tx: Transaction) -> list[Change]:
                changes = await appdata.observe(
                    tx, 1, {"score": str(number)}, observed_ms=number, at_ms=number, origin=Origin.SUBMITTED
                )
                await apply_changes(tx, changes, NOON_MS)
                return changes

            accepted.extend(await database.write(work))

        numbers = [*range(40, 0, -3), *range(1, 41, 3), 100]
        await asyncio.gather(*(write(each, number) for number in numbers for each in (one, other)))
        assert await one.look(lambda reader: appdata.values_of(reader, 1)) == {"score": "100"}
        assert (await entries(one, "latest"))["all"] == [best(100, 100)]
        assert (await entries(one, "best"))["all"] == [best(100, 100)]
        assert {change.new for change in accepted} >= {"100"}


async def test_processes_that_first_enter_the_same_lists_make_them_once(place: Place) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as other:
        await seed(one, BEST, LATEST, OTHER)
        await asyncio.gather(
            *(
                apply(each, *(change(str(player), player=player, key=key) for key in keys))
                for player, (each, keys) in enumerate([(one, ["score", "laps"]), (other, ["laps", "score"])] * 8, 1)
            )
        )
        names = [ListName(board, "all", 1) for board in ("best", "latest", "other")]
        assert len(await one.read(lambda reader: store.find_lists(reader, names))) == 3
        for board in ("best", "latest", "other"):
            found = await entries(other, board)
            assert {len(positions) for positions in found.values()} == {16}


# --- how it is read ---------------------------------------------------------------------------------------------------


class Explaining:
    """A reader that keeps what SQLite says of its way to each answer."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.plans: list[tuple[str, list[str]]] = []

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        plan = await self._reader.fetch(f"EXPLAIN QUERY PLAN {sql}", *values)
        self.plans.append((sql, [row[3] for row in plan]))
        return await self._reader.fetch(sql, *values)

    async def fetch_one(self, sql: str, *values: object) -> Row | None:
        rows = await self.fetch(sql, *values)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, *values: object) -> object:
        row = await self.fetch_one(sql, *values)
        return None if row is None else row[0]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_sqlite_finds_entries_by_their_indexes(database: Database) -> None:
    await seed(database, BEST)
    await apply(database, *(change(str(player % 7), player=player) for player in range(1, 60)))
    middle = best(3, player=10)

    async def work(reader: Reader) -> Sequence[tuple[str, list[str]]]:
        explaining = Explaining(reader)
        await store._positions(explaining, [1, 2], [3, 4])
        await standings.among(explaining, 1, [3, 4])
        await standings.entry_of(explaining, 1, 3)
        await standings.total(explaining, 1)
        await standings.standing(explaining, 1, Ties.DENSE, middle)
        await standings.run_around(explaining, 1, Ties.DENSE, middle, 10)
        await standings.run_before(explaining, 1, Ties.ORDINAL, middle, 10)
        for ties in Ties:
            await standings.run_at_rank(explaining, 1, ties, 1_000, 10)
        await standings.search(explaining, 1, "a", 10)
        return explaining.plans

    for sql, plan in await database.read(work):
        for step in plan:
            assert "SCAN entries" not in step, (sql, plan)
            assert "SCAN e" not in step, (sql, plan)
            if "entries" in step or " e " in step:
                assert "(list=?" in step or "(player=? AND list=?)" in step, (sql, plan)
        if "ORDER BY" in sql and "players" not in sql:
            assert not any("TEMP B-TREE" in step for step in plan), (sql, plan)
