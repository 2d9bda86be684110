"""Backups: one moment while others write, whole or not at all, and on either engine the same boards as before."""

from __future__ import annotations

import errno
import gzip
import resource
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest

from homeserver.errors import BackupBroken, BadSettings, Conflict
from homeserver.model import Action, Board, GadgetSession, Keep, Role, State, Ties
from homeserver.services import backups
from homeserver.services.backups import Backups, Restored
from homeserver.services.delisting import Delisting
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.operators import Operators
from homeserver.storage import backups as store
from homeserver.storage import erased, leases, people, sessions
from homeserver.storage import leaderboards as boards_store
from homeserver.storage import uploads as upload_rows
from homeserver.storage.backup_file import BackupWriter, Head, created
from homeserver.storage.backup_file import opened as opened_file
from homeserver.storage.database import Database, Reader, Transaction, is_open_elsewhere, is_sqlite, open_database
from homeserver.storage.migrate import migrate
from homeserver.storage.sessions import PageRow
from tests.clock import Clock
from tests.conftest import Place
from tests.leaderboards_kit import KEY, Container, befriend, make_players, ranks
from tests.moderation_kit import WHY, Scene
from tests.patience import until
from tests.rebuild_kit import Writers, check
from tests.uploads.test_rows import UPLOAD

BOARD = Board("letters", "Letters", "letters", minimum=-5)
DENSE = Board("dense", "Dense", "letters", ties=Ties.DENSE, keep=Keep.LATEST)
PASSWORD = "correct horse battery"


def quiet(done: int, total: int) -> None:
    assert 0 < done <= total


@dataclass(frozen=True, slots=True)
class Side:
    """A database, open, and what is done with it."""

    place: Place
    database: Database
    clock: Clock

    @property
    def _store(self) -> store.Backups:
        return store.Backups(sqlite=is_sqlite(self.place.url))

    def backups(self, at_once: int = store.AT_ONCE) -> Backups:
        return Backups(self.database, self.clock.now_ms, sqlite=is_sqlite(self.place.url), at_once=at_once)

    async def make(self, file: Path) -> Head:
        return await self.backups().make(file, quiet)

    async def restore(self, file: Path, *, replace: bool = False) -> Restored:
        return await self.backups().restore(file, quiet, replace=replace)

    async def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table that backups hold."""

        async def work(reader: Reader) -> dict[str, list[tuple[Any, ...]]]:
            return {
                table.name: sorted(
                    [tuple(row) async for rows in self._store.rows(reader, table) for row in rows], key=str
                )
                for table in await self._store.tables(reader)
                if table.name != "list_versions"  # they leap when a backup is restored
            }

        return await self.database.read(work)

    async def numbers(self) -> dict[str, int]:
        """The last number that each table has given out."""

        async def work(reader: Reader) -> dict[str, int]:
            return await self._store.numbers(reader, await self._store.tables(reader))

        return await self.database.read(work)

    async def versions(self) -> dict[int, int]:
        """By list."""

        async def work(reader: Reader) -> dict[int, int]:
            rows = await reader.fetch("SELECT list, CAST(sum(n) AS BIGINT) FROM list_versions GROUP BY list")
            return {row[0]: row[1] for row in rows}

        return await self.database.read(work)

    async def new_player(self) -> int:
        return await self.database.write(lambda tx: people.player_of(tx, "orkut", "new"))

    def board(self) -> Leaderboards:
        return Leaderboards(self.database, Container(self.clock), self.clock.now_ms, KEY)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Database]:
    async with open_database(place.url, place.schema) as database:
        yield database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def other_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Another migrated database, on each engine."""
    if request.param == "sqlite":
        path = tmp_path / "other.sqlite3"
        shutil.copyfile(request.getfixturevalue("migrated_file"), path)
        return Place(f"sqlite:///{path}", "public")
    url: str = request.getfixturevalue("postgres_url")
    schema = f"other_{request.getfixturevalue('postgres_schema')}"
    migrate(url, schema)
    return Place(url, schema)


@pytest.fixture
async def here(place: Place, clock: Clock) -> AsyncIterator[Side]:
    async with opened(place) as database:
        yield Side(place, database, clock)


@pytest.fixture
async def there(other_place: Place, clock: Clock) -> AsyncIterator[Side]:
    async with opened(other_place) as database:
        yield Side(other_place, database, clock)


