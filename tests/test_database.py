"""What a database is, whichever engine it runs on: the contract of `storage/database.py`, and of the migrations."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from homeserver.errors import BadSettings, OutdatedSchema
from homeserver.paths import MIGRATIONS
from homeserver.storage.database import SCHEMA_REVISION, Database, Reader, Row, Transaction, open_database, ping
from homeserver.storage.migrate import migrate
from tests.conftest import Place
from tests.patience import PATIENCE_S

Run = Callable[[Database, Callable[[Reader], Awaitable[object]]], Awaitable[object]]

READS: dict[str, Run] = {
    "read": lambda database, work: database.read(work),
    "look": lambda database, work: database.look(work),
    "write": lambda database, work: database.write(work),
}
only_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize(
    "database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


async def put(tx: Transaction, name: str, value: str) -> None:
    await tx.execute("INSERT INTO meta (name, value) VALUES ($1, $2)", name, value)


async def value(database: Database, name: str) -> object:
    return await database.look(lambda reader: reader.fetch_value("SELECT value FROM meta WHERE name = $1", name))


# --- reading and writing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", READS.values(), ids=READS.keys())
async def test_rows_come_in_the_order_of_the_columns(database: Database, run: Run) -> None:
    await database.write(lambda tx: put(tx, "a", "1"))
    await database.write(lambda tx: put(tx, "b", "2"))

    async def work(reader: Reader) -> object:
        sql = "SELECT value, name FROM meta WHERE name IN ('a', 'b') ORDER BY name"
        rows: list[Row] = await reader.fetch(sql)
        first = await reader.fetch_one(sql)
        assert first is not None
        nothing = "SELECT value FROM meta WHERE name = 'c'"
        return (
            [tuple(row) for row in rows],
            tuple(first),
            await reader.fetch_value(sql),
            await reader.fetch(nothing),
            await reader.fetch_one(nothing),
            await reader.fetch_value(nothing),
        )

    assert await run(database, work) == ([("1", "a"), ("2", "b")], ("1", "a"), "1", [], None, None)


@pytest.mark.parametrize("run", READS.values(), ids=READS.keys())
async def test_placeholders_are_numbered_not_counted(database: Database, run: Run) -> None:
    """SQLite alone would take `$2` for a name, and bind by first appearance."""

    order = (10, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    sql = "SELECT " + " || ".join(f"CAST(${number} AS TEXT)" for number in order)
    assert await run(database, lambda reader: reader.fetch_value(sql, *"abcdefghij")) == "jbabcdefghi"


@pytest.mark.parametrize("run", READS.values(), ids=READS.keys())
async def test_lists_travel_as_one_value(database: Database, run: Run) -> None:
    texts = ["07365476160138082838", "", "é 🎈", 'a"b', "a'b", "{x,y}", "null", "NULL", "1e3"]
    numbers = [3, -(1 << 63), (1 << 63) - 1, 3, 0]

    async def work(reader: Reader) -> object:
        return (
            sorted(row[0] for row in await reader.fetch("SELECT t.value FROM each_text($1) AS t", texts)),
            sorted(row[0] for row in await reader.fetch("SELECT n.value FROM each_bigint($1) AS n", numbers)),
            await reader.fetch("SELECT n.value FROM each_bigint($1) AS n", []),
            await reader.fetch_value(
                "SELECT COUNT(*) FROM each_text($2) AS t WHERE t.value IN (SELECT u.value FROM each_text($1) AS u)",
                texts,
                ["1e3", "1000"],
            ),
        )

    assert await run(database, work) == (sorted(texts), sorted(numbers), [], 1)


async def test_execute_says_how_many_rows_it_changed(database: Database) -> None:
    async def work(tx: Transaction) -> list[int]:
        await tx.execute_many("INSERT INTO meta (name, value) VALUES ($1, $2)", [("a", "1"), ("b", "1"), ("c", "2")])
        await tx.execute_many("INSERT INTO meta (name, value) VALUES ($1, $2)", [])
        keep = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
        return [
            await tx.execute("UPDATE meta SET value = $1 WHERE value = $2", "3", "1"),
            await tx.execute(keep, "a", "4"),
            await tx.execute(keep, "d", "4"),
            await tx.execute("DELETE FROM meta WHERE name = $1", "nobody"),
            await tx.execute("DELETE FROM meta WHERE name IN ('a', 'b', 'c')"),
        ]

    assert await database.write(work) == [2, 0, 1, 0, 3]


@pytest.mark.parametrize("name", ["read", "look"])
async def test_a_reader_cannot_write(database: Database, name: str) -> None:
    async def work(reader: Reader) -> object:
        return await reader.fetch("INSERT INTO meta (name, value) VALUES ('a', '1') RETURNING name")

    with pytest.raises((sqlite3.OperationalError, asyncpg.ReadOnlySQLTransactionError)):
        await READS[name](database, work)
    assert await value(database, "a") is None
    await database.write(lambda tx: put(tx, "a", "2"))
    assert await value(database, "a") == "2"


async def test_a_reader_sees_one_moment(place: Place) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as two:
        await one.write(lambda tx: put(tx, "a", "1"))
        begun, changed = asyncio.Event(), asyncio.Event()

        async def work(reader: Reader) -> tuple[object, object]:
            before = await reader.fetch_value("SELECT value FROM meta WHERE name = 'a'")
            begun.set()
            await changed.wait()
            return before, await reader.fetch_value("SELECT value FROM meta WHERE name = 'a'")

        reading = asyncio.create_task(two.read(work))
        await begun.wait()
        await one.write(lambda tx: tx.execute("UPDATE meta SET value = '2' WHERE name = 'a'"))
        changed.set()
        assert await reading == ("1", "1")
        assert await value(two, "a") == "2"


# --- transactions -----------------------------------------------------------------------------------------------------


class OnPurposeError(Exception):
    """Raised inside a transaction."""


async def test_work_that_raises_leaves_no_trace(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await put(tx, "a", "1")
        raise OnPurposeError

    with pytest.raises(OnPurposeError):
        await database.write(work)
    assert await value(database, "a") is None


async def test_one_failure_in_a_batch_undoes_only_itself(database: Database) -> None:
    """On SQLite all of these wait together and share a commit."""

    def work(n: int) -> Callable[[Transaction], Awaitable[int]]:
        async def numbered(tx: Transaction) -> int:
            await put(tx, f"job {n}", str(n))
            if n % 3 == 0:
                raise OnPurposeError
            if n % 7 == 0:
                await tx.execute("INSERT INTO meta (name, value) VALUES ($1, NULL)", f"null {n}")
            return n

        return numbered

    results = await asyncio.gather(*(database.write(work(n)) for n in range(1, 41)), return_exceptions=True)
    kept = [n for n in range(1, 41) if n % 3 and n % 7]
    assert [result for result in results if isinstance(result, int)] == kept
    assert sum(isinstance(result, OnPurposeError) for result in results) == 13
    rows = await database.read(lambda reader: reader.fetch("SELECT value FROM meta WHERE name LIKE 'job %'"))
    assert sorted(int(row[0]) for row in rows) == kept


async def test_a_write_whose_caller_went_away_harms_nobody(database: Database) -> None:
    waiting = [asyncio.create_task(database.write(lambda tx, n=n: put(tx, f"job {n}", "1"))) for n in range(20)]  # type: ignore[misc]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    await asyncio.wait(waiting)
    for n in range(1, 20, 2):
        assert await value(database, f"job {n}") == "1"


async def test_a_read_whose_caller_went_away_harms_nobody(database: Database) -> None:
    """Cancelled after each number of steps of the event loop that a read may take."""
    for steps in range(30):
        reading = asyncio.create_task(database.read(ping))
        for _ in range(steps):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})
    for _ in range(10):
        await database.read(ping)


async def test_what_was_acknowledged_is_there_for_another_process(place: Place) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as two:
        for n in range(5):
            await one.write(lambda tx, n=n: put(tx, f"a {n}", "1"))  # type: ignore[misc]
            assert await value(two, f"a {n}") == "1"
            await two.write(lambda tx, n=n: put(tx, f"b {n}", "2"))  # type: ignore[misc]
            assert await value(one, f"b {n}") == "2"


async def test_writes_of_two_processes_at_the_same_time_lose_nothing(place: Place) -> None:
    """Each reads and writes back: what one process does between must not be overwritten."""

    async def count(tx: Transaction) -> None:
        await tx.lock("counter")
        found = await tx.fetch_value("SELECT value FROM meta WHERE name = 'counter'")
        await tx.execute("UPDATE meta SET value = $1 WHERE name = 'counter'", str(int(found) + 1))

    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as two:
        await one.write(lambda tx: put(tx, "counter", "0"))
        await asyncio.gather(*((one if n % 2 else two).write(count) for n in range(40)))
        assert await value(one, "counter") == "40"


async def test_a_race_that_was_lost_is_run_again(database: Database) -> None:
    """Two that find a name free and take it: the second finds it taken, and counts on."""

    async def take(tx: Transaction) -> int:
        taken = await tx.fetch_value("SELECT COUNT(*) FROM meta WHERE name LIKE 'seat %'")
        await put(tx, f"seat {taken}", "taken")
        return int(taken)

    assert sorted(await asyncio.gather(*(database.write(take) for _ in range(5)))) == [0, 1, 2, 3, 4]


# --- work awaits nothing else -----------------------------------------------------------------------------------------


@only_sqlite
@pytest.mark.parametrize("name", ["look", "write"])
async def test_work_that_awaits_something_else_is_refused_at_once(database: Database, name: str) -> None:
    async def work(reader: Reader) -> object:
        await reader.fetch_value("SELECT COUNT(*) FROM meta")
        await asyncio.sleep(0)
        return None

    with pytest.raises(RuntimeError, match="await nothing but"):
        await READS[name](database, work)
    await database.write(lambda tx: put(tx, "a", "1"))
    assert await value(database, "a") == "1"


@only_sqlite
async def test_work_that_awaits_something_else_leaves_no_trace(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await put(tx, "a", "1")
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError):
        await database.write(work)
    assert await value(database, "a") is None


@only_sqlite
async def test_waiting_writes_share_a_commit(place: Place) -> None:
    """Whatever waits while a commit runs is in the next one: far fewer commits than writes."""
    async with open_database(place.url, place.schema) as database:
        before = changes_seen(place)
        await asyncio.gather(*(database.write(lambda tx, n=n: put(tx, f"job {n}", "1")) for n in range(200)))  # type: ignore[misc]
        frames = changes_seen(place) - before
    assert frames < 100


def changes_seen(place: Place) -> int:
    """Bytes of the write-ahead log, in pages: each commit writes at least one."""
    return Path(place.url.removeprefix("sqlite:///") + "-wal").stat().st_size // 4096


# --- locks and schemas ------------------------------------------------------------------------------------------------


@only_postgres
async def test_a_lock_lets_one_in_at_a_time(place: Place) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as two:
        inside: list[str] = []
        entered, leave = asyncio.Event(), asyncio.Event()

        async def first(tx: Transaction) -> None:
            await tx.lock("b", "a")
            inside.append("first in")
            entered.set()
            await leave.wait()
            inside.append("first out")

        async def second(tx: Transaction) -> None:
            await tx.lock("a")
            inside.append("second in")

        async def third(tx: Transaction) -> None:
            await tx.lock("c")
            inside.append("third in")

        running = asyncio.create_task(one.write(first))
        await entered.wait()
        waiting = asyncio.create_task(two.write(second))
        async with asyncio.timeout(PATIENCE_S):
            await two.write(third)
        assert inside == ["first in", "third in"]
        leave.set()
        await asyncio.gather(running, waiting)
        assert inside == ["first in", "third in", "first out", "second in"]


@only_postgres
async def test_locks_taken_in_any_order_do_not_deadlock(database: Database) -> None:
    async def work(tx: Transaction, names: str) -> None:
        await tx.lock(*names)
        await tx.fetch_value("SELECT pg_sleep(0.001)")

    await asyncio.gather(*(database.write(lambda tx, n=n: work(tx, n)) for n in ["abcd", "dcba", "bdac"] * 5))  # type: ignore[misc]


@pytest.mark.postgres
async def test_two_schemas_in_one_postgresql_do_not_meet(postgres_url: str, postgres_schema: str) -> None:
    """Rows, version tables and locks: all of it is per schema, also where the names are the same."""
    schemas = (f"{postgres_schema}_one", f"{postgres_schema}_two")
    for schema in schemas:
        await asyncio.to_thread(migrate, postgres_url, schema)
    async with open_database(postgres_url, schemas[0]) as one, open_database(postgres_url, schemas[1]) as two:
        await one.write(lambda tx: put(tx, "a", "1"))
        assert await value(two, "a") is None
        entered, leave = asyncio.Event(), asyncio.Event()

        async def holds(tx: Transaction) -> None:
            await tx.lock("same name")
            entered.set()
            await leave.wait()

        async def other(tx: Transaction) -> None:
            await tx.lock("same name")
            await put(tx, "a", "2")

        running = asyncio.create_task(one.write(holds))
        await entered.wait()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await two.write(other)
        finally:
            leave.set()
            await running
        assert (await value(one, "a"), await value(two, "a")) == ("1", "2")
    connection = await asyncpg.connect(postgres_url)
    rows = await connection.fetch(
        "SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version' AND schemaname = ANY($1)", list(schemas)
    )
    assert sorted(row[0] for row in rows) == sorted(schemas)
    await connection.execute(f"DROP SCHEMA {schemas[0]} CASCADE")
    await connection.close()
    with pytest.raises(OutdatedSchema):
        async with open_database(postgres_url, schemas[0]):
            pass
    async with open_database(postgres_url, schemas[1]) as two:
        assert await value(two, "a") == "2"


# --- opening ----------------------------------------------------------------------------------------------------------


async def behind_its_back(place: Place, statement: str) -> None:
    """Run a statement that the server does not know of."""
    if place.url.startswith("sqlite:"):
        connection = sqlite3.connect(place.url.removeprefix("sqlite:///"))
        connection.execute(statement)
        connection.commit()
        connection.close()
        return
    pg = await asyncpg.connect(place.url, server_settings={"search_path": place.schema})
    await pg.execute(statement)
    await pg.close()


async def test_a_database_without_tables_is_refused_with_the_command(empty_place: Place) -> None:
    with pytest.raises(OutdatedSchema, match="homeserver migrate"):
        async with open_database(empty_place.url, empty_place.schema):
            pass


@only_sqlite
async def test_a_refused_file_is_not_made(empty_place: Place) -> None:
    with pytest.raises(OutdatedSchema):
        async with open_database(empty_place.url):
            pass
    assert not await asyncio.to_thread(Path(empty_place.url.removeprefix("sqlite:///")).exists)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE alembic_version SET version_num = '0000'", "0000.*homeserver migrate"),
        ("UPDATE alembic_version SET version_num = '9999'", "9999.*newer"),
        ("DELETE FROM alembic_version", "homeserver migrate"),
    ],
)
async def test_another_schema_than_ours_is_refused_in_words(place: Place, statement: str, words: str) -> None:
    await behind_its_back(place, statement)
    with pytest.raises(OutdatedSchema, match=words):
        async with open_database(place.url, place.schema):
            pass


async def opened(url: str) -> None:
    async with open_database(url):
        pass


async def migrated(url: str) -> None:
    await asyncio.to_thread(migrate, url)


@pytest.mark.parametrize("reach", [opened, migrated])
@pytest.mark.parametrize("url", ["mysql://root:hunter2@localhost/x", "hunter2", ""])
async def test_another_database_is_refused_without_repeating_its_password(
    url: str, reach: Callable[[str], Awaitable[None]]
) -> None:
    with pytest.raises(BadSettings) as refused:
        await reach(url)
    if "://" in url:
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("reach", [opened, migrated])
@pytest.mark.parametrize("url", ["postgresql://me:hunter2@/x?host={folder}", "postgresql://me:hunter2/#@localhost/x"])
async def test_a_postgresql_that_is_not_there_is_refused_without_repeating_its_password(
    url: str, reach: Callable[[str], Awaitable[None]], tmp_path: Path
) -> None:
    """Neither one that does not answer, nor one whose address cannot be read because of what is in its password."""
    with pytest.raises(BadSettings, match="cannot connect to PostgreSQL") as refused:
        await reach(url.format(folder=tmp_path))
    assert "hunter2" not in str(refused.value)


async def test_a_file_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadSettings, match="cannot open"):
        await migrated(f"sqlite:///{tmp_path / 'file' / 'homeserver.db'}")


# --- migrations -------------------------------------------------------------------------------------------------------


def test_the_code_knows_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_REVISION


async def test_a_migrated_database_is_empty_but_for_its_own_erasure_key(place: Place) -> None:
    async with open_database(place.url, place.schema) as database:
        rows = await database.read(lambda reader: reader.fetch("SELECT name, value FROM meta"))
    assert [row[0] for row in rows] == ["erasure_key"]
    assert len(bytes.fromhex(rows[0][1])) == 32


async def test_migrating_again_changes_nothing(place: Place) -> None:
    async with open_database(place.url, place.schema) as database:
        key = await value(database, "erasure_key")
        await database.write(lambda tx: put(tx, "a", "1"))
    await asyncio.to_thread(migrate, place.url, place.schema)
    async with open_database(place.url, place.schema) as database:
        assert (await value(database, "erasure_key"), await value(database, "a")) == (key, "1")


async def test_a_migration_that_breaks_leaves_nothing_behind(empty_place: Place) -> None:
    """Here it breaks at its last table, which is there already."""
    if empty_place.schema != "public":
        await behind_its_back(empty_place, f"CREATE SCHEMA {empty_place.schema}")
    await behind_its_back(empty_place, "CREATE TABLE uploads (upload TEXT)")
    with pytest.raises(DBAPIError):
        await asyncio.to_thread(migrate, empty_place.url, empty_place.schema)
    await behind_its_back(empty_place, "DROP TABLE uploads")
    await asyncio.to_thread(migrate, empty_place.url, empty_place.schema)
    async with open_database(empty_place.url, empty_place.schema) as database:
        assert await value(database, "erasure_key") is not None


async def test_two_that_migrate_at_once_do_it_once(empty_place: Place) -> None:
    await asyncio.gather(
        *(asyncio.to_thread(migrate_in_a_process, empty_place.url, empty_place.schema) for _ in range(2))
    )
    async with open_database(empty_place.url, empty_place.schema) as database:
        assert await value(database, "erasure_key") is not None


def migrate_in_a_process(url: str, schema: str) -> None:
    """As `homeserver migrate` does. (Alembic itself is not made for two threads.)"""
    code = "import sys; from homeserver.storage.migrate import migrate; migrate(sys.argv[1], sys.argv[2])"
    done = subprocess.run([sys.executable, "-c", code, url, schema], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@only_sqlite
def test_migrating_waits_for_another_process_that_is_writing(tmp_path: Path, database_kind: str) -> None:
    file = tmp_path / "homeserver.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other, ThreadPoolExecutor() as threads:
        other.execute("BEGIN IMMEDIATE")
        migrated = threads.submit(migrate, f"sqlite:///{file}")
        with pytest.raises(TimeoutError):
            migrated.result(timeout=0.5)
        other.execute("ROLLBACK")
        migrated.result(timeout=PATIENCE_S)


@only_sqlite
def test_migrating_makes_the_folder_of_the_file(tmp_path: Path, database_kind: str) -> None:
    migrate(f"sqlite:///{tmp_path / 'new' / 'folder' / 'homeserver.db'}")
    assert (tmp_path / "new" / "folder" / "homeserver.db").exists()


@only_sqlite
async def test_nobody_else_may_read_a_new_file(empty_place: Place) -> None:
    await asyncio.to_thread(migrate, empty_place.url)
    async with open_database(empty_place.url) as database:
        await database.write(lambda tx: put(tx, "a", "1"))
        folder = Path(empty_place.url.removeprefix("sqlite:///")).parent
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


@only_postgres
async def test_a_schema_that_is_there_is_enough_for_who_may_not_make_one(
    empty_place: Place,
) -> None:
    role = f"{empty_place.schema}_guest"
    await behind_its_back(empty_place, f"CREATE ROLE {role} LOGIN")
    await behind_its_back(empty_place, f"CREATE SCHEMA {empty_place.schema} AUTHORIZATION {role}")
    url = urlsplit(empty_place.url)._replace(netloc=f"{role}@").geturl()
    await asyncio.to_thread(migrate, url, empty_place.schema)
    async with open_database(url, empty_place.schema) as database:
        await database.read(ping)


async def test_a_glance_asks_one_question(database: Database) -> None:
    async def one(reader: Reader) -> int:
        return int(await reader.fetch_value("SELECT 1"))

    async def two(reader: Reader) -> int:
        return await one(reader) + await one(reader)

    assert await database.glance(one) == 1
    with pytest.raises(RuntimeError, match="one question"):
        await database.glance(two)
    assert await database.look(two) == 2
