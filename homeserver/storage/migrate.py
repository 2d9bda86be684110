"""Bring a database's schema up to date with the revisions in `migrations/` (Alembic, both engines)."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config

from homeserver.errors import BadSettings
from homeserver.paths import MIGRATIONS
from homeserver.storage.database import is_sqlite, sqlite_path

HEAD: Final = "head"


def migrate(url: str, schema: str = "public", revision: str = HEAD) -> None:
    """Upgrade to `revision`, from empty or from any released one. Blocks; must not run inside an event loop's thread.

    Creates the SQLite file and its folder, or the PostgreSQL schema, where they are missing.

    Raises:
        BadSettings: Neither of the two kinds of address, a file that cannot be made, or no connection.
    """
    if is_sqlite(url):
        _make_file(Path(sqlite_path(url)).resolve())
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    config.attributes["schema"] = schema
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config, revision)


def _make_file(path: Path) -> None:
    """A new file is for this user alone: hashes of passwords will lie in it. Those beside it get its mode by SQLite."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise BadSettings(f"database.url: cannot open {path}: {error.strerror}") from error