@pytest.fixture
async def scene(here: Side) -> Scene:
    """Something in every kind of table: players and days, decisions, operators, uploads, and what lets somebody in."""
    database, clock = here.database, here.clock
    await here.board().seed([BOARD, DENSE])
    scene = Scene(database, clock, await make_players(database, "Ana", "Éva \u2028", "Carlos"))
    for day in range(3):
        for index, player in enumerate(scene.players):
            await scene.give(player, str(10 * day + 3 * index))
        clock.advance(days=1)
    ana, eva, carlos = scene.players
    await befriend(database, ana, [eva, carlos])
    await scene.moderation.hide(carlos, board_id="dense", **WHY)
    await Operators(database, clock.now_ms).add("maria", PASSWORD, Role.CONFIGURE)
    until_ms = clock.now_ms() + 3_600_000

    async def work(tx: Transaction) -> None:
        await sessions.add_gadget_session(tx, "token", GadgetSession(ana, ana, until_ms))
        await sessions.add_page_session(tx, PageRow("page", until_ms, ana, "marie", "Marie", "sealed"))
        await sessions.add_page_link(tx, "link", ana, until_ms)
        await leases.acquire(tx, "turn", "somebody", now_ms=clock.now_ms(), until_ms=until_ms)
        await upload_rows.add(tx, UPLOAD, "sealed too")
        await tx.execute("INSERT INTO counters (name, label, value) VALUES ('a', 'b', 1.1), ('a', 'c', 2)")

    await database.write(work)
    return scene


# --- there and back ---------------------------------------------------------------------------------------------------


