"""Importing scores: what counts, where and when; twice; beside what players do; on both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from homeserver.domain.score_files import BadLine, FileFormat
from homeserver.errors import BadInput, NotFound
from homeserver.model import Board, EntryPage, Keep, Origin, Person
from homeserver.services import board_import
from homeserver.services.board_admin import BoardAdmin
from homeserver.services.board_import import BoardImport, Import
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import appdata, people, rebuild
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Transaction
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import KEY, Container
from tests.rebuild_kit import SLOW, SMALL, Writers, check, remains
from tests.writing import observe_person

BOARD = Board("letters", "Letters", "letters")
HEAD = b"player,name,value,time\n"
DAY_MS = 86_400_000
MANY = 10**6


@pytest.fixture
def rebuilds(database: Database, clock: Clock) -> Rebuilds:
    return Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL)


@pytest.fixture
async def importer(database: Database, clock: Clock, rebuilds: Rebuilds) -> BoardImport:
    await database.write(lambda tx: store.seed(tx, [BOARD]))
    return BoardImport(database, rebuilds, "orkut", clock.now_ms)


@pytest.fixture
def leaderboards(database: Database, clock: Clock) -> Leaderboards:
    return Leaderboards(database, Container(clock), clock.now_ms, KEY)


async def load(importer: BoardImport, *lines: bytes, expected: int = 0, verified: bool = False, **more: Any) -> Import:
    return await importer.load(
        more.get("board", "letters"),
        [HEAD, *lines],
        FileFormat.CSV,
        verified=verified,
        expected=expected,
        progress=more.get("progress", lambda _: None),
        rebuilding=lambda *_: None,
    )


def shown(page: EntryPage) -> list[tuple[str, str, int]]:
    return [(entry.player.name, entry.score, entry.reached_ms - NOON_MS) for entry in page.entries]


async def observe(database: Database, player: int, value: str | None, at_ms: int, origin: Origin = Origin.READ) -> None:
    async def work(tx: Transaction) -> None:
        boards = await store.begin(tx)
        changes = await appdata.observe(tx, player, {"letters": value}, observed_ms=at_ms, at_ms=at_ms, origin=origin)
        await store.record(tx, boards, changes, at_ms)

    await database.write(work)


async def origins(database: Database) -> list[tuple[str, str]]:
    rows = await database.read(lambda db: db.fetch("SELECT new, origin FROM events ORDER BY event"))
    return [(new, origin) for new, origin in rows]


FILE = [
    b"u1,Ana,5,2026-11-22T11:00:00Z\n",
    b"u2,Bruno,7,2026-11-21T11:00:00Z\n",  # yesterday, a week and month that are still going on
    b"u1,,4,2026-11-22T11:30:00Z\n",
    b"u3,,6,\n",
    b"u1,Ana,9,2025-01-01T00:00:00Z\n",
]


@pytest.mark.parametrize("expected", [0, MANY], ids=["few", "many"])
async def test_each_score_counts_at_its_own_time(
    database: Database, importer: BoardImport, leaderboards: Leaderboards, expected: int
) -> None:
    assert await load(importer, *FILE, expected=expected) == Import(new=5)
    hour = 3_600_000
    year_before = 1_735_689_600_000 - NOON_MS
    of = {
        period: shown(await leaderboards.entries("letters", period=period, reader=None))
        for period in ["all", "month", "day", "day:2026-11-21", "month:2025-01"]
    }
    assert of == {
        "all": [("Ana", "9", year_before), ("Bruno", "7", -25 * hour), ("Player", "6", 0)],
        "month": [("Bruno", "7", -25 * hour), ("Ana", "5", -hour)],
        "day": [("Ana", "5", -hour)],
        "day:2026-11-21": [("Bruno", "7", -25 * hour)],
        "month:2025-01": [("Ana", "9", year_before)],
    }
    assert not await database.look(rebuild.due)


@pytest.mark.parametrize("expected", [0, MANY], ids=["few", "many"])
async def test_twice_is_once(
    database: Database, importer: BoardImport, leaderboards: Leaderboards, clock: Clock, expected: int
) -> None:
    await load(importer, *FILE, *FILE[:2], expected=expected)
    before = await leaderboards.entries("letters", reader=None)
    clock.advance(s=1)
    assert await load(importer, *FILE, expected=expected) == Import(known=5)
    after = await leaderboards.entries("letters", reader=None)
    assert shown(after) == shown(before)
    assert len(await origins(database)) == 5


async def test_bad_lines_are_listed_and_stop_nothing(database: Database, importer: BoardImport) -> None:
    told: list[int] = []
    result = await load(
        importer, FILE[0], b"u9,,x,\n", b",,1,\n", b"@me,,1,\n", FILE[1], progress=lambda each: told.append(each.bad)
    )
    assert (result.new, result.known, result.bad) == (2, 0, 3)
    assert result.bad_lines == [
        BadLine(3, "value: not a plain number, such as 12 or -3"),
        BadLine(4, "player: the container's user id is missing, or no text"),
        BadLine(5, "player: this is nobody's id in a container"),
    ]
    assert told[-1] == result.bad


async def test_no_more_bad_lines_are_kept_than_anybody_reads(
    importer: BoardImport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_import, "KEPT_BAD_LINES", 3)
    result = await load(importer, *[b"nonsense\n"] * 5)
    assert (result.bad, len(result.bad_lines)) == (5, 3)


async def test_an_import_may_be_vouched_for(database: Database, importer: BoardImport) -> None:
    result = await load(importer, *FILE[:4], verified=True)
    assert result == Import(new=3, bad=1, bad_lines=[BadLine(5, "time: a verified score needs one")])
    assert {origin for _, origin in await origins(database)} == {"verified"}
    assert (await load(importer, FILE[0])).new == 1  # somebody claims it too


async def test_what_the_container_says_is_not_touched(
    database: Database, importer: BoardImport, leaderboards: Leaderboards, clock: Clock
) -> None:
    """Names, values, and what the first read of somebody means."""

    async def known(tx: Transaction) -> int:
        player = await people.player_of(tx, "orkut", "u1")
        await observe_person(tx, player, Person("u1", given_name="Ana Maria"), 1)
        return player

    ana = await database.write(known)
    await observe(database, ana, "3", NOON_MS - 5)
    await load(importer, *FILE)
    assert (await database.read(lambda reader: appdata.values_of(reader, ana))) == {"letters": "3"}
    assert (await leaderboards.entries("letters", reader=None)).entries[0].player.name == "Ana Maria"
    bruno = await database.look(lambda reader: people.find_player(reader, "orkut", "u2"))
    assert bruno is not None
    await observe(database, bruno, None, NOON_MS)  # a sync finds no value there, which is nothing new
    assert [row[:2] for row in shown(await leaderboards.entries("letters", reader=None))][1] == ("Bruno", "7")
    await observe(database, bruno, "8", NOON_MS + 1)  # reached at any time: a baseline
    clock.advance(s=1)
    assert (await origins(database))[-1] == ("8", "baseline")
    day = shown(await leaderboards.entries("letters", period="day", reader=None))
    assert [name for name, *_ in day] == ["Ana Maria"]


async def test_a_score_without_a_time_does_not_make_the_first_read_a_later_one(
    database: Database, importer: BoardImport
) -> None:
    await load(importer, b"u1,,6,\n")
    player = await database.look(lambda reader: people.find_player(reader, "orkut", "u1"))
    assert player is not None
    await observe(database, player, "8", NOON_MS + 1)
    await observe(database, player, "9", NOON_MS + 2)
    assert await origins(database) == [("6", "baseline"), ("8", "baseline"), ("9", "read")]


async def test_the_latest_value_stays_the_latest(
    database: Database, importer: BoardImport, leaderboards: Leaderboards, rebuilds: Rebuilds
) -> None:
    """Whatever came before it in the file, and also after a rebuild."""
    await rebuilds.rebuild(replace(BOARD, keep=Keep.LATEST), revision=1, progress=lambda *_: None)
    player = await database.write(lambda tx: people.player_of(tx, "orkut", "u1"))
    await observe(database, player, "3", NOON_MS - 1_800_001, Origin.SUBMITTED)
    await load(importer, *FILE)
    for _ in range(2):
        page = await leaderboards.entries("letters", reader=player)
        assert ("Ana", "4", -1_800_000) in shown(page)
        await rebuilds.rebuild(replace(BOARD, keep=Keep.LATEST), revision=2, progress=lambda *_: None)


async def test_many_scores_come_in_while_players_write(
    database: Database, importer: BoardImport, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_import, "MANY_BATCH", 7)
    other = replace(BOARD, id="other", keep=Keep.LATEST)
    await database.write(lambda tx: store.seed(tx, [BOARD, other]))
    lines = [f"p{number},,{number * 7 % 50},{NOON_MS - DAY_MS * (number % 3)}\n".encode() for number in range(60)]
    players = await database.write(lambda tx: people.players_of(tx, "orkut", [f"p{number}" for number in range(12)]))
    writers = Writers(database, clock, [*players.values()], "letters")
    async with writers.busy():
        assert (await load(importer, *lines, expected=MANY)).new == 60
    assert writers.written
    assert await check(database, BOARD, least=-(10**9)) > 100
    assert await remains(database, BOARD.id) == 0
    (_, found) = await database.look(store.boards_in_force)
    assert found.generation == 2  # the other board of the field was rebuilt too


async def test_what_was_broken_off_is_made_good_by_the_next(
    database: Database, importer: BoardImport, leaderboards: Leaderboards, rebuilds: Rebuilds, clock: Clock
) -> None:
    class Killed(Exception):
        pass

    def kill(_: Import) -> None:
        raise Killed

    for repair in ("import", "rebuild"):
        lines = [line.replace(b"u", repair.encode()) for line in FILE]
        with pytest.raises(Killed):
            await load(importer, *lines, expected=MANY, progress=kill)
        assert await database.look(rebuild.due) == {"letters"}
        admin = BoardAdmin(database, rebuilds, clock.now_ms)
        assert [each.rebuild_due for each in await admin.listed([BOARD])] == [True]
        if repair == "import":
            assert (await load(importer, *lines)).known == 5
        else:
            await admin.rebuild("letters", lambda *_: None)
        assert not await database.look(rebuild.due)
    assert (await leaderboards.entries("letters", reader=None)).total == 6


async def test_few_scores_for_a_large_board_are_counted_as_they_come(
    database: Database, importer: BoardImport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild would fold all that is there."""
    monkeypatch.setattr(board_import, "MANY", 2)

    async def generation() -> int:
        (in_force,) = await database.look(store.boards_in_force)
        return in_force.generation

    await load(importer, *[f"p{number},,5,\n".encode() for number in range(20)], expected=20)
    assert await generation() == 2
    await load(importer, b"p1,,6,\n", b"p2,,6,\n", b"p3,,6,\n", expected=3)
    assert await generation() == 2
    await load(importer, *[f"p{number},,7,\n".encode() for number in range(4)], expected=4)
    assert await generation() == 3


async def test_a_board_that_is_not_there_and_a_file_without_columns(importer: BoardImport) -> None:
    with pytest.raises(NotFound):
        await load(importer, *FILE, board="nobody")
    with pytest.raises(BadInput):
        await importer.load(
            "letters",
            [b"a,b\n"],
            FileFormat.CSV,
            verified=False,
            expected=0,
            progress=lambda _: None,
            rebuilding=lambda *_: None,
        )


async def test_a_definition_that_changes_under_an_import_is_not_mixed_with_the_old_one(
    database: Database, importer: BoardImport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_import, "BATCH", 2)
    looked = database.look

    async def look(work: Any) -> Any:
        found = await looked(work)
        await database.write(lambda tx: rebuild.redefine(tx, replace(BOARD, minimum=5), 2))
        return found

    monkeypatch.setattr(database, "look", look)
    with pytest.raises(BadInput, match="changed meanwhile"):
        await load(importer, *FILE)
