"""Boards for their operator: what the settings would change, changing it, and lists as files; on both engines."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from homeserver.domain.score_files import FileFormat
from homeserver.errors import BadInput, Conflict, NotFound
from homeserver.model import Board, Format, Keep, Order, Span, Ties
from homeserver.services import board_admin
from homeserver.services.board_admin import Action, BoardAdmin, Listed, Step
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.rebuilds import Rebuilds, Rebuilt
from homeserver.storage import leaderboards as store
from homeserver.storage import leases, standings
from homeserver.storage.database import Database
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import KEY, Container, give, make_players
from tests.rebuild_kit import SLOW, SMALL, Writers, check, remains

LETTERS = Board("letters", "Letters", "letters", minimum=-5)
LAPS = Board("laps", "Laps", "laps", order=Order.LESS, decimals=1)


def quiet(*_: object) -> None:
    """Nobody watches."""


@pytest.fixture
def admin(database: Database, clock: Clock) -> BoardAdmin:
    return BoardAdmin(database, Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL), clock.now_ms)


async def seed(database: Database, *boards: Board) -> None:
    await database.write(lambda tx: store.seed(tx, boards))


async def in_force(database: Database) -> list[Board]:
    return [each.board for each in await database.look(store.boards_in_force)]


# --- definitions ------------------------------------------------------------------------------------------------------


async def test_the_first_boards_of_an_empty_database(database: Database, admin: BoardAdmin) -> None:
    plan = await admin.plan([LETTERS, LAPS])
    assert [(step.action, step.board) for step in plan.steps] == [(Action.ADD, LETTERS), (Action.ADD, LAPS)]
    assert await in_force(database) == []  # a plan changes nothing
    assert await admin.apply(plan, quiet, quiet) == (Rebuilt(0, 0, 0, 0),) * 2
    assert await in_force(database) == [LETTERS, LAPS]
    assert not await admin.plan([LETTERS, LAPS])


async def test_what_decides_order_is_rebuilt_and_what_is_shown_is_not(
    database: Database, admin: BoardAdmin, clock: Clock
) -> None:
    await seed(database, LETTERS, LAPS)
    players = await make_players(database, *(f"P{number}" for number in range(9)))
    writers = Writers(database, clock, players, "letters")
    for _ in range(20):
        await writers.write()
    shown = replace(LAPS, title="Rounds", format=Format.DURATION)
    other = replace(LETTERS, title="More", keep=Keep.LATEST, ties=Ties.DENSE, spans=(Span.ALL, Span.WEEK))
    plan = await admin.plan([other, shown])
    assert [(step.action, step.board.id) for step in plan.steps] == [
        (Action.REBUILD, "letters"),
        (Action.CHANGE, "laps"),
    ]
    assert plan.steps[1].words == (
        'title is "Laps", the settings say "Rounds"',
        'format is "integer", the settings say "duration"',
    )
    started: list[Step] = []
    (built,) = await admin.apply(plan, started.append, quiet)
    assert started == [*plan.steps]
    assert built.entries == await check(database, other, least=-5)
    letters, laps = await database.look(store.boards_in_force)
    assert (letters.board, letters.revision, letters.generation) == (other, 2, 2)
    assert (laps.board, laps.revision, laps.generation) == (shown, 2, 1)
    assert await remains(database, "letters") == 0


async def test_another_field_begins_with_what_is_known_of_it(
    database: Database, admin: BoardAdmin, clock: Clock
) -> None:
    await seed(database, LETTERS, LAPS)
    players = await make_players(database, *(f"P{number}" for number in range(9)))
    for key in ("letters", "laps"):
        writers = Writers(database, clock, players, key)
        for _ in range(8):
            await writers.write()
    moved = replace(LETTERS, field="laps")
    new = replace(LAPS, id="new", keep=Keep.LATEST)
    await admin.apply(await admin.plan([moved, LAPS, new]), quiet, quiet)
    assert await check(database, moved, least=-5) > 0
    assert await check_decimals(database, new) > 0
    assert await in_force(database) == [moved, LAPS, new]


async def check_decimals(database: Database, board: Board) -> int:
    """Its best entries against the player's last values."""
    rows = await database.read(
        lambda db: db.fetch(
            "SELECT e.player, e.key, a.value FROM lists AS l JOIN entries AS e ON e.list = l.list "
            "JOIN appdata AS a ON a.player = e.player AND a.key = $2 "
            "WHERE l.board = $1 AND l.period = 'all' AND l.generation > 0",
            board.id,
            board.field,
        )
    )
    assert all(key == int(value) * 10 for _, key, value in rows)
    return len(rows)


