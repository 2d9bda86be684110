"""Deleting lists that are not used any more, a part at a time. Any number of processes may do it at once."""

from __future__ import annotations

from functools import partial

from homeserver.storage import rebuild
from homeserver.storage.database import Database


async def sweep(database: Database, at_once: int) -> int:
    """Delete all lists that are to be deleted; how many that were.

    Args:
        at_once: So many rows in one transaction.
    """
    gone = await database.read(rebuild.abandoned)
    for list_ in gone:
        after: int | None = 0
        while after is not None:
            after = await database.write(partial(rebuild.delete_some, list_=list_, after=after, limit=at_once))
    return len(gone)
