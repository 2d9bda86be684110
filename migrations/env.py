"""How Alembic reaches the database: `homeserver migrate` gives the address and the schema."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Any

import asyncpg
from alembic import context
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from homeserver.storage.postgres import CONNECT_FAILURES, cannot_connect

# Two processes that start together must not migrate together.
MIGRATION_LOCK = 7_263_518_402
WAIT_S = 60
TRY_AGAIN_S = 0.02


def run(connection: Connection, schema: str | None) -> None:
    """Upgrade over an open connection, in one transaction."""
    context.configure(connection=connection, version_table_schema=schema, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


def migrate_sqlite(url: str) -> None:
    """SQLite: a plain connection; the file is created where it is missing."""
    engine = create_engine(url, connect_args={"timeout": WAIT_S, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def write_ahead(connection: sqlite3.Connection, _: object) -> None:
        # While another process writes, SQLite refuses this one at once, whatever the timeout.
        give_up = time.monotonic() + WAIT_S
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
                time.sleep(TRY_AGAIN_S)
            else:
                break

    # Python would begin no transaction before DDL by itself: half a migration could stay, and two could run at once.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            run(connection, None)
    finally:
        engine.dispose()


async def migrate_postgres(url: str, schema: str) -> None:
    """PostgreSQL: everything, the version table too, lies in `schema`."""

    async def connect(*_: object, **__: object) -> Any:
        try:
            return await asyncpg.connect(url, server_settings={"search_path": schema})
        except CONNECT_FAILURES as error:
            raise cannot_connect(error) from None

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            # Not IF NOT EXISTS: that asks for the right to create schemas even where there is nothing to create.
            known = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = :name)"
            if not await connection.scalar(text(known), {"name": schema}):
                await connection.execute(text(f'CREATE SCHEMA "{schema}"'))
            await connection.run_sync(run, schema)
    finally:
        await engine.dispose()


url: str = context.config.attributes["url"]
if url.startswith("sqlite:///"):
    migrate_sqlite(url)
else:
    asyncio.run(migrate_postgres(url, context.config.attributes["schema"]))