async def test_boards_change_places(database: Database, admin: BoardAdmin) -> None:
    await seed(database, LETTERS, LAPS)
    plan = await admin.plan([LAPS, LETTERS])
    assert (plan.steps, plan.moved) == ((), True)
    await admin.apply(plan, quiet, quiet)
    assert await in_force(database) == [LAPS, LETTERS]
    first = Board("first", "First", "first")
    plan = await admin.plan([first, LAPS, LETTERS])
    assert [step.action for step in plan.steps] == [Action.ADD]
    assert not plan.moved
    await admin.apply(plan, quiet, quiet)
    assert await in_force(database) == [first, LAPS, LETTERS]


async def test_a_board_that_is_dropped_leaves_nothing_to_its_namesake(
    database: Database, admin: BoardAdmin, clock: Clock
) -> None:
    await seed(database, LETTERS, LAPS)
    players = await make_players(database, "Ana", "Bruno")
    await give(database, dict(zip(players, ["5", "6"], strict=True)))
    plan = await admin.plan([LAPS])
    assert [(step.action, step.board) for step in plan.steps] == [(Action.DROP, LETTERS)]
    sweep = Rebuilds.sweep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rebuilds, "sweep", quiet_sweep)  # it was killed just then
        await admin.apply(plan, quiet, quiet)
    assert await in_force(database) == [LAPS]
    await seed(database, LETTERS)
    leaderboards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    assert (await leaderboards.entries("letters", reader=None)).total == 0
    await give(database, {players[0]: "7"})
    assert [entry.score for entry in (await leaderboards.entries("letters", reader=None)).entries] == ["7"]
    assert await remains(database, "letters") > 0
    await sweep(Rebuilds(database, clock.now_ms, pace=SLOW))
    assert await remains(database, "letters") == 0


async def quiet_sweep(self: Rebuilds) -> None:
    """Nothing is deleted."""


@pytest.mark.parametrize("wanted", [[replace(LETTERS, title="Mine")], [replace(LETTERS, keep=Keep.LATEST)], []])
async def test_who_comes_second_looks_again(database: Database, admin: BoardAdmin, wanted: list[Board]) -> None:
    await seed(database, LETTERS)
    plan = await admin.plan(wanted)
    yours = replace(LETTERS, title="Yours")
    await admin.apply(await admin.plan([yours]), quiet, quiet)
    with pytest.raises(Conflict, match="changed"):
        await admin.apply(plan, quiet, quiet)
    assert await in_force(database) == [yours]


async def test_a_board_is_not_dropped_while_it_is_rebuilt(database: Database, admin: BoardAdmin, clock: Clock) -> None:
    await seed(database, LETTERS)
    held = {"now_ms": clock.now_ms(), "until_ms": clock.now_ms() + 1}
    await database.write(lambda tx: leases.acquire(tx, "rebuild:letters", "another", **held))
    with pytest.raises(Conflict, match="is being rebuilt"):
        await admin.apply(await admin.plan([]), quiet, quiet)
    clock.advance(ms=1)
    await admin.apply(await admin.plan([]), quiet, quiet)
    assert await in_force(database) == []


