"""Bring a database's schema up to date with the revisions in `migrations/` (Alembic, both engines)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config

from homeserver.paths import MIGRATIONS
from homeserver.storage.database import sqlite_path

HEAD: Final = "head"


def migrate(url: str, schema: str = "public", revision: str = HEAD) -> None:
    """Upgrade to `revision`, from empty or from any released one. Blocks; must not run inside an event loop's thread.

    Creates the SQLite file and its folder, or the PostgreSQL schema, where they are missing.
    """
    if url.startswith("sqlite:///"):
        Path(sqlite_path(url)).resolve().parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    config.attributes["schema"] = schema
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config, revision)
