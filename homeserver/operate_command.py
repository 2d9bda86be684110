"""`homeserver backup`, `restore` and `keys`: what keeps a server's data, from the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from homeserver import config
from homeserver.errors import Conflict
from homeserver.progress import Bar
from homeserver.services import backups, key_rotation
from homeserver.services.backups import Backups
from homeserver.serving import Say
from homeserver.storage.backup_file import Head
from homeserver.storage.database import is_open_elsewhere, is_sqlite
from homeserver.wiring import database_of, secret_box, wall_clock_ms


async def backup(settings: config.Settings, file: Path, say: Say) -> None:
    """Write everything that is in the database into a new file, while servers run.

    Raises:
        As `Backups.make`.
    """
    bar = Bar("rows")
    async with database_of(settings) as database:
        try:
            head = await Backups(database, wall_clock_ms, sqlite=is_sqlite(settings.database_url)).make(file, bar.show)
        finally:
            bar.end()
    size_bytes = await asyncio.to_thread(lambda: file.stat().st_size)
    say(f"{file} holds the database {_of(head)}: {size_bytes / 1e6:,.1f} MB.")
    say("It has no secret_key and no waiting files in it. It has people's data: keep it where nobody else reads it.")


async def restore(
    settings: config.Settings, file: Path, say: Say, *, replace: bool, agreed: Callable[[], bool]
) -> bool:
    """Let the database be what it was when the file was made; False where nobody agreed to it.

    Raises:
        Conflict: A server runs. As `Backups.restore`.
    """
    head = check(file, say)
    url, schema = settings.database_url, settings.database.schema_name
    if await is_open_elsewhere(url, schema):
        raise Conflict("The database is in use. Stop all servers and commands that have it open, then try again.")
    if replace:
        say("All that is in the database now will be gone, but for who was erased and who hides themselves.")
        if not agreed():
            return False
    bar = Bar("rows")
    async with database_of(settings) as database:
        try:
            restored = await Backups(database, wall_clock_ms, sqlite=is_sqlite(url)).restore(
                file, bar.show, replace=replace
            )
        finally:
            bar.end()
    say(f"The database is as it was {_of(head)}. All boards are counted, and right.")
    if restored.erased:
        say(f"Erased again, because they were erased after that: {restored.erased}.")
    if restored.hidden:
        say(f"Hidden again, because they had hidden themselves after that: {restored.hidden}.")
    if restored.marks_lost:
        say("WARNING: the backup is of another database. Who was erased from the one here is not known any more.")
    say("Everybody signs in again. Files that waited and are no longer in the spool are shown as failed.")
    return True


async def rotate(settings: config.Settings, say: Say) -> bool:
    """Seal with `server.secret_key` what `server.old_secret_key` sealed; whether there is one.

    Servers run meanwhile, all of them with these settings.
    """
    if settings.server.old_secret_key is None:
        say("server.old_secret_key is not set, so there is nothing to seal anew: docs/operate.md has the steps.")
        return False
    bar = Bar("sealed texts")
    boxes = {purpose: secret_box(settings, purpose) for purpose in key_rotation.PURPOSES}
    async with database_of(settings) as database:
        try:
            found = await key_rotation.rotate(database, boxes, bar.show)
        finally:
            bar.end()
    say(f"Sealed anew: {found.resealed}. Sealed with the new key already: {found.new}.")
    if found.lost:
        say(f"Opened by neither key: {found.lost}. Their owners sign in to their storage again.")
    say("Nothing needs server.old_secret_key any more: take it out of the settings, and start the servers again.")
    return True


def check(file: Path, say: Say) -> Head:
    """Read a backup to its end and say what it is.

    Raises:
        As `backups.check`.
    """
    bar = Bar("rows")
    try:
        head = backups.check(file, bar.show)
    finally:
        bar.end()
    say(f"{file} is whole: {_of(head)}, tables of revision {head.revision}.")
    return head


def _of(head: Head) -> str:
    made = datetime.fromtimestamp(head.made_ms / 1000, UTC)
    return f"of {made:%Y-%m-%d %H:%M:%S} UTC, {head.rows:,} rows in {len(head.tables)} tables"