async def test_the_list_of_boards(database: Database, admin: BoardAdmin) -> None:
    await seed(database, LETTERS, LAPS)
    (player,) = await make_players(database, "Ana")
    await give(database, {player: "5"})
    letters, laps = await database.look(store.boards_in_force)
    assert await admin.listed([replace(LETTERS, title="More")]) == (
        Listed(letters, 1, ('title is "Letters", the settings say "More"',), rebuild_due=False),
        Listed(laps, 0, ("not in the settings",), rebuild_due=False),
    )


async def test_one_board_is_rebuilt_by_its_name(database: Database, admin: BoardAdmin) -> None:
    await seed(database, LETTERS)
    await admin.rebuild("letters", quiet)
    with pytest.raises(NotFound):
        await admin.rebuild("nobody", quiet)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def shown(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seven players on the laps' board, of whom some are tied."""
    monkeypatch.setattr(board_admin, "EXPORT_PAGE", 2)
    await seed(database, LAPS)
    players = await make_players(database, "=Ana", "Bruno", "Zé", "D", "E", "F", "G")
    values = ["5", "-1.5", "7", "5", "5", "8", "9"]
    await give(database, dict(zip(players, values, strict=True)), key="laps")
    return players


async def exported(admin: BoardAdmin, form: FileFormat, period: str = "all") -> str:
    text = io.StringIO()
    entries = await admin.export("laps", period, form, lambda part: quiet(text.write(part)))
    assert len(text.getvalue().splitlines()) == entries + (form is FileFormat.CSV)
    return text.getvalue()


async def test_an_export_has_what_the_pages_show(
    database: Database, admin: BoardAdmin, clock: Clock, shown: list[int]
) -> None:
    leaderboards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    for period in ("all", "day"):
        page = await leaderboards.entries("laps", period=period, reader=None, limit=100)
        rows = [*csv.DictReader(io.StringIO(await exported(admin, FileFormat.CSV, period)))]
        assert [(int(row["rank"]), row["player"], row["score"]) for row in rows] == [
            (entry.rank, entry.player.id, entry.score) for entry in page.entries
        ]
        assert [row["name"] for row in rows] == ["Bruno", "'=Ana", "D", "E", "Zé", "F", "G"]
        assert rows[0] | {"player": ""} == {
            "rank": "1",
            "player": "",
            "name": "Bruno",
            "score": "-1.5",
            "reached": "2026-11-22T12:00:00.001Z",
        }
        lines = [json.loads(line) for line in (await exported(admin, FileFormat.NDJSON, period)).splitlines()]
        assert [(line["rank"], line["name"]) for line in lines[:3]] == [(1, "Bruno"), (2, "=Ana"), (2, "D")]
        assert [[*line] for line in lines] == [[*rows[0]]] * 7


async def test_an_empty_list_has_its_columns(database: Database, admin: BoardAdmin) -> None:
    await seed(database, LAPS)
    assert await exported(admin, FileFormat.CSV) == "rank,player,name,score,reached\n"
    assert await exported(admin, FileFormat.NDJSON, "week") == ""


async def test_an_export_of_nothing_is_refused(database: Database, admin: BoardAdmin) -> None:
    await seed(database, LAPS)
    with pytest.raises(BadInput):
        await admin.export("laps", "year", FileFormat.CSV, quiet)
    with pytest.raises(NotFound):
        await admin.export("nobody", "all", FileFormat.CSV, quiet)


async def test_an_export_is_of_one_moment(
    database: Database, admin: BoardAdmin, shown: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is written, or rebuilt, while it is being read."""
    before = await exported(admin, FileFormat.CSV)
    run_after = standings.run_after

    async def meanwhile(*rest: Any) -> standings.Run:
        found = await run_after(*rest)
        await give(database, {player: str(100 + player) for player in shown}, key="laps", at_ms=NOON_MS + 5)
        await give(database, dict.fromkeys(shown, None), key="laps", at_ms=NOON_MS + 9)
        await admin.rebuild("laps", quiet)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(standings, "run_after", meanwhile)
        assert await exported(admin, FileFormat.CSV) == before
    assert (await exported(admin, FileFormat.CSV)).count("\n") == 1