async def test_everything_comes_back_on_either_engine(here: Side, there: Side, scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    made = await here.backups(at_once=2).make(file, quiet)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.made_ms == here.clock.now_ms()
    before = await here.dump()
    assert made.rows > sum(map(len, before.values())) > 50
    assert {name for name, rows in before.items() if rows} >= {"players", "events", "entries", "blocks", "scores"}
    done = await there.restore(file)
    assert (done.erased, done.marks_lost) == (0, False)
    assert await there.dump() == before
    assert await there.numbers() == await here.numbers()
    assert await check(there.database, BOARD, least=-5) > 10
    board = there.board()
    assert ranks(await board.entries("letters", reader=scene.players[0])) == ["1", "2", "3"]
    assert await there.new_player() > max(scene.players)


async def test_nothing_in_it_lets_anybody_in(here: Side, there: Side, scene: Scene, tmp_path: Path) -> None:
    """No session, link or token, neither in the file nor in what is restored; accounts and their passwords are."""
    file = tmp_path / "backup"
    await here.make(file)
    content = gzip.decompress(file.read_bytes())
    assert b"sealed" not in content.replace(b'"sealed_token"', b"")
    await there.restore(file)
    for table in ("gadget_sessions", "leases", "operator_sessions", "page_links", "page_sessions", "sign_in_tickets"):
        assert table in store.LEFT_OUT
        assert await there.database.read(lambda reader, at=table: reader.fetch(f"SELECT * FROM {at}")) == []  # type: ignore[misc]
    assert await there.database.read(lambda reader: upload_rows.sealed_token(reader, UPLOAD.id)) is None
    assert await Operators(there.database, there.clock.now_ms).sign_in("maria", PASSWORD, "127.0.0.1")


async def test_a_backup_is_one_moment_while_players_write(here: Side, there: Side, tmp_path: Path) -> None:
    """Hundreds of reads with writers in between: in it the boards are just what its events come to."""
    await here.database.write(lambda tx: boards_store.seed(tx, [BOARD]))
    players = await make_players(here.database, *"abcdefghijklmnopqrstuvwxyz")
    writers = Writers(here.database, here.clock, players, BOARD.field)
    for _ in range(60):
        await writers.write()
    reads = 0

    def count(done: int, total: int) -> None:
        nonlocal reads
        reads += 1

    async def backup() -> tuple[Path, int]:
        """One, and how much was written meanwhile."""
        before, file = writers.written, tmp_path / f"backup at {reads}"
        await here.backups(at_once=1).make(file, count)
        return file, writers.written - before

    async with writers.busy():
        file, _ = await until(backup, lambda made: made[1] > 5)
    assert reads > 100
    await there.restore(file)
    assert await check(there.database, BOARD, least=-5) > 20


async def test_a_backup_that_is_restored_and_made_again_is_the_same(
    here: Side, there: Side, scene: Scene, tmp_path: Path
) -> None:
    await here.make(tmp_path / "first")
    await there.restore(tmp_path / "first")
    await there.make(tmp_path / "second")
    first, second = (backups.check(tmp_path / name, quiet) for name in ("first", "second"))
    assert first.numbers == second.numbers
    contents = [[each for each in head.tables if each.name != "list_versions"] for head in (first, second)]
    assert contents[0] == contents[1]


# --- what is in the way -----------------------------------------------------------------------------------------------


async def test_a_database_in_which_something_is_stays_without_a_word(here: Side, scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    await here.make(file)
    await scene.give(scene.players[0], "99")
    later = await here.dump()
    with pytest.raises(Conflict, match="--replace"):
        await here.restore(file)
    assert await here.dump() == later
    await here.restore(file, replace=True)
    assert await here.dump() != later
    await check(here.database, BOARD, least=-5)


async def test_numbers_that_were_given_out_since_are_not_given_again(here: Side, scene: Scene, tmp_path: Path) -> None:
    await here.make(tmp_path / "backup")
    since = await here.new_player()
    await here.restore(tmp_path / "backup", replace=True)
    assert await here.database.read(lambda reader: people.find_player(reader, "orkut", "new")) is None
    assert await here.new_player() > since


async def test_no_list_has_a_version_again_that_it_had(here: Side, scene: Scene, tmp_path: Path) -> None:
    """A browser that has kept a page of what was since, under its version, would show that instead of what is."""
    await here.make(tmp_path / "backup")
    await scene.give(scene.players[0], "99")
    before = await here.versions()
    await here.restore(tmp_path / "backup", replace=True)
    after = await here.versions()
    assert before
    assert all(after[list_] > version for list_, version in before.items() if list_ in after)
    lists = await here.database.read(lambda reader: reader.fetch("SELECT list FROM lists"))
    assert after.keys() == {row[0] for row in lists}


async def test_a_backup_of_another_revision_or_other_tables_is_refused(
    here: Side, scene: Scene, tmp_path: Path
) -> None:
    await here.make(tmp_path / "backup")
    before = await here.dump()
    lines = gzip.decompress((tmp_path / "backup").read_bytes()).split(b"\n")
    for change, words in (
        ({"revision": "0000"}, "tables of revision 0000, and this version .* of 0001"),
        ({"tables": []}, "other tables"),
        ({"homeserver_backup": 2}, "newer version"),
    ):
        head = orjson.dumps(orjson.loads(lines[0]) | change)
        (tmp_path / "other").write_bytes(gzip.compress(b"\n".join([head, *lines[1:]])))
        with pytest.raises(BackupBroken, match=words):
            await here.restore(tmp_path / "other", replace=True)
    assert await here.dump() == before


async def test_a_backup_with_blocks_that_miscount_is_not_restored(here: Side, scene: Scene, tmp_path: Path) -> None:
    """As whoever edits one with all checksums right would make it."""
    await here.database.write(lambda tx: tx.execute("UPDATE blocks SET n = n + 1"))
    await here.make(tmp_path / "backup")
    with pytest.raises(BackupBroken, match="do not count"):
        await here.restore(tmp_path / "backup", replace=True)


async def test_whatever_is_cut_or_changed_is_noticed_and_changes_nothing(
    here: Side, scene: Scene, tmp_path: Path
) -> None:
    await here.make(tmp_path / "backup")
    before = await here.dump()
    packed = (tmp_path / "backup").read_bytes()
    plain = gzip.decompress(packed)
    broken = [packed[:-9], packed[: len(packed) // 2], b"", b"PK\x03\x04"]
    broken.append(packed[:30] + bytes([packed[30] ^ 0xFF]) + packed[31:])  # whatever it was: it may have been any
    lines = plain.splitlines(keepends=True)
    broken += [gzip.compress(b"".join(lines[:-1])), gzip.compress(plain + b"{}\n"), gzip.compress(b"".join(lines[:3]))]
    broken += [gzip.compress(plain.replace(b'"Carlos"', b'"Carlas"')), gzip.compress(b"[]\n"), gzip.compress(b"x\n")]
    broken.append(gzip.compress(b"".join([lines[0], b"[1]\n", *lines[2:]])))
    for odd in (
        {"numbers": ["odd"]},
        {"numbers": {"players": "many"}},
        {"tables": [{"name": "n", "columns": [], "rows": {}}]},
    ):
        broken.append(gzip.compress(b"".join([orjson.dumps(orjson.loads(lines[0]) | odd), b"\n", *lines[1:]])))
    for content in broken:
        (tmp_path / "broken").write_bytes(content)
        with pytest.raises(BackupBroken):
            backups.check(tmp_path / "broken", quiet)
        with pytest.raises(BackupBroken):
            await here.restore(tmp_path / "broken", replace=True)
    assert await here.dump() == before
    assert backups.check(tmp_path / "backup", quiet).rows > sum(map(len, before.values()))


async def test_a_backup_replaces_no_file_and_leaves_none_behind_that_is_not_whole(
    here: Side, scene: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "there").write_text("mine")
    with pytest.raises(BadSettings, match="is there already"):
        await here.make(folder / "there")
    with pytest.raises(BadSettings, match="cannot be written"):
        await here.make(folder / "nowhere" / "backup")

    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
        with pytest.raises(BadSettings, match="File too large"):
            await here.make(folder / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert [path.name for path in folder.iterdir()] == ["there"]
    assert (folder / "there").read_text() == "mine"


async def test_a_file_that_fails_is_told_from_a_database_that_fails(tmp_path: Path) -> None:
    """While a backup is restored, both may: a connection that is reset says nothing of the file."""
    with pytest.raises(BadSettings, match="no_file cannot be read: No such file"), opened_file(tmp_path / "no_file"):
        pass
    with pytest.raises(BadSettings, match="/proc/self/mem cannot be read"), opened_file(Path("/proc/self/mem")):
        pass
    head = Head("0001", 0, (), {})
    with created(tmp_path / "backup") as file:
        BackupWriter(file, head).finish()
    with pytest.raises(ConnectionResetError), opened_file(tmp_path / "backup"):
        raise ConnectionResetError
    with Filling("", "wb", 1, BytesIO()) as file:
        writer = BackupWriter(file, head)
        file.full = True
        with pytest.raises(BadSettings, match="cannot be written: No space left"):
            writer.finish()


class Filling(gzip.GzipFile):
    """A file on a disk that may be full."""

    full = False

    def write(self, data: Any) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


# --- people who were erased since -------------------------------------------------------------------------------------


async def test_who_was_erased_since_is_erased_again(here: Side, scene: Scene, tmp_path: Path) -> None:
    """With the mark of who was erased before, and has not come back since."""
    ana, eva, carlos = scene.players
    await scene.moderation.erase(carlos, actor="maria", reason="asked")
    await here.make(tmp_path / "backup")
    await scene.moderation.erase(eva, actor="maria", reason="asked, too")
    done = await here.restore(tmp_path / "backup", replace=True)
    assert done.erased == 1
    board = here.board()
    page = await board.entries("letters", reader=ana)
    assert [entry.player.name for entry in page.entries] == ["Ana"]
    assert await here.database.read(lambda reader: erased.among(reader, "orkut", ["00", "01", "02"])) == {"01", "02"}
    content = str(await here.dump())
    assert "Éva" not in content
    assert "Carlos" not in content
    assert (await scene.moderation.log())[0].action is Action.ERASE
    assert await here.database.read(store.wrong_lists) == []


async def test_the_marks_of_another_database_are_said_to_be_lost(
    here: Side, there: Side, scene: Scene, tmp_path: Path
) -> None:
    await here.make(tmp_path / "backup")
    await there.database.write(lambda tx: erased.mark(tx, "orkut", "00"))
    done = await there.restore(tmp_path / "backup", replace=True)
    assert (done.erased, done.marks_lost) == (0, True)


# --- people who hide themselves ---------------------------------------------------------------------------------------


async def test_who_has_hidden_themselves_since_is_hidden_again(here: Side, scene: Scene, tmp_path: Path) -> None:
    """Who has not, or shows themselves again since, is as the backup has them; the erased have nothing to hide."""
    ana, eva, carlos = scene.players
    delisting = Delisting(here.database, here.clock.now_ms)
    await delisting.decide(carlos, hidden=True, actor="-", reason="-")
    await here.make(tmp_path / "backup")
    await delisting.decide(carlos, hidden=False, actor="-", reason="-")
    await delisting.decide(eva, hidden=True, actor="-", reason="-")
    since_ms = await here.database.read(lambda reader: people.withdrawn_ms(reader, eva))
    new = await here.new_player()
    await delisting.decide(new, hidden=True, actor="-", reason="-")
    here.clock.advance(days=1)
    done = await here.restore(tmp_path / "backup", replace=True)
    assert done.hidden == 1
    page = await here.board().entries("letters", reader=ana)
    assert [entry.player.name for entry in page.entries] == ["Ana"]
    own = await here.board().place("letters", player=eva, own=True)
    assert (own.rank, own.state) == (1, State.WITHDRAWN)
    assert await here.database.read(lambda reader: people.withdrawn_ms(reader, eva)) == since_ms
    assert [(act.action, act.actor) for act in (await scene.moderation.log())[:1]] == [(Action.WITHDRAW, "restore")]
    assert await here.database.read(store.wrong_lists) == []
    await delisting.decide(eva, hidden=False, actor="-", reason="-")
    page = await here.board().entries("letters", reader=ana)
    assert [entry.player.name for entry in page.entries] == ["Éva", "Ana"]


# --- whether a server runs --------------------------------------------------------------------------------------------


async def test_whoever_has_the_database_open_is_noticed(place: Place) -> None:
    assert not await is_open_elsewhere(place.url, place.schema)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(opened(place))
        assert await is_open_elsewhere(place.url, place.schema)
    assert not await is_open_elsewhere(place.url, place.schema)


async def test_whoever_has_another_schema_open_is_not_in_the_way(postgres_url: str, shared_schema: str) -> None:
    async with open_database(postgres_url, shared_schema):
        assert await is_open_elsewhere(postgres_url, shared_schema)
        assert not await is_open_elsewhere(postgres_url, f"{shared_schema}_not")
